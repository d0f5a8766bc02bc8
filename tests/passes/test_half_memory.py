"""Memory of halves: by hand, and against the largest set of values alive at any moment of a run."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.core.graph import Work
from coachc.passes.half_memory import HalfMemory, half_memory, most_memory_bytes
from tests.helpers.alive import activations_bytes
from tests.helpers.graphs import CHAIN, DIAMOND, down_closed_subsets, graph_of, random_graph


@pytest.mark.parametrize("block", range(5))
def test_activations_are_those_alive_at_once(block):
    for seed in range(20 * block, 20 * block + 20):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng, most=8)
        for mask in down_closed_subsets(graph):
            for device in (True, False):
                found = half_memory(graph, mask, 2, device=device)
                inside = graph.nodes_in(mask) if device else graph.nodes_outside(mask)
                assert found.activations_bytes == activations_bytes(graph, mask, 2, device), (
                    f"seed {seed}, mask {mask:b}"
                )
                assert found.weights_bytes == 2 * sum(node.work.weight_elements for node in inside)
                assert found.total_bytes <= most_memory_bytes(graph, 2)


def test_a_chain_by_hand():
    graph = graph_of(CHAIN, elements={"x": 10, "v0": 20, "v1": 5, "v2": 1}, works={1: Work(weight_elements=7)})
    # Operator by operator: 10 + 20, 20 + 5, 5 + 1 (and what follows), four bytes each.
    assert half_memory(graph, 0b1111, 4) == HalfMemory(28, 4 * 30)
    assert half_memory(graph, 0b0001, 4) == HalfMemory(0, 4 * 30)
    assert half_memory(graph, 0b0001, 4, device=False).activations_bytes == 4 * 25


def test_what_crosses_lives_until_the_half_ends():
    graph = graph_of(DIAMOND, elements={"x": 1, "v0": 100, "v1": 1, "v2": 1, "v3": 1, "v4": 1})
    # v0 is read again by the cloud, so it stays while v1 is made.
    assert half_memory(graph, 0b00011, 1).activations_bytes == 101


def test_nothing_on_a_side_needs_nothing():
    graph = graph_of(CHAIN)
    assert half_memory(graph, 0, 4) == HalfMemory(0, 0)
    assert half_memory(graph, graph.full_mask, 4, device=False) == HalfMemory(0, 0)
