"""How many partitions a graph has: by hand, by definition on random graphs, and for published networks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.models import synthetic
from coachc.models.published.networks import published_graph
from coachc.passes.ideals import all_ideals
from tests.helpers import networks
from tests.helpers.graphs import DIAMOND, down_closed_subsets, graph_of, random_graph
from tests.helpers.onnx_models import imported


@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_a_chain_of_n_has_n_plus_1(length):
    graph = graph_of(["x", *(f"v{i}" for i in range(length - 1))])
    assert all_ideals(graph) == (tuple((1 << n) - 1 for n in range(length + 1)), True)


def test_a_diamond():
    # Before the fork, after it, 2 x 2 states of the branches of which one is "after it", join, end.
    masks, complete = all_ideals(graph_of(DIAMOND))
    assert complete
    assert masks == (0, 0b00001, 0b00011, 0b00101, 0b00111, 0b01111, 0b11111)


@pytest.mark.parametrize("branches", [(1, 1), (2, 3), (1, 2, 2, 2), (5, 4, 3)], ids=str)
def test_branches_multiply_and_blocks_add(branches):
    reads, ends = ["x"], []
    for _ in range(2):
        start, ends = len(reads) - 1, []
        for length in branches:
            for step in range(length):
                reads.append(f"v{start}" if step == 0 else f"v{len(reads) - 1}")
            ends.append(f"v{len(reads) - 1}")
        reads.append(" ".join(ends))
    states = math.prod(length + 1 for length in branches)
    # Empty, first node, then for each of two blocks: its states but the one before it, and its join.
    assert len(all_ideals(graph_of(reads))[0]) == 2 + 2 * (states - 1 + 1)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        # 4 convolutions, mean, linear layer.
        (synthetic.chain, 1 + 6),
        # The sum joins the later of the two convolutions, which then waits for the other: a chain.
        (synthetic.diamond, 1 + 6),
        # So it does with the projection, the last node of its block: a chain of 6 convolutions, mean, linear layer.
        (synthetic.residual, 1 + 8),
        # Stem; twice branches of 1, 2, 2 and 2 (2 x 3 x 3 x 3 = 54 states) and their concatenation; head.
        (synthetic.inception, 2 + 2 * 54 + 2),
        # Stem; three layers of two convolutions and a concatenation; convolution, mean, linear layer.
        (synthetic.dense, 1 + 1 + 3 * 3 + 3),
        # Stem; 1x1 (2 states) beside four convolutions in a row (5 states); concatenation, convolution, head.
        (synthetic.nested, 2 + (2 * 5 - 1) + 4),
    ],
    ids=lambda item: item.__name__ if callable(item) else str(item),
)
@pytest.mark.needs("onnxruntime")
def test_synthetic_graphs_by_hand(build, count, tmp_path):
    masks, complete = all_ideals(imported(build(), tmp_path)[1])
    assert complete
    assert len(masks) == count


@pytest.mark.parametrize("seed", range(60))
def test_all_and_only_down_closed_subsets(seed):
    graph = random_graph(np.random.default_rng(seed), most=10, source=seed % 2 == 0)
    masks, complete = all_ideals(graph)
    assert complete
    assert sorted(masks) == sorted(down_closed_subsets(graph))
    assert list(masks) == sorted(masks, key=lambda mask: (mask.bit_count(), mask))
    assert all(graph.is_ideal(mask) for mask in masks)


def test_beyond_the_limit_prefixes_remain():
    graph = graph_of(["x"] * 10)
    assert all_ideals(graph, limit=1024) == (tuple(sorted(range(1024), key=lambda m: (m.bit_count(), m))), True)
    assert all_ideals(graph, limit=1023) == (tuple((1 << n) - 1 for n in range(11)), False)


class TestPublishedNetworks:
    def test_vgg16(self):
        # A chain: 13 convolutions, 5 pools (the last with the reshape), 3 linear layers.
        assert len(all_ideals(published_graph("vgg16"))[0]) == 13 + 5 + 3 + 1

    @pytest.mark.needs("torch", "onnxruntime")
    def test_resnet101(self):
        # 29 blocks of three convolutions in a row, the last with the addition; 4 blocks where the projection stands
        # beside the first two (3 x 2 states, one of them before the block, and the third convolution); two operators
        # before and two behind, and the empty one. With the additions apart, 4 and 8 instead of 3 and 6: 153.
        assert len(all_ideals(networks.exported("resnet101"))[0]) == 29 * 3 + 4 * (5 + 1) + 2 + 2 + 1 == 116

    @pytest.mark.needs("torch", "onnxruntime")
    def test_googlenet(self):
        # 9 modules of 54 states each, 9 operators in a row around them, torchvision's transform of the input, and
        # the empty one.
        assert len(all_ideals(networks.exported("googlenet"))[0]) == 9 * 54 + 9 + 1 + 1 == 497

    @pytest.mark.needs("onnxruntime")
    def test_resnet50_with_the_projection_last(self):
        # Caffe2 writes a block's projection behind its convolutions: it holds the addition and waits for them, so
        # this is a chain of 57.
        assert len(all_ideals(networks.light("resnet50"))[0]) == 58
