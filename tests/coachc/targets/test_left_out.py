"""The table of assertions that are no rule: each says why, and none is a rule beside."""

from __future__ import annotations

import tomllib
from importlib import resources

from coachc.targets.assertions_toml import LEFT_OUT, RELEASES, SEEN
from coachc.targets.generation_toml import generations

FOLDER = resources.files("coachc.targets") / "assertions"


def test_each_has_a_reason_and_a_line():
    releases = tomllib.loads((FOLDER / RELEASES).read_text("utf-8"))["releases"]
    entries = tomllib.loads((FOLDER / LEFT_OUT).read_text("utf-8"))["left_out"]
    assert len(entries) > 200
    assert len({(one["id"], *one["operators"]) for one in entries}) == len(entries)
    for one in entries:
        assert set(one) == {"id", "operators", "says", "reason", "at"}
        assert one["says"]
        assert one["reason"]
        assert one["at"]
        for generation, line in one["at"].items():
            assert generation in releases
            assert line == SEEN or ".cpp" in line or ".hpp" in line


def test_none_is_a_rule_too():
    entries = tomllib.loads((FOLDER / LEFT_OUT).read_text("utf-8"))["left_out"]
    rules = {
        (name, operator, limit.id)
        for name, generation in generations().items()
        for limit in generation.limits
        for operator in limit.operators
        if limit.source.evidence == "read"
    }
    twice = [
        one["id"] for one in entries for name in one["at"] for operator in one["operators"]
        if (name, operator, one["id"]) in rules
    ]  # fmt: skip
    assert twice == []
