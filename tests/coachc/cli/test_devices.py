"""`coachc devices` says of each target what its profile file says, by which rules it is checked, and who says so."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources

import pytest

from coachc.frontend.opset import NEWEST_OPSET
from coachc.models import synthetic
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, succeed

FILES = {
    entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text("utf-8"))
    for entry in (resources.files("coachc.cost") / "profiles").iterdir()
    if entry.name.endswith(".toml")
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
        assert row["profiles"][precision] == {key: roofline[key] for key in ("kind", "band", "source")}
        assert f"{precision} {roofline['kind']} {roofline['band']:.3g}x" in text
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


def test_one_target_by_itself():
    text = succeed("devices", "show", "tx2")
    for word in ("NVIDIA Jetson TX2", "8.2.1", "8 GiB", "GFLOP/s", "depthwise", "us an operator", "fp16 (fitted"):
        assert word in text
    assert "T4" in succeed("devices", "show", "t4")
    outcome = coachc("devices", "show", "tx9")
    assert outcome.code == 2
    assert "did you mean 'tx2'" in outcome.err


@pytest.mark.needs("onnxruntime")
def test_a_target_of_the_users_own_from_first_to_last(tmp_path):
    """Its file is shown, changed, compiled for, and not needed by whoever checks the bundle."""
    path = tmp_path / "mine.toml"
    text = succeed("devices", "show", "xavier-nx", "--toml")
    path.write_text(text.replace("NVIDIA Jetson Xavier NX", "My board"))
    model = save(synthetic.residual(), tmp_path / "net.onnx")
    said = json.loads(
        succeed("compile", model, "--device", path, "--calib", "random", "-o", tmp_path / "a.coach", "--json")
    )
    assert (said["device"]["target"], said["device"]["kind"]) == ("mine", "fitted")
    assert said["device"]["band"] > 1
    path.unlink()
    assert "on mine: trt8.5: ok" in words(succeed("check", tmp_path / "a.coach"))
    outcome = coachc("compile", model, "--device", path, "--calib", "random", "-o", tmp_path / "b.coach")
    assert outcome.code == 1
    assert "cannot read the target" in outcome.err
    assert not (tmp_path / "b.coach").exists()


@pytest.mark.needs("onnxruntime")
def test_a_limit_of_energy(tmp_path):
    """What a task takes is said; a limit below the least is an error that says what that is."""
    model = save(synthetic.residual(), tmp_path / "net.onnx")
    flags = ("compile", model, "--device", "tx2", "--calib", "random", "--json")
    free = json.loads(succeed(*flags, "-o", tmp_path / "a.coach"))["energy"]
    assert free["joules"] > 0
    assert free["kind"] == "guess"
    within = json.loads(succeed(*flags, "-o", tmp_path / "b.coach", "--max-joules", free["joules"] * 1.001))
    assert within["energy"]["joules"] <= free["joules"] * 1.001
    outcome = coachc(*flags, "-o", tmp_path / "c.coach", "--max-joules", "1e-9")
    assert outcome.code == 1
    assert "no plan takes 1e-09 J or less of the device for a task" in outcome.err
    assert "closest: " in outcome.err
    assert "J a task of the device" in words(succeed("explain", tmp_path / "a.coach"))
    outcome = coachc(
        "compile", model, "--device", "local", "--calib", "random", "-o", tmp_path / "d.coach", "--max-joules", 1
    )
    assert outcome.code == 1
    assert "what local draws is not stated" in outcome.err
