"""Virtual blocks: known shapes, and on random graphs that the chain of blocks says where every partition lies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.core.blocks import Block
from coachc.models import synthetic
from coachc.passes.cluster import cluster
from coachc.passes.ideals import all_ideals
from tests.helpers.graphs import CHAIN, DIAMOND, down_closed_subsets, graph_of, random_graph
from tests.helpers.onnx_models import imported


def node(index):
    return Block("node", (index,))


def test_a_chain_is_its_nodes():
    assert cluster(graph_of(CHAIN)).chain == (node(0), node(1), node(2), node(3))


def test_a_diamond_has_one_virtual_block():
    found = cluster(graph_of(DIAMOND))
    assert found.chain == (node(0), Block("virtual", (1, 2), ((node(1),), (node(2),))), node(3), node(4))
    assert found.virtual_blocks == 1


def test_a_diamond_in_a_branch_of_a_diamond():
    #      0 -> 1 ------------------> 6
    #       \-> 2 -> {3, 4} -> 5 ----/
    found = cluster(graph_of(["x", "v0", "v0", "v2", "v2", "v3 v4", "v1 v5"]))
    inner = Block("virtual", (3, 4), ((node(3),), (node(4),)))
    assert found.chain == (node(0), Block("virtual", (1, 2, 3, 4, 5), ((node(1),), (node(2), inner, node(5)))), node(6))


def test_an_identity_shortcut_is_no_branch():
    # 0 -> 1 -> 2 and 0 -> 2: every path passes 1 or the value itself; all nodes are comparable.
    assert cluster(graph_of(["x", "v0", "v0 v1"])).chain == (node(0), node(1), node(2))


def test_two_stages_without_a_node_between_them():
    # {0, 1} both precede both of {2, 3}: two virtual blocks with a boundary that is no node.
    found = cluster(graph_of(["x", "x", "v0 v1", "v0 v1"]))
    assert [(block.kind, block.nodes) for block in found.chain] == [("virtual", (0, 1)), ("virtual", (2, 3))]


def test_what_cannot_be_taken_apart_is_prime():
    # The N: 2 reads 0, 3 reads 0 and 1.
    found = cluster(graph_of(["x", "v0", "v0", "v1", "v1 v2", "v3 v4"]))
    assert [(block.kind, block.nodes) for block in found.chain] == [
        ("node", (0,)),
        ("prime", (1, 2, 3, 4)),
        ("node", (5,)),
    ]


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize(
    ("build", "branches"),
    [
        (synthetic.chain, []),
        (synthetic.dense, []),
        (synthetic.inception, [[1, 2, 2, 2], [1, 2, 2, 2]]),
        (synthetic.nested, [[1, 4]]),
        (synthetic.two_outputs, [[2, 4]]),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_synthetic_graphs(build, branches, tmp_path):
    """Lengths of the branches of each virtual block, by hand."""
    found = cluster(imported(build(), tmp_path)[1])
    virtual = [block for block in found.chain if block.kind == "virtual"]
    assert [sorted(len(branch) for branch in block.branches) for block in virtual] == branches
    assert found.virtual_blocks == len(branches)


def every_block(chain):
    for block in chain:
        yield block
        for branch in block.branches:
            yield from every_block(branch)


def count(graph, chain):
    """Partitions of a chain of blocks: blocks add, branches multiply."""
    return 1 + sum(states(graph, block) - 1 for block in chain)


def states(graph, block):
    if block.kind == "node":
        return 2
    if block.kind == "virtual":
        return math.prod(count(graph, branch) for branch in block.branches)
    position = {index: place for place, index in enumerate(block.nodes)}
    reads = [
        " ".join(f"v{position[before]}" for before in block.nodes if graph.predecessors[index] >> before & 1) or "x"
        for index in block.nodes
    ]
    return len(down_closed_subsets(graph_of(reads)))


def within(mask, block):
    return sum(mask >> index & 1 for index in block.nodes)


@pytest.mark.parametrize("block", range(10))
def test_every_ideal_is_a_boundary_or_inside_one_block(block):
    kinds = set()
    for seed in range(30 * block, 30 * block + 30):
        graph = random_graph(np.random.default_rng(seed), most=11, source=seed % 3 > 0)
        chain = cluster(graph).chain
        kinds |= {b.kind for b in every_block(chain)}
        where = f"seed {seed}: {[n.inputs for n in graph.nodes]} -> {chain}"
        assert sorted(index for b in chain for index in b.nodes) == list(range(len(graph.nodes))), where
        for mask in down_closed_subsets(graph):
            filled = [within(mask, b) for b in chain]
            whole = next((i for i, b in enumerate(chain) if filled[i] < len(b.nodes)), len(chain))
            assert not any(filled[whole + 1 :]), f"{where}: {mask:#b} lies in two blocks"
        assert count(graph, chain) == len(all_ideals(graph)[0]), where
        for inner in every_block(chain):
            parts = [index for branch in inner.branches for b in branch for index in b.nodes]
            assert (inner.kind == "virtual") == (len(inner.branches) > 1), where
            assert not parts or sorted(parts) == list(inner.nodes), where
            assert inner.kind != "prime" or len(inner.nodes) > 3, where
    assert kinds == {"node", "virtual", "prime"}
