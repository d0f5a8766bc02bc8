"""Random splits of random graphs, with the precision of every boundary value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coachc.core.graph import GraphView
from coachc.core.plan import Quantizer
from coachc.passes.ideals import all_ideals
from coachc.passes.timeline import Costs
from tests.helpers.graphs import random_costs, random_graph


class Split(NamedTuple):
    """The first four arguments of `schedule`, `operations` and `stage_times`."""

    graph: GraphView
    mask: int
    quantizers: tuple[Quantizer, ...]
    costs: Costs


def random_quantizers(graph: GraphView, mask: int, rng: np.random.Generator) -> tuple[Quantizer, ...]:
    """2 to 8 bits for every floating-point value of a cut, its own bytes for every other."""
    return tuple(
        Quantizer(name, "packed", int(rng.integers(2, 9)))
        if graph.values[name].quantizable
        else Quantizer(name, "raw", 64)
        for name in (() if mask == graph.full_mask else graph.cut_values(mask))
    )


def random_split(seed: int, *, most: int = 12) -> Split:
    """A random graph, one of its ideals, and what both cost."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, most=most)
    costs = random_costs(graph, rng)
    masks = all_ideals(graph)[0]
    mask = masks[int(rng.integers(len(masks)))]
    return Split(graph, mask, random_quantizers(graph, mask, rng), costs)
