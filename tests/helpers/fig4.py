"""The example of the paper's Fig. 4: the graph, and the partition that is drawn in it."""

from __future__ import annotations

from coachc.core.graph import GraphView
from tests.helpers.graphs import graph_of

#: Layers of Fig. 4 and what each reads. The picture is described in section III-B, the edges are chosen to agree:
#: the chain {1, b_1, 9}; inside b_1 layer 3 forks, "subsequent end device computing (e.g., layers 5 and 6)" is one of
#: its branches, layer 4 the other, and layer 7, which "waits for transmission completion", reads both; layers 2 and 8
#: are the other branch of b_1, cut at V_1^2.
FIG4 = {1: (), 3: (1,), 4: (3,), 5: (3,), 6: (5,), 7: (4, 6), 2: (1,), 8: (2,), 9: (7, 8)}
PLACE = {layer: index for index, layer in enumerate(FIG4)}


def fig4() -> tuple[GraphView, int, tuple[str, ...]]:
    """The graph, the device's layers, and the cut {V_0^1, V_0^2, V_1^2} after layers 3, 6 and 2."""
    reads = [" ".join(f"v{PLACE[layer]}" for layer in before) or "x" for before in FIG4.values()]
    cut = tuple(f"v{PLACE[layer]}" for layer in (3, 6, 2))
    elements = dict(zip(cut, (579, 1907, 909), strict=True))
    return graph_of(reads, elements=elements), sum(1 << PLACE[layer] for layer in (1, 2, 3, 5, 6)), cut
