"""`coachc inspect`: the table, the tree, the drawing, and all of it as JSON; of models and of bundles."""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree

import onnx
import pytest

from coachc.models.synthetic import chain, inception, nested, residual
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, succeed


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(inception(), tmp_path_factory.mktemp("inception") / "net.onnx")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A split of a chain."""
    folder = tmp_path_factory.mktemp("chain")
    path = save(chain(), folder / "chain.onnx")
    samples = samples_for(chain(), folder / "samples.npz")
    compile_json(path, folder / "chain.coach", "--calib", samples, "--mode", "split")
    return folder / "chain.coach"


def drawn(path) -> tuple[list[str], list[str]]:
    """Names of the operators in a drawing, and the side of each."""
    groups = [g for g in ElementTree.parse(path).iter() if "operator" in g.get("class", "").split()]
    names = [group.findtext("{http://www.w3.org/2000/svg}title") for group in groups]
    return names, [group.get("class").removeprefix("operator").strip() for group in groups]


def flat(tree) -> list[int]:
    """Operators at the leaves of the tree, each once."""
    return [
        node
        for block in tree
        for node in ([n for branch in block["branches"] for n in flat(branch)] if block["branches"] else block["nodes"])
    ]


def test_the_table(model):
    said = succeed("inspect", model)
    assert " ".join(said.splitlines()[0].split()) == "operator kind block side value sent at bits shape bytes MFLOP ms"
    assert re.search(r", [0-9]+ ways to cut it, ", said.splitlines()[-1])
    assert " ms on tx2 (" in said.splitlines()[-1]


def test_json_holds_rows_and_tree(model):
    result = coachc("inspect", model, "--json").json()
    assert len(result["nodes"]) == result["operators"]
    assert len(result["tree"]) == result["blocks"]
    assert sum(block["kind"] == "virtual" for block in result["tree"]) == result["virtual_blocks"] == 2
    assert sorted(flat(result["tree"])) == list(range(result["operators"]))
    assert sum(block["device_s"] for block in result["tree"]) == pytest.approx(result["device_s"])
    assert (result["cut"], result["drawing"]) == (None, None)
    assert {row["side"] for row in result["nodes"]} == {None}
    for number, block in enumerate(result["tree"], 1):
        assert sorted(flat([block])) == block["nodes"]
        assert all(result["nodes"][node]["block"].rstrip("abcd*") == str(number) for node in block["nodes"])


@pytest.mark.parametrize("build", [inception, nested, residual])
def test_blocks_as_a_tree(build, tmp_path):
    path = save(build(), tmp_path / "net.onnx")
    lines = succeed("inspect", path, "--blocks").splitlines()
    result = coachc("inspect", path, "--json").json()
    assert lines[0] == "net"
    assert lines[1].startswith(("├── 1", "└── 1"))
    assert sum("parallel branches" in line for line in lines) >= result["virtual_blocks"]
    assert "operators in" in lines[-1]
    assert not any("MFLOP" in line for line in lines)


def test_a_drawing_of_a_model(model, tmp_path):
    path = tmp_path / "blocks.SVG"
    said = succeed("inspect", model, "--draw", path)
    assert said.splitlines()[-1] == f"drawn in {path}"
    result = coachc("inspect", model, "--draw", path, "--json").json()
    assert result["drawing"] == str(path)
    names, sides = drawn(path)
    assert names == [row["operator"] for row in result["nodes"]]
    assert set(sides) == {""}
    assert os.listdir(tmp_path) == ["blocks.SVG"]


def test_a_drawing_of_a_bundle_has_both_sides_and_the_cut(bundle, tmp_path):
    result = coachc("inspect", bundle, "--draw", tmp_path / "b.svg", "--json").json()
    assert drawn(tmp_path / "b.svg")[1] == [row["side"] for row in result["nodes"]]
    assert {row["side"] for row in result["nodes"]} == {"device", "cloud"}
    assert result["cut"] == "split"
    assert any(value["crosses_at_bits"] for row in result["nodes"] for value in row["outputs"])
    assert '<path class="cut"' in (tmp_path / "b.svg").read_text("utf-8")


def test_a_bundle_that_does_not_split_has_no_cut(tmp_path):
    path = save(chain(), tmp_path / "chain.onnx")
    compile_json(path, tmp_path / "chain.coach", "--calib", "random", "--mode", "device-only")
    result = coachc("inspect", tmp_path / "chain.coach", "--draw", tmp_path / "b.svg", "--json").json()
    assert {row["side"] for row in result["nodes"]} == {"device"}
    assert 'class="cut"' not in (tmp_path / "b.svg").read_text("utf-8")


@pytest.mark.parametrize("name", ["blocks.png", "blocks", "svg"])
def test_only_svg_is_drawn(name, model, tmp_path):
    outcome = coachc("inspect", model, "--draw", tmp_path / name)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error[usage]: --draw '")
    assert "is not the name of an .svg file" in outcome.err
    assert "hint: for example --draw blocks.svg" in outcome.err
    assert not os.listdir(tmp_path)


def test_a_place_that_cannot_be_written(model, tmp_path):
    outcome = coachc("inspect", model, "--draw", tmp_path / "nowhere" / "b.svg")
    assert (outcome.code, outcome.out) == (1, "")
    assert "/nowhere/b.svg: there is no folder " in outcome.err
    assert "hint: name a file in a folder that exists" in outcome.err
    (tmp_path / "folder.svg").mkdir()
    assert coachc("inspect", model, "--draw", tmp_path / "folder.svg").code == 1
    assert os.listdir(tmp_path) == ["folder.svg"]


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path):
    proto = chain()
    node = next(node for node in proto.graph.node if node.op_type == "Conv")
    node.name = "[/red]<:smile:>"
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    for flag in ("--blocks", "--json"):
        assert node.name in succeed("inspect", path, flag)
    assert node.name in succeed("inspect", path, "--draw", tmp_path / "b.svg")
    assert node.name in drawn(tmp_path / "b.svg")[0]
