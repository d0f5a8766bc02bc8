"""The text of the drawing: what a reader of the SVG finds in it."""

from __future__ import annotations

import dataclasses
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from coachc.draw.blocks_svg import CHARACTER_WIDTH, MOST_CHARACTERS, blocks_svg
from coachc.passes.cluster import cluster
from tests.helpers.fig4 import fig4
from tests.helpers.graphs import CHAIN, DIAMOND, graph_of, random_graph

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(graph, mask=None):
    return ElementTree.fromstring(blocks_svg(graph, cluster(graph), mask))


def of_class(root, name):
    return [item for item in root.iter() if name in item.get("class", "").split()]


def operators(root) -> dict[str, dict[str, float]]:
    """Rectangle of each operator, by its full name; each name once."""
    found = [
        (
            group.find(f"{NAMESPACE}title").text,
            {key: float(value) for key, value in group.find(f"{NAMESPACE}rect").items() if key != "class"},
        )
        for group in of_class(root, "operator")
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def labels(root) -> list[str]:
    return [text.text for group in of_class(root, "operator") for text in group.findall(f"{NAMESPACE}text")]


def renamed(graph, name, kind="Conv"):
    return dataclasses.replace(
        graph, nodes=(dataclasses.replace(graph.nodes[0], name=name, kind=kind), *graph.nodes[1:])
    )


@pytest.mark.parametrize("seed", range(20))
def test_each_operator_once_and_apart_from_the_others(seed):
    graph = random_graph(np.random.default_rng(seed))
    boxes = operators(parsed(graph))
    assert sorted(boxes) == sorted(node.name for node in graph.nodes)
    for a, b in itertools.combinations(boxes.values(), 2):
        assert (
            a["x"] + a["width"] <= b["x"]
            or b["x"] + b["width"] <= a["x"]
            or a["y"] + a["height"] <= b["y"]
            or b["y"] + b["height"] <= a["y"]
        )


def test_a_diamond():
    root = parsed(graph_of(DIAMOND))
    boxes = operators(root)
    assert boxes["n1"]["y"] == boxes["n2"]["y"]
    assert boxes["n1"]["x"] + boxes["n1"]["width"] < boxes["n2"]["x"]
    assert labels(root)[:2] == ["n0", "Conv"]
    assert [text.text for text in of_class(root, "number")] == ["1", "2", "3", "4"]
    # One in the drawing, one in the legend.
    assert len(of_class(root, "virtual")) == 2
    assert not of_class(root, "device")
    assert not of_class(root, "cut")


def test_the_cut_lies_between_the_colours():
    graph, mask, _ = fig4()
    root = parsed(graph, mask)
    sides = {
        group.find(f"{NAMESPACE}title").text: group.get("class").split()[1] for group in of_class(root, "operator")
    }
    assert {int(name[1:]) for name, side in sides.items() if side == "device"} == {
        index for index in range(9) if mask >> index & 1
    }
    boxes = operators(root)
    cut = next(path for path in of_class(root, "cut") if path.get("d").count("L") > 1)
    points = [tuple(map(float, point)) for point in re.findall(r"([\d.-]+) ([\d.-]+)", cut.get("d"))]
    for name, box in boxes.items():
        middle = box["x"] + box["width"] / 2
        height = next(y for (x, y), (to_x, _) in itertools.pairwise(points) if x <= middle < to_x)
        assert (box["y"] + box["height"] < height) == (sides[name] == "device"), name
        assert (box["y"] > height) == (sides[name] == "cloud"), name


def test_only_the_legend_that_applies():
    def legend(graph, mask=None):
        return [text.text for text in parsed(graph, mask) if text.tag == f"{NAMESPACE}text"]

    graph = graph_of(CHAIN)
    assert legend(graph) == []
    assert legend(graph, graph.full_mask) == ["device", "cloud"]
    assert legend(graph, 0b11) == ["device", "cloud", "cut"]
    prime = graph_of(["x", "x", "v0", "v0 v1", "v1 v2", "v3 v4"])
    assert "prime" in {block.kind for block in cluster(prime).chain}
    assert legend(prime)[0] == "prime block"


def test_names_are_escaped_and_keep_their_tooltip():
    graph = renamed(graph_of(CHAIN), '<a href="x">&\x01', "A&B")
    root = parsed(graph)
    assert '<a href="x">&\N{REPLACEMENT CHARACTER}' in operators(root)
    assert labels(root)[:2] == ['<a href="x">&\N{REPLACEMENT CHARACTER}', "A&B"]


def test_long_names_are_cut_in_front_and_long_kinds_behind():
    graph = renamed(graph_of(CHAIN), "/features/block/" + "x" * 40 + "/conv/Conv", "Conv+" * 12 + "Relu")
    root = parsed(graph)
    name, kind = labels(root)[:2]
    assert (len(name), len(kind)) == (MOST_CHARACTERS, MOST_CHARACTERS)
    assert name.startswith("…x")
    assert name.endswith("/conv/Conv")
    assert kind.startswith("Conv+Conv")
    assert kind.endswith("…")
    assert all(box["width"] >= MOST_CHARACTERS * CHARACTER_WIDTH for box in operators(root).values())
    assert graph.nodes[0].name in operators(root)


def test_same_graph_same_bytes():
    graph, mask, _ = fig4()
    assert blocks_svg(graph, cluster(graph), mask) == blocks_svg(graph, cluster(graph), mask)
