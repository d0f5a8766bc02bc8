"""`coachc compile --mix`: a mixture of cuts beside the plan, in the JSON, in the bundle and in the text."""

from __future__ import annotations

import json
import re

import pytest

from tests.helpers.commands import REPOSITORY, compile_json, succeed

DIGITS = REPOSITORY / "models" / "digits.onnx"
NOISE = ("--calib", "random")


def compiled_text(output, *arguments):
    return succeed("compile", DIGITS, "--device", "tx2", *NOISE, "-o", output, *arguments)


def test_the_mixture_is_in_the_json_and_in_the_bundle(tmp_path):
    found = compile_json(DIGITS, tmp_path / "o.coach", *NOISE, "--mix")
    mixture, plan = found["mixture"], found["plan"]
    assert set(mixture) == {"period_s", "gain", "simulated_period_s", "parts", "note"}
    parts = mixture["parts"]
    assert 2 <= len(parts) <= 3
    assert sum(part["share"] for part in parts) == pytest.approx(1.0)
    means = [sum(part["share"] * part[stage] for part in parts) for stage in ("device_s", "link_s", "cloud_s")]
    assert mixture["period_s"] == pytest.approx(max(means))
    assert mixture["period_s"] < plan["period_s"]
    assert mixture["gain"] == pytest.approx(1 - mixture["period_s"] / plan["period_s"])
    assert mixture["simulated_period_s"] == pytest.approx(mixture["period_s"], rel=0.02)
    assert mixture["note"] == "least mean period over nested cuts"
    for part in parts:
        assert set(part) >= {"share", "cut", "device_operators", "period_s", "latency_s"}
        assert all(set(value) == {"value", "bits"} for value in part["cut"])
        assert (part["cut"] == []) == (part["device_operators"] == plan["operators"])
    manifest = json.loads((tmp_path / "o.coach" / "manifest.json").read_text())
    assert manifest["plan"]["mixture"] == mixture


def test_without_the_flag_nothing_is_said_of_mixtures(tmp_path):
    assert "mixture" not in compile_json(DIGITS, tmp_path / "o.coach", *NOISE)
    assert "mixture" not in compiled_text(tmp_path / "p.coach")


def test_the_mixture_changes_nothing_else(tmp_path):
    plain = compile_json(DIGITS, tmp_path / "a.coach", *NOISE)
    mixed = compile_json(DIGITS, tmp_path / "b.coach", *NOISE, "--mix")
    assert {key: mixed[key] for key in plain if key not in ("bundle", "bundle_id")} == {
        key: plain[key] for key in plain if key not in ("bundle", "bundle_id")
    }


def test_the_text_names_parts_periods_and_the_gain(tmp_path):
    mixture = compile_json(DIGITS, tmp_path / "a.coach", *NOISE, "--mix")["mixture"]
    (line,) = re.findall(r"^mixture +(.*)$", compiled_text(tmp_path / "b.coach", "--mix"), re.MULTILINE)
    for part in mixture["parts"]:
        cut = " + ".join(f"{value['value']} at {value['bits']} bits" for value in part["cut"]) or "device only"
        assert f"{part['share']:.0%} of the tasks {cut}" in line
    assert line.endswith(
        f": period {mixture['period_s'] * 1e3:.2f} ms ({mixture['simulated_period_s'] * 1e3:.2f} ms simulated), "
        f"{mixture['gain']:.1%} less than the plan's; an estimate only, the bundle does not hold it"
    )


def test_a_mixture_without_gain_says_so(tmp_path):
    # Every answer within 2 ms: only the device can do that, so there is nothing to mix.
    flags = ("--mix", "--max-latency", "2ms")
    mixture = compile_json(DIGITS, tmp_path / "a.coach", *NOISE, *flags)["mixture"]
    assert [part["cut"] for part in mixture["parts"]] == [[]]
    assert mixture["gain"] == pytest.approx(0.0)
    assert "no gain over the plan; an estimate only" in compiled_text(tmp_path / "b.coach", *flags)


def test_every_part_keeps_the_latency_limit(tmp_path):
    limit_s = 6.5e-3
    mixture = compile_json(DIGITS, tmp_path / "o.coach", *NOISE, "--mix", "--max-latency", "6.5ms")["mixture"]
    assert all(part["latency_s"] <= limit_s for part in mixture["parts"])


def test_devices_that_share_the_server_count(tmp_path):
    flags = ("--mix", "--bandwidth", "10Gbit")
    one, four = (
        compile_json(DIGITS, tmp_path / f"{n}.coach", *NOISE, *flags, "--devices", n)["mixture"] for n in (1, 4)
    )
    assert one["period_s"] < four["period_s"]
    assert four["simulated_period_s"] == pytest.approx(four["period_s"], rel=0.02)
    cloud_s = sum(part["share"] * part["cloud_s"] for part in four["parts"])
    assert four["period_s"] >= 4 * cloud_s * (1 - 1e-9)
