"""Rules from the parser's code: models on both sides of every assertion, for every generation that has it.

Where the parser of TensorRT for RTX has the assertion too it is asked itself, without a GPU.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources

import onnx
import pytest

from coachc.cost.device_files import find_device
from coachc.emit.lowering import lower_for
from coachc.errors import ModelError
from coachc.frontend import ort, walk
from coachc.frontend.onnx_import import import_model
from coachc.passes.lower.table import MENDED
from coachc.targets.generation import version
from coachc.targets.rules import violations
from coachc.targets.target import Target
from tests.helpers.assertions import (
    activating,
    arithmetic,
    control_flow,
    convolutions,
    indices,
    matrices,
    normalizing,
    quantizers,
    recurrent_layers,
    reducing,
    spatial,
    spelled_empty,
    structure,
    whole_models,
    windows,
)
from tests.helpers.assertions.generation_targets import ALL
from tests.helpers.assertions.rtx_parser import Parser

FILES = {
    "spatial": spatial.SIDES,
    "windows": windows.SIDES,
    "normalizing": normalizing.SIDES,
    "convolutions": convolutions.SIDES,
    "activating": activating.SIDES,
    "arithmetic": arithmetic.SIDES,
    "indices": indices.SIDES,
    "matrices": matrices.SIDES,
    "quantizers": quantizers.SIDES,
    "reducing": reducing.SIDES,
    "structure": structure.SIDES,
    "spelled_empty": spelled_empty.SIDES,
    "control_flow": control_flow.SIDES,
    "recurrent_layers": recurrent_layers.SIDES,
    "whole_models": whole_models.SIDES,
}
SIDES = {name: sides for file in FILES.values() for name, sides in file.items()}
#: A device of each generation that has one.
DEVICES = {"8.2": "tx2", "8.5": "xavier-nx", "10": "orin-nano", "11": "a6000"}


def assertions():
    """(id, generation) of every assertion, by file."""
    found = {}
    for file in FILES:
        text = (resources.files("coachc.targets") / "assertions" / f"{file}.toml").read_text("utf-8")
        found[file] = [(one["id"], name) for one in tomllib.loads(text).get("assertions", []) for name in one["at"]]
    return found


ASSERTIONS = sorted({pair for pairs in assertions().values() for pair in pairs})


def target_of(name: str, generation: str) -> Target:
    """A target of a generation, of a release that has an assertion where not all of them do."""
    target = ALL[generation]
    limit = next(one for one in target.rules.limits if one.id == name)
    if limit.since and version(target.release) < version(limit.since):
        return replace(target, release=limit.since)
    if limit.until and version(limit.until) <= version(target.release):
        return replace(target, release=limit.since or f"{generation}.0")
    return target


def broken(model: onnx.ModelProto, target: Target) -> set[str]:
    """Ids of the assertions that a model breaks on a target."""
    return {one.limit.split("/")[-1] for one in violations(model, target) if one.limit}


def known(model: onnx.ModelProto, target: Target) -> bool:
    """Whether the target has the model's opset and its operators: else the rules say that first."""
    rules = target.rules
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if not rules.oldest_opset <= opset <= rules.newest_opset:
        return False
    return all(rules.operator(node.op_type, target.release) for node in model.graph.node if not node.domain)


@pytest.mark.parametrize("file", FILES)
def test_every_assertion_has_models_on_both_sides(file):
    ids = {name for name, _ in assertions()[file]}
    assert ids == set(FILES[file])
    assert all(sides.taken and sides.refused for sides in FILES[file].values())


@pytest.mark.parametrize("name", SIDES)
def test_the_models_are_valid(name):
    for model in (*SIDES[name].taken, *SIDES[name].refused):
        onnx.checker.check_model(model)
        if SIDES[name].runs:
            ort.session(model)


@pytest.mark.parametrize(("name", "generation"), ASSERTIONS)
def test_the_rule_says_what_the_assertion_says(name, generation):
    sides, target = SIDES[name], target_of(name, generation)
    refused = [model for model in sides.refused if known(model, target)]
    taken = [model for model in sides.taken if known(model, target)]
    assert refused
    assert taken
    assert all(name in broken(model, target) for model in refused)
    assert not any(name in broken(model, target) for model in taken)


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser()


@pytest.mark.needs("tensorrt_rtx")
@pytest.mark.parametrize("name", [name for name, generation in ASSERTIONS if generation == "rtx"])
def test_the_parser_of_rtx_says_the_same(name, parser):
    sides = SIDES[name]
    assert [parser.takes(model) for model in (*sides.taken, *sides.refused)] == [
        *[True] * len(sides.taken), *[bool(sides.rtx)] * len(sides.refused)
    ]  # fmt: skip


@pytest.mark.parametrize("generation", DEVICES)
@pytest.mark.parametrize("limit", sorted(MENDED))
def test_what_is_mended_builds_and_computes_the_same(limit, generation, tmp_path):
    operator, name = limit.split("/")
    spec, target = find_device(DEVICES[generation], side="device" if generation != "11" else "cloud"), ALL[generation]
    for number, model in enumerate(SIDES[name].refused):
        if (name, generation) not in ASSERTIONS or not known(model, target):
            continue
        if operator not in {node.op_type for node in walk.nodes(model.graph)}:
            continue
        onnx.save(model, tmp_path / f"{number}.onnx")
        try:
            given = import_model(str(tmp_path / f"{number}.onnx")).proto
        except ModelError:
            continue  # onnx and ONNX Runtime disagree about it, or it cannot be run: nobody compiles it
        if name not in broken(given, target):
            continue  # the import has mended it
        lowered, said = lower_for("m.onnx", given, [spec], feed={})
        assert said is not None
        assert said.failure == ""
        assert [one.rule for one in violations(lowered, target) if one.severity == "error"] == []
