"""The files of the generations: complete, and refused with file, key, expected and found when they are wrong."""

from __future__ import annotations

from importlib import resources

import pytest

from coachc.errors import InternalError
from coachc.targets.generation import EVIDENCE, version
from coachc.targets.generation_toml import generations, parse_generations
from coachc.targets.limit_checks import CHECKS
from coachc.targets.limit_kinds.whole_model import MODEL_CHECKS


def texts() -> dict[str, str]:
    folder = resources.files("coachc.targets") / "generations"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir()}


def test_the_generations():
    found = generations()
    assert list(found) == ["8.2", "8.5", "8.6", "10", "11", "rtx"]
    assert {name: rules.dialect for name, rules in found.items()} == {
        "8.2": "8.2",
        "8.5": "8.5",
        "8.6": "8.5",
        "10": "8.5",
        "11": "11",
        "rtx": "11",
    }
    assert [rules.newest_opset for rules in found.values()] == [13, 17, 17, 20, 24, 28]


@pytest.mark.parametrize("name", generations())
def test_every_rule_has_id_reason_remedy_and_source(name):
    rules = generations()[name]
    assert rules.limits
    ids = [f"{operator}/{limit.id}" for limit in rules.limits for operator in limit.operators]
    assert len(ids) == len(set(ids))
    for limit in rules.limits:
        assert limit.id
        assert limit.reason
        assert limit.remedy
        assert limit.check in (MODEL_CHECKS if limit.operators == ("*",) else CHECKS)
    known = [limit.source for limit in rules.limits]
    known += [entry.source for entries in rules.operators.values() for entry in entries]
    for source in (*known, *rules.sources.values(), rules.quantize.source):
        assert source.evidence in EVIDENCE
        assert source.text


def test_an_inherited_limit_can_be_dropped():
    old, new = generations()["8.5"], generations()["8.6"]
    assert "k" in {limit.id for limit in old.limits_of("TopK", "8.5.2", 13)}
    assert "k" not in {limit.id for limit in new.limits_of("TopK", "8.6.1", 13)}
    assert "int32" in new.operators["TopK"][0].types
    assert "int32" not in old.operators["TopK"][0].types


def test_releases_are_compared_as_numbers():
    assert version("10.12") > version("10.3")
    assert version("") < version("1.0")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('check = "constant"', 'check = "konstant"', r"trt8\.2\.toml, limits \d+ \('.*'\): 'check' is 'konstant', exp"),
        ('evidence = "seen"', 'evidence = "heard"', r"rtx\.toml, source '\w+': 'evidence' is 'heard', expected one of"),
        ('source = "docs"', 'source = "rumour"', r"'source' is 'rumour', expected one of docs, header"),
        ("newest = 13", 'newest = "13"', r"trt8\.2\.toml, \[opset\]: 'newest' is '13', expected int"),
        ('dialect = "8.2"', "", r"trt8\.2\.toml: key 'dialect' is missing"),
        ("[rank]", "[rank]\nmost = 8", r"\[rank\]: unknown key 'most'"),
        ('"float", "float16", "int8"', '"float", "half", "int8"', r"'taken' is 'half', expected names of ONNX tensor"),
        ('operators = ["Pad"]', 'operators = ["Padd"]', r"'operators' is 'Padd', expected operators of the parser"),
        ('inherits = "8.5"', 'inherits = "8.7"', r"trt8\.6\.toml: 'inherits' is '8\.7', expected one of"),
        ("[opset]", "[opset", r"\.toml is not TOML: "),
        ('dropped = ["TopK/k"', 'dropped = ["TopK/most"', r"dropped names no inherited limit: TopK/most"),
        ("inputs = [1]", "", r"key 'inputs' is missing"),
        ("[quantize]", "[quantise]", r"key 'quantize' is missing"),
    ],
)
def test_a_wrong_file_is_refused(old, new, message):
    found = {name: text.replace(old, new, 1) for name, text in texts().items()}
    assert found != texts()
    with pytest.raises(InternalError, match=message):
        parse_generations(found, {})
