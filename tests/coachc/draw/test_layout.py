"""Nothing overlaps, every edge is drawn once, and the cut passes between the two sides: known and random graphs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from coachc.draw.layout import GUTTER, layout
from coachc.passes.cluster import cluster
from coachc.passes.ideals import all_ideals
from tests.helpers import networks
from tests.helpers.fig4 import fig4
from tests.helpers.graphs import CHAIN, DIAMOND, graph_of, random_graph

SEEDS = range(80)


def drawn(graph, mask=None, box_width=50.0):
    return layout(graph, cluster(graph), mask=graph.full_mask if mask is None else mask, box_width=box_width)


def overlap(a, b) -> bool:
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom


def holds(outer, inner) -> bool:
    return outer.x < inner.x and outer.y < inner.y and inner.right < outer.right and inner.bottom < outer.bottom


def edges(graph) -> list[tuple[int, int]]:
    return [
        (source, target)
        for target, before in enumerate(graph.predecessors)
        for source in range(target)
        if before >> source & 1
    ]


def assert_tidy(graph, picture) -> None:
    assert sorted(picture.boxes) == list(range(len(graph.nodes)))
    assert not any(overlap(a, b) for a, b in itertools.combinations(picture.boxes.values(), 2))
    assert not any(overlap(a, b) for a, b in itertools.combinations(picture.blocks, 2))
    for (_, outer), (_, inner) in itertools.combinations(picture.frames, 2):
        assert not overlap(outer, inner) or holds(outer, inner)
    for _, frame in picture.frames:
        assert all(holds(frame, box) or not overlap(frame, box) for box in picture.boxes.values())
    lines = [(k.source, k.target) for k in (*picture.links, *picture.skips, *picture.detours)]
    assert sorted(lines) == sorted(edges(graph))


def assert_separates(cut, boxes, mask) -> None:
    """No box touches the line; those it passes are on the device above it and on the cloud below it."""
    for (x, y), (to_x, to_y) in itertools.pairwise(cut):
        assert x == to_x or y == to_y
        for box in boxes.values():
            assert (
                max(x, to_x) <= box.x
                or box.right <= min(x, to_x)
                or max(y, to_y) <= box.y
                or box.bottom <= min(y, to_y)
            )
    for node, box in boxes.items():
        middle = box.x + box.width / 2
        passed = [y for (x, y), (to_x, _) in itertools.pairwise(cut) if x <= middle < to_x]
        # A column without the cut is on one side of it as a whole.
        above = box.bottom < passed[0] if passed else middle < cut[0][0]
        assert above == bool(mask >> node & 1), f"node {node}"


def test_a_chain_runs_from_top_to_bottom():
    boxes = drawn(graph_of(CHAIN)).boxes
    assert len({box.x for box in boxes.values()}) == 1
    assert all(above.bottom < below.y for above, below in itertools.pairwise(boxes[n] for n in range(4)))


def test_branches_of_a_diamond_stand_side_by_side():
    picture = drawn(graph_of(DIAMOND))
    assert picture.boxes[1].y == picture.boxes[2].y
    assert picture.boxes[1].right < picture.boxes[2].x
    ((kind, frame),) = picture.frames
    assert kind == "virtual"
    assert [holds(frame, picture.boxes[node]) for node in range(5)] == [False, True, True, False, False]
    assert [(link.source, link.target) for link in picture.links] == [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]


def test_frames_nest_as_the_blocks_of_fig4_do():
    graph, _, _ = fig4()
    (_, outer), (_, inner) = (picture := drawn(graph)).frames
    assert holds(outer, inner)
    assert {node for node, box in picture.boxes.items() if holds(outer, box)} == set(range(1, 8))
    assert {node for node, box in picture.boxes.items() if holds(inner, box)} == {2, 3, 4}


def test_a_value_that_is_read_again_goes_round_what_lies_between():
    picture = drawn(graph_of(["x", "v0", "v0", "v1 v2", "v3 v0"]))
    (skip,) = picture.skips
    assert (skip.source, skip.target) == (0, 4)
    start, *_, end = skip.points
    halfway = sum(share * x for share, (x, _) in zip((1 / 8, 3 / 8, 3 / 8, 1 / 8), skip.points, strict=True))
    assert start[1] < end[1]
    assert halfway > picture.boxes[2].right > start[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_with_every_cut(seed):
    graph = random_graph(np.random.default_rng(seed), most=9, source=seed % 2 == 0)
    assert_tidy(graph, drawn(graph))
    for mask in all_ideals(graph)[0]:
        picture = drawn(graph, mask)
        assert bool(picture.cut) == (mask != graph.full_mask)
        if picture.cut:
            assert_separates(picture.cut, picture.boxes, mask)


def test_a_long_chain_wraps_into_columns_and_the_cut_may_lie_between_them():
    graph = graph_of(["x", *(f"v{i}" + (f" v{i - 2}" if i > 1 else "") for i in range(149))])
    picture = drawn(graph, box_width=190.0)
    assert_tidy(graph, picture)
    assert picture.height < 1300
    assert picture.width < 1600
    columns = {}
    for node, box in picture.boxes.items():
        columns.setdefault(box.x, []).append(node)
    lefts = sorted(columns)
    assert [node for x in lefts for node in columns[x]] == list(range(150))
    assert {b - a for a, b in itertools.pairwise(lefts)} == {190.0 + GUTTER}
    assert max(map(len, columns.values())) - min(map(len, columns.values())) <= 1
    assert picture.detours
    assert not picture.cut
    last = columns[lefts[1]][-1]
    for count in (last, last + 1, last + 2):
        mask = (1 << count) - 1
        assert_separates((found := drawn(graph, mask, 190.0)).cut, found.boxes, mask)


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("name", ["densenet121", "inception_v1", "resnet50", "shufflenet", "squeezenet"])
def test_published_networks(name):
    graph = networks.light(name)
    assert_tidy(graph, drawn(graph, box_width=190.0))
