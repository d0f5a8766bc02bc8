"""Edges, ideals and cuts of graphs small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.core.graph import ITEM_BYTES, Value
from tests.helpers.graphs import CHAIN, DIAMOND, graph_of


def masks(*nodes):
    return sum(1 << node for node in nodes)


def test_a_chain():
    graph = graph_of(CHAIN)
    assert graph.inputs == ("x",)
    assert graph.outputs == ("v3",)
    assert graph.predecessors == (0, masks(0), masks(1), masks(2))
    assert graph.producer == {"v0": 0, "v1": 1, "v2": 2, "v3": 3}
    assert graph.consumers == {"x": (0,), "v0": (1,), "v1": (2,), "v2": (3,), "v3": ()}
    assert graph.ordered_values == ("x", "v0", "v1", "v2", "v3")
    assert graph.full_mask == 0b1111
    assert [graph.cut_values(mask) for mask in (0, 1, 3, 7, 15)] == [("x",), ("v0",), ("v1",), ("v2",), ()]
    assert [mask for mask in range(16) if graph.is_ideal(mask)] == [0, 1, 3, 7, 15]


def test_a_diamond():
    graph = graph_of(DIAMOND)
    assert graph.predecessors == (0, masks(0), masks(0), masks(1, 2), masks(3))
    assert graph.consumers["v0"] == (1, 2)
    expected = {
        masks(): ("x",),
        masks(0): ("v0",),
        masks(0, 1): ("v0", "v1"),
        masks(0, 2): ("v0", "v2"),
        masks(0, 1, 2): ("v1", "v2"),
        masks(0, 1, 2, 3): ("v3",),
        masks(0, 1, 2, 3, 4): (),
    }
    assert [mask for mask in range(32) if graph.is_ideal(mask)] == sorted(expected)
    assert {mask: graph.cut_values(mask) for mask in expected} == expected


def test_a_value_with_several_readers_crosses_once():
    graph = graph_of(["x", "v0", "v0", "v0 v1 v2"])
    assert graph.cut_values(masks(0)) == ("v0",)
    assert graph.cut_values(masks(0, 1, 2)) == ("v0", "v1", "v2")


def test_a_value_read_twice_by_one_node_counts_once():
    graph = graph_of(["x", "v0 v0"])
    assert graph.consumers["v0"] == (1,)
    assert graph.predecessors == (0, 1)
    assert graph.cut_values(1) == ("v0",)


def test_an_input_needed_by_both_sides_crosses():
    graph = graph_of(["x", "v0 x"])
    assert graph.cut_values(1) == ("x", "v0")


def test_cut_values_are_in_topological_order_whatever_their_names():
    graph = graph_of(["z", "a z", "v0 v1"], elements={"z": 1})
    assert graph.inputs == ("a", "z")
    assert graph.ordered_values == ("a", "z", "v0", "v1", "v2")
    assert graph.cut_values(0) == ("a", "z")
    assert graph.cut_values(1) == ("a", "z", "v0")


@pytest.mark.parametrize(("dtype", "size"), ITEM_BYTES.items())
def test_bytes_per_element_are_numpys(dtype, size):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    assert np.dtype(dtype).itemsize == size
    value = Value("v", dtype, (2, 3, 5))
    assert (value.elements, value.size_bytes) == (30, 30 * size)
    assert value.quantizable == (dtype in ("float32", "float16"))


def test_a_scalar_has_one_element():
    assert Value("v", "float32", ()).elements == 1
    assert Value("v", "float32", (3, 0)).size_bytes == 0


def test_nodes_of_a_mask_and_the_others():
    graph = graph_of(DIAMOND)
    mask = masks(0, 2)
    assert graph.indices_in(mask) == (0, 2)
    assert graph.indices_outside(mask) == (1, 3, 4)
    assert graph.nodes_in(mask) == (graph.nodes[0], graph.nodes[2])
    assert graph.nodes_outside(mask) == (graph.nodes[1], graph.nodes[3], graph.nodes[4])
    assert graph.members_in(mask) == {*graph.nodes[0].members, *graph.nodes[2].members}
    assert graph.members_outside(mask) == {name for i in (1, 3, 4) for name in graph.nodes[i].members}


def test_bits_beyond_the_graph_count_for_nothing():
    graph = graph_of(CHAIN)
    assert graph.indices_in(0) == ()
    assert graph.indices_in(~0) == graph.indices_in(graph.full_mask | 1 << 70) == (0, 1, 2, 3)
    assert graph.indices_outside(0) == (0, 1, 2, 3)
    assert graph.members_outside(~0) == frozenset()


def test_ancestors_follow_paths_through_the_given_nodes_alone():
    graph = graph_of(DIAMOND)
    assert graph.ancestors(range(5)) == {0: 0, 1: 1, 2: 1, 3: masks(0, 1, 2), 4: masks(0, 1, 2, 3)}
    assert graph.ancestors((1, 2, 3)) == {1: 0, 2: 0, 3: masks(1, 2)}
    assert graph.ancestors((0, 3)) == {0: 0, 3: 0}
