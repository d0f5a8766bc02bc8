"""`coachc devices` says of each target what its profile file says, by which rules it is checked, and who says so."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources

import pytest

from coachc.frontend.opset import NEWEST_OPSET
from tests.helpers.commands import succeed

FILES = {
    entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text("utf-8"))
    for entry in (resources.files("coachc.cost") / "profiles").iterdir()
}


@pytest.fixture(scope="module")
def text() -> str:
    return succeed("devices")


@pytest.fixture(scope="module")
def rows() -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(succeed("devices", "--json"))}


def words(said: str) -> str:
    return " ".join(said.split())


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_target_is_what_its_file_says(name, text, rows):
    file, row = FILES[name], rows[name]
    (line,) = [line for line in text.splitlines() if re.match(rf"{name} .*<=", line)]
    for shown in (file["tensorrt"], f"<= {file['max_opset']}", " ".join(file["precisions"]), *file["aliases"]):
        assert shown in line
    assert {key: row[key] for key in ("tensorrt", "max_opset", "precisions", "aliases", "sides", "memory_bytes")} == {
        key: file[key] for key in ("tensorrt", "max_opset", "precisions", "aliases", "sides", "memory_bytes")
    }
    for precision, roofline in file["roofline"].items():
        assert row["profiles"][precision] == {"kind": roofline["kind"], "source": roofline["source"]}
        assert f"{precision} {roofline['kind']}" in text
    assert set(row["profiles"]) == set(file["roofline"])


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_is_checked_by_the_rules_of_its_generation(name, text, rows):
    generation = rows[name]["generation"]
    assert f"{FILES[name]['tensorrt']}.".startswith(f"{generation}.")
    (line,) = [line for line in text.splitlines() if re.match(rf"{name} .*<=", line)]
    assert re.search(rf" {re.escape(FILES[name]['tensorrt'])} +{re.escape(generation)} +<=", line)
    assert rows[name]["max_opset_source"].split(":")[0] in ("documented", "seen", "inferred")


def test_every_source_is_printed_for_people_too(text, rows):
    _, _, sources = text.partition("where the figures come from:")
    # The second column, its lines joined again.
    said = words("\n".join(re.split(r"\s{2,}", line, maxsplit=1)[-1] for line in sources.splitlines()))
    for row in rows.values():
        for profile in row["profiles"].values():
            assert words(profile["source"]) in said
        if row["generation"]:
            assert words(row["max_opset_source"]) in said


def test_this_machine(text, rows):
    local = rows["local"]
    assert (local["tensorrt"], local["generation"], local["profiles"]) == ("", "", {})
    assert local["max_opset"] == NEWEST_OPSET
    assert local["max_opset_source"].startswith("seen: ")
    assert re.search(r"local +device/cloud +- +- +<= \d+ +fp32 +measured when asked for", text)
