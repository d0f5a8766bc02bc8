"""What a half needs of its machine's memory: weights, and the activations that live at the same time."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.core.graph import GraphView


@dataclass(frozen=True, slots=True)
class HalfMemory:
    """Bytes of one half, batch included; what the engine itself takes is not known.

    Attributes
    ----------
    weights_bytes : int
    activations_bytes : int
        Most that lives at once, when operators run in topological order and each value is freed after its last reader.
    """

    weights_bytes: int
    activations_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.activations_bytes


def half_memory(graph: GraphView, mask: int, element_bytes: int, *, device: bool = True) -> HalfMemory:
    """Of the operators in `mask`, or of those outside it.

    Parameters
    ----------
    graph : GraphView
    mask : int
        An ideal.
    element_bytes : int
        Of a weight or an activation that is a floating-point number on that side.
    device : bool
        Which half. What crosses the cut lives until the device's half ends, and from the cloud's beginning on.
    """
    inside = graph.indices_in(mask) if device else graph.indices_outside(mask)
    runs = set(inside)
    weights = sum(graph.nodes[index].work.weight_elements for index in inside) * element_bytes
    kept = set(graph.cut_values(mask)) | set(graph.outputs)
    #: Position of the last reader in the half, by value; what leaves the half lives until its end.
    last: dict[str, int] = {}
    for place, index in enumerate(inside):
        for name in (*graph.nodes[index].inputs, *graph.nodes[index].outputs):
            last[name] = place
    freed: list[list[str]] = [[] for _ in inside]
    for name, place in last.items():
        made_here = name in graph.producer and graph.producer[name] in runs
        freed[len(inside) - 1 if name in kept and made_here else place].append(name)

    def size(name: str) -> int:
        value = graph.values[name]
        return value.elements * element_bytes if value.quantizable else value.size_bytes

    first = {name for index in inside for name in graph.nodes[index].inputs} - {
        name for index in inside for name in graph.nodes[index].outputs
    }
    live = sum(size(name) for name in first)
    most = live
    for place, index in enumerate(inside):
        live += sum(size(name) for name in graph.nodes[index].outputs)
        most = max(most, live)
        live -= sum(size(name) for name in freed[place])
    return HalfMemory(weights, most)


def most_memory_bytes(graph: GraphView, element_bytes: int) -> int:
    """No half of any partition needs more: all weights and all values."""
    weights = sum(node.work.weight_elements for node in graph.nodes)
    widest = max(element_bytes, 1)
    values = sum(max(value.elements * widest, value.size_bytes) for value in graph.values.values())
    return weights * element_bytes + values
