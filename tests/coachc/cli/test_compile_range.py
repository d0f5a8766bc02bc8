"""`coachc compile --bandwidth LOW..HIGH`: one bundle of several cuts, checked, served at once and run cut by cut."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from coachc.models.synthetic import chain
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, serving, succeed

pytestmark = [pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools"), pytest.mark.needs("sklearn")]

DIGITS = Path(__file__).parents[3] / "models" / "digits.onnx"
MBIT = 1e6 / 8


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """(bundle, report of the compilation, 40 test images) of the trained digits network for 2 to 100 Mbit/s."""
    from coachc.models.digits import write_data

    folder = tmp_path_factory.mktemp("digits")
    write_data(folder / "calib.npz", folder / "test.npz")
    for name, count in (("calib", 120), ("test", 40)):
        with np.load(folder / f"{name}.npz") as stored:
            arrays = {key: stored[key][:count] for key in stored}
        np.savez(folder / f"{name}.npz", **arrays)
    report = compile_json(
        DIGITS, folder / "digits.coach", "--calib", folder / "calib.npz", "--bandwidth", "2Mbit..100Mbit"
    )
    return folder / "digits.coach", report, folder / "test.npz"


def test_the_report_and_the_manifest_say_where_each_cut_is_the_best(digits):
    path, report, _ = digits
    manifest = open_bundle(path).manifest
    found = report["cut_set"]
    assert manifest.plan["cut_set"] == found
    assert [cut["name"] for cut in found["cuts"]] == [cut.name for cut in manifest.cuts]
    assert manifest.chosen == found["chosen"]
    assert 3 <= len(manifest.cuts) <= 4
    assert manifest.cuts[-1].name == "device-only"
    assert found["worst_ratio"] < 1.1
    ends = sorted(interval for cut in found["cuts"] for interval in cut["best_between_bytes_per_s"])
    assert (ends[0][0], ends[-1][1]) == pytest.approx((2 * MBIT, 100 * MBIT))
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ends))
    middle = (2 * 100) ** 0.5 * MBIT
    assert manifest.link["bandwidth_bytes_per_s"] == pytest.approx(middle)
    assert (manifest.link["low_bytes_per_s"], manifest.link["high_bytes_per_s"]) == (2 * MBIT, 100 * MBIT)
    chosen = next(cut for cut in found["cuts"] if cut["name"] == found["chosen"])
    assert any(low <= middle <= high for low, high in chosen["best_between_bytes_per_s"])
    assert (report["plan"]["mode"], report["plan"]["period_s"]) == (chosen["mode"], chosen["period_s"])
    packed = [cut for cut in manifest.cuts if any(value.codec == "packed" for value in cut.values)]
    assert all(len(value.levels) == 7 for cut in packed for value in cut.values)


def test_weights_are_shared(digits):
    path, _, _ = digits
    sizes = {artefact.path: artefact.size_bytes for artefact in open_bundle(path).manifest.artefacts}
    whole = sizes.pop("model.onnx")
    assert sum(sizes.values()) < 1.2 * whole


def test_every_cut_is_checked(digits):
    path, _, test = digits
    said = succeed("check", path, "--source", test, "--samples", 2)
    for cut in open_bundle(path).manifest.cuts:
        assert f"ok  cut {cut.name}  " in said
    assert "segments in order, 2 real inputs, against the whole model" in said


def test_one_server_for_every_cut(digits):
    path, _, test = digits
    cuts = open_bundle(path).manifest.cuts
    with serving(path) as address:
        run = ["run", path, "--server", address, "--source", test, "--policy", "none", "--json"]
        reports = {cut.name: coachc(*run, "--cut", cut.name).json() for cut in cuts}
    assert {name: report["cut"] for name, report in reports.items()} == {cut.name: cut.name for cut in cuts}
    whole = reports["device-only"]["accuracy"]
    assert all(abs(report["accuracy"] - whole) <= 0.025 for report in reports.values())
    sent = [reports[cut.name]["payload_bytes_per_task"] for cut in cuts]
    assert sent == sorted(sent, reverse=True)
    assert sent[-1] == 0


def test_one_cut_alone_can_be_served(digits):
    path, _, test = digits
    bundle = open_bundle(path)
    other = next(cut.name for cut in bundle.manifest.cuts if cut.cloud and cut.name != bundle.manifest.chosen)
    with serving(path, "--cut", other) as address:
        run = ["run", path, "--server", address, "--source", test, "--limit", 3, "--json"]
        assert coachc(*run, "--cut", other).json()["tasks"] == 3
        refused = coachc(*run)
    assert refused.code == 1
    assert f"serves other cuts of this bundle only, not '{bundle.manifest.chosen}'" in refused.err
    assert f"hint: serve this bundle: coachc serve {path} --cut {bundle.manifest.chosen}" in refused.err


def test_inspect_shows_the_cuts(digits):
    path, _, _ = digits
    manifest = open_bundle(path).manifest
    shown = json.loads(succeed("inspect", path, "--json"))
    assert [cut["name"] for cut in shown["cuts"]] == [cut.name for cut in manifest.cuts]
    assert [tuple(cut["on_device"]) for cut in shown["cuts"]] == [cut.on_device for cut in manifest.cuts]
    operators = [cut["device_operators"] for cut in shown["cuts"]]
    assert operators == sorted(operators)
    assert operators[-1] == shown["operators"]
    assert operators == [cut["device_operators"] for cut in manifest.plan["cut_set"]["cuts"]]
    text = succeed("inspect", path)
    assert f"> cut {manifest.chosen}: " in text
    assert "device: segment1.onnx + " in text


def test_the_table_a_person_reads(tmp_path):
    model = save(chain(), tmp_path / "net.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz", labels=False)
    flags = ["--device", "tx2", "--calib", samples, "-o", tmp_path / "o.coach"]
    said = succeed("compile", model, *flags, "--bandwidth", "1Mbit..1Gbit")
    assert "-> 1 to 1000 Mbit/s (table: 31.62 Mbit/s), 5 ms -> a6000" in said
    assert "cuts of the bundle, each inside the next; times at the middle of the range" in said
    assert "longer between results than the best plan found there" in said
    assert "Mbit/s" in said
    assert "device-only" in said
    again = coachc("explain", tmp_path / "o.coach", "--json").json()
    assert again["cut_set"]["high_bytes_per_s"] == 1000 * MBIT


def test_a_bundle_without_data_has_several_cuts_too(tmp_path):
    model = save(chain(), tmp_path / "net.onnx")
    path = tmp_path / "o.coach"
    report = compile_json(model, path, "--calib", "random", "--mode", "split", "--bandwidth", "100kbit..1Gbit")
    assert report["calibration"] == "UNCALIBRATED"
    assert all(cut["mode"] in ("split", "device-only") for cut in report["cut_set"]["cuts"])
    succeed("check", path, "--samples", 1)


def test_one_way_over_the_whole_range_is_a_bundle_of_one(picture_model, picture_folder, tmp_path):
    flags = ["--calib", picture_folder, "--mode", "cloud-jpeg", "--bandwidth", "2Mbit..100Mbit", "--budget", "90%"]
    report = compile_json(picture_model, tmp_path / "o.coach", *flags)
    assert [cut["name"] for cut in report["cut_set"]["cuts"]] == ["cloud-jpeg", "device-only"]
    cuts = open_bundle(tmp_path / "o.coach").manifest.cuts
    # Its Gemm has no bias, which the TX2's TensorRT does not build: the device's whole is written for it.
    assert [(cut.on_device, cut.on_cloud) for cut in cuts] == [((), ("model.onnx",)), (("device.whole.onnx",), ())]
    succeed("check", tmp_path / "o.coach")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("100Mbit..2Mbit", "bandwidth range '100Mbit..2Mbit' does not go up"),
        ("2Mbit..2Mbit", "does not go up"),
        ("2..100Mbit", "bandwidth '2' has no unit"),
        ("2Mbit..", "--bandwidth '' is not a number with a unit"),
        ("2Mbit..3Mbit..4Mbit", "is a range, and this takes one rate"),
    ],
)
def test_a_range_that_is_none(text, pattern, tmp_path):
    model = save(chain(), tmp_path / "net.onnx")
    outcome = coachc("compile", model, "--device", "tx2", "--calib", "random", "--bandwidth", text)
    assert outcome.code == 2
    assert pattern in outcome.err
