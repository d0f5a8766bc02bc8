"""Blocks as values and as lines of a tree: the paper's Fig. 4, runs, primes, and bytes by hand."""

from __future__ import annotations

import pytest
from rich.console import Console

from coachc.cli.block_tree import leaving_bytes, places, rendered_tree, tree_values
from coachc.passes.cluster import cluster
from tests.helpers import networks
from tests.helpers.fig4 import fig4
from tests.helpers.graphs import CHAIN, DIAMOND, graph_of

#: The first five are connected, and none of them is comparable with all others.
PRIME = ("x", "x", "v0", "v0 v1", "v1", "v2 v3 v4")


def shown(graph, *, width=100) -> list[str]:
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(rendered_tree("net", graph, cluster(graph).chain, [1e-3] * len(graph.nodes), width))
    return captured.get().splitlines()


def test_fig4_prints_nested_branches():
    # The value after layer 3 has 579 elements, after layer 6 1907 and after layer 2 909, all others 8; 4 bytes each.
    assert shown(fig4()[0]) == [
        "net",
        "├── 1  n0  Conv                                                32 bytes     1.000 ms",
        "├── 2  7 operators in 2 parallel branches                      64 bytes     7.000 ms",
        "│   ├── 2a  branch, 5 operators                                32 bytes     5.000 ms",
        "│   │   ├── 2a  n1  Conv                                    2,316 bytes     1.000 ms",
        "│   │   ├── 2a  3 operators in 2 parallel branches          7,660 bytes     3.000 ms",
        "│   │   │   ├── 2aa  n2  Conv                                  32 bytes     1.000 ms",
        "│   │   │   └── 2ab  2 operators in a row: n3 .. n4         7,628 bytes     2.000 ms",
        "│   │   └── 2a  n5  Conv                                       32 bytes     1.000 ms",
        "│   └── 2b  2 operators in a row: n6 .. n7                     32 bytes     2.000 ms",
        "└── 3  n8  Conv                                                32 bytes     1.000 ms",
    ]


def test_runs_and_prime_blocks_take_one_line():
    assert shown(graph_of(CHAIN))[1:] == ["└── 1-4  4 operators in a row: n0 .. n3            32 bytes     4.000 ms"]
    assert [line[:40].rstrip() for line in shown(graph_of(PRIME))[1:]] == [
        "├── 1*  5 interwoven operators: n0 .. n4",
        "└── 2   n5  Conv",
    ]


def test_a_narrow_terminal_does_without_alignment():
    graph = graph_of(CHAIN)
    whole = max(map(len, shown(graph)))
    assert shown(graph, width=whole) == shown(graph)
    assert shown(graph, width=whole - 1)[1] == "└── 1-4  4 operators in a row: n0 .. n3  32 bytes  4.000 ms"


@pytest.mark.needs("torch", "onnxruntime")
def test_resnet101_fits_a_screen():
    lines = shown(networks.exported("resnet101"), width=160)
    assert len(lines) < 24
    assert lines[3].startswith("│   ├── 3a  /layer1/layer1.0/downsample/downsample.0/Conv  Conv  ")
    assert (
        sum("operators in a row: /layer3/layer3.0/conv3/Conv .. /layer3/layer3.22/conv3/Conv" in x for x in lines) == 1
    )


def test_bytes_leave_where_others_read_them_or_the_model_gives_them():
    graph = graph_of(DIAMOND, elements={"v0": 100, "v1": 10, "v2": 1}, outputs=("v4", "v1"))
    assert leaving_bytes(graph, (0,)) == 400
    assert leaving_bytes(graph, (1, 2)) == 44
    assert leaving_bytes(graph, (0, 1)) == 440
    # v1 is an output of the model; v2 ends inside.
    assert leaving_bytes(graph, (1, 2, 3)) == 40 + 32
    assert leaving_bytes(graph, range(5)) == 40 + 32


def test_values_nest_as_the_blocks_do():
    graph = graph_of(DIAMOND)
    first, virtual, *_ = tree_values(graph, cluster(graph).chain, [1.0, 2.0, 4.0, 8.0, 16.0])
    assert first == {"kind": "node", "nodes": [0], "bytes": 32, "device_s": 1.0, "branches": []}
    assert virtual == {
        "kind": "virtual",
        "nodes": [1, 2],
        "bytes": 64,
        "device_s": 6.0,
        "branches": [
            [{"kind": "node", "nodes": [1], "bytes": 32, "device_s": 2.0, "branches": []}],
            [{"kind": "node", "nodes": [2], "bytes": 32, "device_s": 4.0, "branches": []}],
        ],
    }


def test_places_are_those_of_the_tree():
    assert places(cluster(fig4()[0]).chain) == {
        0: "1", 1: "2a", 2: "2aa", 3: "2ab", 4: "2ab", 5: "2a", 6: "2b", 7: "2b", 8: "3"
    }  # fmt: skip
    assert places(cluster(graph_of(PRIME)).chain) == {**dict.fromkeys(range(5), "1*"), 5: "2"}


def test_branches_beyond_the_alphabet_are_numbered():
    wide = graph_of(["x", *["v0"] * 28, " ".join(f"v{i}" for i in range(1, 29))])
    assert [places(cluster(wide).chain)[node] for node in (1, 26, 27, 28)] == ["2a", "2z", "2(27)", "2(28)"]
