"""Activations of a half by running it: whatever somebody still needs is alive."""

from __future__ import annotations


def activations_bytes(graph, mask, element_bytes, device=True):
    """Most that is alive at once; readers are not counted, but looked for again at each operator."""
    order = graph.indices_in(mask) if device else graph.indices_outside(mask)
    nodes = [graph.nodes[index] for index in order]
    made = {name for node in nodes for name in node.outputs}
    leaves = (set(graph.cut_values(mask)) | set(graph.outputs)) & made
    have = {name for node in nodes for name in node.inputs} - made

    def bytes_of(names):
        return sum(
            graph.values[n].elements * element_bytes if graph.values[n].quantizable else graph.values[n].size_bytes
            for n in names
        )

    most = bytes_of(have)
    for place, node in enumerate(nodes):
        have |= set(node.outputs)
        most = max(most, bytes_of(have))
        later = {name for other in nodes[place + 1 :] for name in other.inputs}
        have = {name for name in have if name in later or name in leaves}
    return most
