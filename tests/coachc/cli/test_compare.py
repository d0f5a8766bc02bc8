"""`coachc compare`: the table, the sweep over bandwidths, the JSON behind both, and what it refuses."""

from __future__ import annotations

import re
from unittest import mock

import pytest

from coachc.models.synthetic import chain
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import REPOSITORY, coachc, succeed

DIGITS = REPOSITORY / "models" / "digits.onnx"
ROWS = (
    "device only", "cloud only, raw", "cloud only, JPEG", "Neurosurgeon, chain", "Neurosurgeon, topological",
    "DADS, light load (DSL)", "DADS, heavy load (DSH)", "SPINN, no exit", "JPS, single cut", "JPS, mix",
    "QuantPipe-like", "COACH, Eq. 6 as printed", "COACH, recursion", "coachc, exact", "coachc, mixture",
)  # fmt: skip


def compare_json(*arguments):
    return coachc("compare", *arguments, "--json").json()


def by_name(point):
    return {row["name"]: row for row in point["rows"]}


def test_json_holds_every_system_at_every_bandwidth():
    found = compare_json(DIGITS, "--bandwidth", "1Mbit,20Mbit", "--rtt", "8ms", "--fps", 10)
    assert set(found) >= {
        "model", "device", "cloud", "workers", "devices", "arrivals_per_s", "calibration", "bits", "points",
    }  # fmt: skip
    assert (found["arrivals_per_s"], found["calibration"], found["bits"]) == (10, "none", 4)
    assert [point["bandwidth_bytes_per_s"] for point in found["points"]] == [1e6 / 8, 20e6 / 8]
    for point in found["points"]:
        assert set(point) == {"bandwidth_bytes_per_s", "method", "partitions", "proven", "verdict", "rows"}
        assert (point["method"], point["partitions"], point["proven"]) == ("exact", 26, True)
        assert tuple(by_name(point)) == ROWS
        assert set(point["verdict"]) == {
            "split_pays", "split_period_s", "whole_period_s", "instead", "jpeg_period_s", "text",
        }  # fmt: skip
        rows = by_name(point)
        least_s = min(rows[name]["period_s"] for name in ("device only", "cloud only, raw"))
        assert point["verdict"]["whole_period_s"] == least_s
        assert point["verdict"]["jpeg_period_s"] == rows["cloud only, JPEG"]["period_s"]
        for row in point["rows"]:
            assert set(row) == {
                "name", "period_s", "latency_mean_s", "latency_p95_s", "payload_bytes", "busy", "gap", "parts", "note",
            }  # fmt: skip
            assert max(row["busy"].values()) == pytest.approx(1.0)
            assert sum(part["share"] for part in row["parts"]) == pytest.approx(1.0)
            assert row["gap"] == pytest.approx(row["period_s"] / rows["coachc, exact"]["period_s"] - 1, abs=1e-9)


def test_the_table_says_what_the_json_says(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    (point,), text = compare_json(DIGITS)["points"], succeed("compare", DIGITS)
    lines = text.splitlines()
    assert lines[0].startswith("digits: tx2 (fp16) -> 5ms -> a6000 (fp16), 1 worker(s), 1 device(s), 20 arrivals/s, ")
    assert lines[0].endswith("4 bits assumed (--calib measures it)")
    assert re.split(r" {2,}", lines[1])[-5:] == ["bytes", "device", "link", "cloud", "vs best"]
    # A mixture's second part is on a line of its own.
    rows = [line for line in lines[2:-2] if not line.startswith(" ")]
    for line, row in zip(rows, point["rows"], strict=True):
        assert line.startswith(row["name"] + " ")
        cells = [
            f"{row['period_s'] * 1e3:.2f}", f"{row['latency_mean_s'] * 1e3:.1f}", f"{row['latency_p95_s'] * 1e3:.1f}",
            f"{row['payload_bytes']:,.0f}", *(f"{share:.0%}" for share in row["busy"].values()), f"{row['gap']:+.1%}",
        ]  # fmt: skip
        assert line.split()[-8:] == cells
        for part in row["parts"]:
            assert f"{part['device_operators']}/23" in text
    search = "coachc, exact: 26 ways to cut the model compared (exact), proven optimal"
    assert lines[-2] == f"20 Mbit/s: {point['verdict']['text']}. {search}"
    assert lines[-1].startswith("times: device estimated, fitted to published measurements; cloud estimated, scaled")


def test_several_bandwidths_are_a_sweep_with_stars():
    arguments = [DIGITS, "--bandwidth", "1Mbit,12Mbit,10Gbit"]
    points, text = compare_json(*arguments)["points"], succeed("compare", *arguments)
    lines = text.splitlines()
    pays = [point["verdict"]["split_pays"] for point in points]
    assert pays == [False, True, True]
    titles = [f"{rate} Mbit/s" + ("" if pay else " *") for rate, pay in zip(("1", "12", "10000"), pays, strict=True)]
    assert re.split(r" {2,}", lines[2]) == ["system", *titles]
    for line, name in zip(lines[3:], ROWS, strict=False):
        periods = [f"{by_name(point)[name]['period_s'] * 1e3:.2f}" for point in points]
        assert line.startswith(name + " ")
        assert line.split()[-3:] == periods
    assert "* splitting does not pay" in lines[3 + len(ROWS)]
    for line, point, pay in zip(lines[-4:], points, pays, strict=False):
        assert point["verdict"]["text"] in line
        assert point["verdict"]["text"].startswith("splitting pays: " if pay else "splitting does not pay: ")
    assert "a JPEG to the cloud would be faster" not in points[1]["verdict"]["text"]


def test_the_verdict_gives_the_gain():
    (point,) = compare_json(DIGITS, "--bandwidth", "12Mbit")["points"]
    verdict = point["verdict"]
    gain = 1 - verdict["split_period_s"] / verdict["whole_period_s"]
    assert verdict["text"].startswith(f"splitting pays: {gain:.1%} less time between results than {verdict['instead']}")
    assert "JPEG" not in verdict["text"]
    # With 8 bits for every cut a JPEG is smaller than what a cut sends.
    (point,) = compare_json(DIGITS, "--bits", 8)["points"]
    jpeg_s = by_name(point)["cloud only, JPEG"]["period_s"]
    assert jpeg_s < by_name(point)["coachc, exact"]["period_s"]
    assert point["verdict"]["text"].endswith(
        f"; a JPEG to the cloud would be faster ({jpeg_s * 1e3:.2f} ms) if its accuracy is enough"
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((), "gives a partition that can be run here"),
        (("a", "b"), "cannot be run: 2 operators on the device read what the cloud makes (a, b)"),
        (("a", "b", "c", "d"), "cannot be run: 4 operators on the device read what the cloud makes (a, b, c, ...)"),
    ],
)
def test_published_says_whether_dads_graph_can_be_run(wrong, said):
    arguments = [DIGITS, "--bandwidth", "1Mbit,20Mbit", "--published"]
    with mock.patch("coachc.planning.compare.published_dads_error", return_value=wrong):
        points, text = compare_json(*arguments)["points"], succeed("compare", *arguments)
    assert [point["published_dads_backward_operators"] for point in points] == [list(wrong)] * 2
    for rate in (1, 20):
        assert f"\n{rate} Mbit/s: DADS' graph as published {said}\n" in text
    assert "as published" not in succeed("compare", DIGITS)


