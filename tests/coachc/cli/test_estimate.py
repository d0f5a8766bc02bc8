"""`coachc estimate`: the matrix and the front, as tables, JSON and CSV, and what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from unittest import mock

import pytest

from coachc.cost.device_files import all_devices, device_toml
from coachc.models.synthetic import chain
from coachc.planning.estimate import front_of
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import REPOSITORY, coachc, succeed
from tests.helpers.onnx_models import info, net, op, random_weight

DIGITS = REPOSITORY / "models" / "digits.onnx"
MATRIX = ("--devices", "tx2,nx", "--clouds", "a6000,l4", "--bandwidths", "1Mbit,20Mbit,300Mbit", "--rtt", "8ms")
SIDE = {"target", "precision", "kind", "band", "source"}
WAY = {
    "mode", "period_s", "latency_s", "device_s", "link_s", "cloud_s", "frames_per_s", "bytes", "cut", "device_operators"
}  # fmt: skip
#: The words of a plan in the table.
WAYS = {"device-only": "device only", "cloud-raw": "cloud only, raw"}


def estimate_json(*arguments):
    return coachc("estimate", *arguments, "--json").json()


def estimate_csv(*arguments):
    return list(csv.DictReader(io.StringIO(succeed("estimate", *arguments, "--csv"))))


def not_to_build(folder):
    """Neither TensorRT has Optional."""
    nodes = [op("Conv", "x w", "a"), op("Optional", "a", "o"), op("OptionalGetElement", "o", "b"), op("Relu", "b", "y")]
    weights = [random_weight("w", 4, 3, 3, 3)]
    return save(net(nodes, [info("x", (1, 3, 8, 8))], ["y"], weights, opset=17), folder / "optional.onnx")


def test_json_has_a_cell_a_setting_with_where_its_numbers_come_from():
    found = estimate_json(DIGITS, *MATRIX)
    assert set(found) == {"model", "setting", "cells"}
    assert (found["model"]["name"], found["model"]["operators"]) == ("digits", 23)
    assert found["setting"] == {
        "devices": ["tx2", "xavier-nx"], "clouds": ["a6000", "l4"],
        "bandwidths_bytes_per_s": [1e6 / 8, 20e6 / 8, 300e6 / 8], "rtt_s": 8e-3, "family": "tensorrt", "bits": 4,
        "calibration": "none", "calibration_data": None,
    }  # fmt: skip
    cells = found["cells"]
    assert [
        (cell["device"]["target"], cell["cloud"]["target"], cell["link"]["bandwidth_bytes_per_s"]) for cell in cells
    ] == [
        (device, cloud, rate * 1e6 / 8)
        for device in ("tx2", "xavier-nx")
        for cloud in ("a6000", "l4")
        for rate in (1, 20, 300)
    ]
    for cell in cells:
        assert set(cell) == {
            "device", "cloud", "link", "plan", "certainty", "gap", "search", "candidates", "instead", "gain_ratio",
            "no_plan",
        }  # fmt: skip
        plan, instead = cell["plan"], cell["instead"]
        assert set(cell["device"]) == set(cell["cloud"]) == SIDE
        assert set(plan) == set(instead) == WAY
        assert plan["frames_per_s"] == pytest.approx(1 / plan["period_s"])
        assert (cell["gap"], cell["search"], cell["candidates"], cell["no_plan"]) == (0, "exact", 26, None)
        used = [cell["device"]["band"], cell["cloud"]["band"]]
        assert cell["certainty"] == {
            "measured": False, "band": used[0] if plan["mode"] == "device-only" else max(used)
        }  # fmt: skip
        if plan["mode"] == "split":
            assert cell["gain_ratio"] == pytest.approx(instead["period_s"] / plan["period_s"])
        else:
            assert (cell["gain_ratio"], instead["mode"]) == (None, plan["mode"])
    assert {cell["plan"]["mode"] for cell in cells} == {"split", "device-only", "cloud-raw"}


def test_each_cell_is_what_explain_says_of_that_setting_alone():
    for cell in estimate_json(DIGITS, *MATRIX)["cells"]:
        rate = f"{cell['link']['bandwidth_bytes_per_s'] * 8 / 1e6:g}Mbit"
        sides = ("--device", cell["device"]["target"], "--cloud", cell["cloud"]["target"])
        found = coachc("explain", DIGITS, *sides, "--bandwidth", rate, "--rtt", "8ms", "--json").json()
        assert (found["device"], found["cloud"], found["link"]) == (cell["device"], cell["cloud"], cell["link"])
        for name in ("mode", "period_s", "latency_s", "bytes", "device_operators"):
            assert found["plan"][name] == cell["plan"][name], name
        assert [(v["value"], v["bits"]) for v in found["plan"]["cut"]] == [
            (v["value"], v["bits"]) for v in cell["plan"]["cut"]
        ]


def figures(way, certainty):
    kind = "measured" if certainty["measured"] else f"estimated {certainty['band']:.3g}x"
    return [
        f"{way['bytes']:,}", f"{way['period_s'] * 1e3:.2f}", f"{way['frames_per_s']:.1f}",
        f"{way['latency_s'] * 1e3:.2f}", kind,
    ]  # fmt: skip


def cut_of(way):
    return WAYS.get(way["mode"]) or way["cut"][0]["value"]


def test_the_table_says_what_the_json_says(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    cells, text = estimate_json(DIGITS, *MATRIX)["cells"], succeed("estimate", DIGITS, *MATRIX)
    lines = text.splitlines()
    assert lines[0] == (
        "digits: 2 devices x 2 clouds x 3 bandwidths, round trip 8 ms, 4 bits assumed (--calib measures it)"
    )
    assert re.split(r" {2,}", lines[1]) == [
        "device -> cloud", "Mbit/s", "cut", "bytes", "period ms", "frames per s", "latency ms", "gain", "times",
    ]  # fmt: skip
    for line, cell in zip(lines[2:14], cells, strict=True):
        *numbers, kind = figures(cell["plan"], cell["certainty"])
        gain = "-" if cell["gain_ratio"] is None else f"{cell['gain_ratio']:.2f}x"
        assert re.split(r" {2,}", line) == [
            f"{cell['device']['target']} -> {cell['cloud']['target']}",
            f"{cell['link']['bandwidth_bytes_per_s'] * 8 / 1e6:g}",
            cut_of(cell["plan"]), *numbers, gain, kind,
        ]  # fmt: skip
    unsplit = sum(cell["plan"]["mode"] != "split" for cell in cells)
    assert f"not splitting is best in {unsplit} of 12 settings" in lines
    assert "no plan" not in text


def test_csv_has_units_in_its_header_and_the_numbers_of_the_json():
    cells, rows = estimate_json(DIGITS, *MATRIX)["cells"], estimate_csv(DIGITS, *MATRIX)
    assert list(rows[0]) == [
        "device", "device_precision", "cloud", "cloud_precision", "bandwidth_bytes_per_s", "rtt_s", "mode", "cut",
        "bits", "device_operators", "bytes", "period_s", "frames_per_s", "latency_s", "device_s", "link_s", "cloud_s",
        "gain_ratio", "instead", "instead_period_s", "kind", "band", "no_plan",
    ]  # fmt: skip
    for row, cell in zip(rows, cells, strict=True):
        plan = cell["plan"]
        assert (row["device"], row["cloud"]) == (cell["device"]["target"], cell["cloud"]["target"])
        assert (row["device_precision"], row["cloud_precision"]) == ("fp16", "fp16")
        for name in ("period_s", "latency_s", "device_s", "link_s", "cloud_s", "bytes", "frames_per_s"):
            assert float(row[name]) == plan[name]
        assert row["cut"] == ";".join(value["value"] for value in plan["cut"])
        assert row["bits"] == ";".join(str(value["bits"]) for value in plan["cut"])
        assert row["gain_ratio"] == ("" if cell["gain_ratio"] is None else str(cell["gain_ratio"]))
        assert (row["kind"], float(row["band"])) == ("estimated", cell["certainty"]["band"])
        assert float(row["instead_period_s"]) == cell["instead"]["period_s"]
        assert row["no_plan"] == ""


ONE = ("--devices", "tx2", "--clouds", "a6000", "--bandwidths", "20Mbit")


def test_a_front_goes_from_the_shortest_period_to_the_lowest_latency(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    found = estimate_json(DIGITS, *ONE, "--pareto")
    assert set(found) == {
        "model", "setting", "device", "cloud", "link", "search", "candidates", "complete", "front",
    }  # fmt: skip
    assert (found["search"], found["candidates"], found["complete"]) == ("exact", 26, True)
    ways = found["front"]
    assert len(ways) >= 3
    assert all(set(way) == WAY | {"certainty", "plan"} for way in ways)
    assert [way["period_s"] for way in ways] == sorted(way["period_s"] for way in ways)
    assert [way["latency_s"] for way in ways] == sorted((way["latency_s"] for way in ways), reverse=True)
    (cell,) = estimate_json(DIGITS, *ONE)["cells"]
    (plan,) = (way for way in ways if way["plan"])
    assert {name: plan[name] for name in WAY} == cell["plan"]
    assert (plan["certainty"], ways[-1]["mode"]) == (cell["certainty"], "device-only")

    rows = estimate_csv(DIGITS, *ONE, "--pareto")
    assert [float(row["period_s"]) for row in rows] == [way["period_s"] for way in ways]
    assert [row["plan"] == "1" for row in rows] == [way["plan"] for way in ways]
    assert {row["bandwidth_bytes_per_s"] for row in rows} == {str(20e6 / 8)}

    lines = succeed("estimate", DIGITS, *ONE, "--pareto").splitlines()
    assert lines[0] == ("digits: tx2 (fp16) -> 20 Mbit/s, 5 ms -> a6000 (fp16), 4 bits assumed (--calib measures it)")
    for line, way in zip(lines[2:], ways, strict=False):
        bits = str(way["cut"][0]["bits"]) if way["cut"] else "-"
        mark = [">"] if way["plan"] else [""]
        assert re.split(r" {2,}", line) == [*mark, cut_of(way), bits, *figures(way, way["certainty"])]
    assert lines[2 + len(ways)].startswith("No other way has both a shorter period and a lower latency; > is the one")
    assert lines[3 + len(ways)] == "exact: 26 ways to cut the model compared, all there are"


def test_a_front_says_so_where_it_has_not_seen_all_ways():
    def incomplete(*arguments):
        return dataclasses.replace(front_of(*arguments), candidates=5_000, method="frontier", complete=False)

    with mock.patch("coachc.planning.estimate.front_of", incomplete):
        text, found = succeed("estimate", DIGITS, "--pareto"), estimate_json(DIGITS, "--pareto")
    assert "frontier: 5000 ways to cut the model compared; it has more, and some may be better" in text
    assert (found["search"], found["candidates"], found["complete"]) == ("frontier", 5000, False)


def test_a_front_is_drawn(tmp_path):
    one = ("--devices", "tx2", "--clouds", "a6000", "--bandwidths", "20Mbit")
    said = coachc("estimate", DIGITS, *one, "--pareto", "--draw", tmp_path / "front.svg")
    assert said.code == 0
    assert "drawn in" in said.out
    text = (tmp_path / "front.svg").read_text()
    assert text.count("<circle") == len(estimate_json(DIGITS, *one, "--pareto")["front"])
    assert text.count('class="plan"') == 1
    for flags, reason in ((("--draw", "f.svg"), "--pareto asks for"), (("--pareto", "--draw", "f.png"), ".svg file")):
        refused = coachc("estimate", DIGITS, *one, *flags)
        assert (refused.code, reason in " ".join(refused.err.split())) == (2, True)


def test_where_there_is_no_plan_the_cell_says_why_and_the_others_stand(tmp_path):
    path = not_to_build(tmp_path)
    flags = ("--devices", "tx2,local", "--clouds", "a6000", "--bandwidths", "1Mbit,20Mbit")
    first, second, third, fourth = estimate_json(path, *flags)["cells"]
    for cell in (first, second):
        assert (cell["plan"], cell["gain_ratio"], cell["instead"], cell["certainty"]) == (None,) * 4
        assert cell["no_plan"]["message"] == "no plan builds on both sides"
        assert any("node 'Optional.o' (Optional)" in reason for reason in cell["no_plan"]["reasons"])
    # ONNX Runtime takes every model, and was timed here.
    for cell in (third, fourth):
        assert (cell["plan"]["mode"], cell["certainty"]) == ("device-only", {"measured": True, "band": 1.0})
        assert cell["device"]["kind"] == "measured"
    text = " ".join(succeed("estimate", path, *flags).split())
    assert "tx2 -> a6000 1 no plan - - - - - -" in text
    assert "no plan for tx2 -> a6000: no plan builds on both sides; device: node 'Optional.o' (Optional)" in text
    assert " measured " in text
    rows = estimate_csv(path, *flags)
    assert [row["no_plan"] for row in rows] == ["no plan builds on both sides"] * 2 + [""] * 2
    assert [row["period_s"] == "" for row in rows] == [True, True, False, False]
    front = coachc("estimate", path, "--pareto")
    assert (front.code, front.out) == (1, "")
    assert "no plan builds on both sides" in front.err


def test_targets_of_ones_own_and_what_is_named_twice(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(device_toml(all_devices()["tx2"]).replace("band = 1.4", "band = 3.0"))
    found = estimate_json(
        DIGITS, "--devices", f"nx,xavier-nx,{mine}, nx", "--bandwidths", "20Mbit,20Mbit,2.5MB/s,5Mbit"
    )
    assert found["setting"]["devices"] == ["xavier-nx", "mine"]
    assert found["setting"]["bandwidths_bytes_per_s"] == [20e6 / 8, 5e6 / 8]
    assert len(found["cells"]) == 4
    assert {cell["device"]["band"] for cell in found["cells"] if cell["device"]["target"] == "mine"} == {3.0}


def test_the_family_and_the_bits_are_those_of_the_other_commands():
    found = estimate_json(DIGITS, "--family", "eager", "--bits", 8)
    (cell,) = found["cells"]
    assert (cell["device"]["precision"], found["setting"]["family"], found["setting"]["bits"]) == (
        "eager-fp16", "eager", 8
    )  # fmt: skip


def test_samples_measure_the_bits(tmp_path):
    model = save(chain(), tmp_path / "chain.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz")
    flags = ("--calib", samples, "--budget", "10%", "--bandwidths", "1Mbit,300Mbit")
    found = estimate_json(model, *flags)
    assert (found["setting"]["calibration"], found["setting"]["bits"]) == ("labels", None)
    assert found["setting"]["calibration_data"]
    for cell in found["cells"]:
        rate = f"{cell['link']['bandwidth_bytes_per_s'] * 8 / 1e6:g}Mbit"
        alone = coachc("explain", model, *flags[:4], "--bandwidth", rate, "--json").json()["plan"]
        assert {name: cell["plan"][name] for name in ("mode", "period_s", "latency_s", "bytes")} == {
            name: alone[name] for name in ("mode", "period_s", "latency_s", "bytes")
        }
    text = " ".join(succeed("estimate", model, *flags).split())
    assert re.search(r"precision measured on .*samples\.npz", text)
    (plan,) = (way for way in estimate_json(model, *flags[:4], "--pareto")["front"] if way["plan"])
    assert plan["period_s"] > 0


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other", "leave one out"),
        (
            ["--pareto", "--devices", "tx2,nx", "--bandwidths", "1Mbit,5Mbit"],
            "--pareto is about one setting, and these are 4: 2 devices x 1 cloud x 2 bandwidths",
            "give one device, one cloud and one bandwidth",
        ),
        (["--devices", "tx3"], "unknown device 'tx3'; did you mean 'tx2'?", "coachc devices"),
        (["--devices", "tx2,"], "unknown device ''", "coachc devices"),
        (["--devices", "tx2,a6000"], "a6000 is a cloud target, not a device", "choose one with --devices"),
        (["--clouds", "l4,tx2"], "tx2 is a device target, not a cloud", "choose one with --clouds"),
        (["--bandwidths", "20Mbit,50"], "bandwidth '50' has no unit", "write --bandwidths 50Mbit"),
        (["--bandwidths", "20Mbit,"], "--bandwidths '' is not a number with a unit", "--bandwidths 20Mbit"),
        (["--bandwidths", "2Mbit..9Mbit"], "is a range, and this takes one rate", "for example --bandwidths 2Mbit"),
        (["--rtt", "5"], "--rtt '5' has no unit", "write --rtt 5ms"),
        (["--bits", 4, "--calib", "random"], "--bits and --calib exclude each other", "leave one out"),
    ],
)
def test_what_makes_no_sense_is_refused(flags, message, hint):
    outcome = coachc("estimate", DIGITS, *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert hint in outcome.err


def test_two_targets_of_one_name_are_refused(tmp_path):
    other = tmp_path / "tx2.toml"
    other.write_text(device_toml(all_devices()["tx2"]).replace("band = 1.4", "band = 3.0"))
    outcome = coachc("estimate", DIGITS, "--devices", f"tx2,{other}")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--devices has two targets called tx2" in outcome.err
    assert "rename the file" in outcome.err


def test_a_model_that_is_not_there_is_one_error(tmp_path):
    outcome = coachc("estimate", tmp_path / "none.onnx")
    assert (outcome.code, outcome.out) == (1, "")
    assert "none.onnx" in outcome.err


def test_rates_in_bytes_are_said_in_bits():
    outcome = coachc("estimate", DIGITS, "--bandwidths", "2MB,5Mbit")
    assert outcome.code == 0
    assert "note: --bandwidths 2MB is in bytes: 16 Mbit/s (write Mbit for bits)" in outcome.err