def test_arrivals_change_latencies_and_nothing_else():
    slow, fast = (compare_json(DIGITS, "--fps", fps)["points"][0] for fps in (1, 1500))
    for name, row in by_name(slow).items():
        crowded = by_name(fast)[name]
        assert (row["period_s"], row["busy"], row["parts"]) == (crowded["period_s"], crowded["busy"], crowded["parts"])
        # 1500 a second are one each 0.67 ms.
        if row["period_s"] > 0.001:
            assert crowded["latency_p95_s"] > row["latency_p95_s"] * 1.5, name
        assert crowded["latency_mean_s"] >= row["latency_mean_s"] * (1 - 1e-9), name


def test_devices_that_share_the_server_lengthen_periods_where_the_cloud_binds():
    one, four = (by_name(compare_json(DIGITS, "--bandwidth", "10Gbit", "--devices", n)["points"][0]) for n in (1, 4))
    raw = "cloud only, raw"
    assert one[raw]["busy"]["cloud"] == pytest.approx(1.0)
    assert four[raw]["period_s"] == pytest.approx(4 * one[raw]["period_s"])
    assert four["device only"]["period_s"] == one["device only"]["period_s"]
    assert one["coachc, exact"]["period_s"] < four["coachc, exact"]["period_s"] < four[raw]["period_s"]


def test_the_family_of_profiles_is_said_and_counts():
    found = compare_json(DIGITS, "--family", "eager", "--device", "nx")
    assert (found["device"]["precision"], found["cloud"]["precision"]) == ("eager-fp16", "eager-fp32")
    assert (found["device"]["target"], found["device"]["kind"]) == ("xavier-nx", "fitted")
    plain = compare_json(DIGITS, "--device", "nx")
    alone = [by_name(one["points"][0])["device only"]["period_s"] for one in (found, plain)]
    assert alone[0] > 2 * alone[1]


def test_samples_measure_the_bits(tmp_path):
    model = save(chain(), tmp_path / "chain.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz")
    found = compare_json(model, "--calib", samples, "--budget", "10%")
    assert (found["calibration"], found["bits"]) == ("labels", None)
    # Four channels are no picture: there is no JPEG row.
    assert tuple(by_name(found["points"][0])) == tuple(name for name in ROWS if name != "cloud only, JPEG")
    assert found["points"][0]["verdict"]["jpeg_period_s"] is None
    text = succeed("compare", model, "--calib", samples, "--budget", "10%")
    assert re.search(r"precision measured on .*samples\.npz", " ".join(text.split()))


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--bits", 4, "--calib", "random"], "--bits and --calib exclude each other", "leave one out"),
        (["--family", "onnx"], "--family 'onnx' is unknown", "one of tensorrt, eager"),
        (["--bandwidth", "20Mbit,50"], "bandwidth '50' has no unit", "write --bandwidth 50Mbit"),
        (["--bandwidth", "20Mbit,"], "--bandwidth '' is not a number with a unit", "for example --bandwidth 20Mbit"),
        (["--budget", "much", "--calib", "random"], "--budget 'much' is not a fraction", "--budget 0.5%"),
        (["--device", "a6000"], "a6000 is a cloud target, not a device", "--device"),
    ],
)
def test_what_makes_no_sense_is_refused(flags, message, hint):
    outcome = coachc("compare", DIGITS, *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert hint in outcome.err
