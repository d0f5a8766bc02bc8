"""From a real model to a bundle and its answers: known topologies, trained weights, and the accuracy on test images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from coachc.calib.measurements import Measurements
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.errors import InfeasibleError
from coachc.models.synthetic import chain, residual
from coachc.passes.timeline import TIE_ESTIMATED
from coachc.pipeline import CompileOptions, compile_model
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, run_over_socket, succeed
from tests.helpers.light import NAMES, shipped, with_weights
from tests.helpers.real_data import WEIGHTS, cifar_arrays, image_folder, needs_data, weights

#: Points of top-1 that a split may cost on images that nothing was calibrated on.
ADMISSIBLE_LOSS = 0.005


@pytest.fixture
def options(tmp_path):
    return CompileOptions(
        model=str(save(residual(), tmp_path / "net.onnx")),
        output=str(tmp_path / "o.coach"),
        device=find_device("tx2", side="device"),
        cloud=find_device("a6000", side="cloud"),
        link=Link(2.5e6, 0.005),
        calib=str(samples_for(residual(), tmp_path / "samples.npz", labels=False)),
    )


def test_stages_are_reported_in_order(options):
    steps = []
    compiled = compile_model(
        dataclasses.replace(options, mode="split"), lambda step, done, total: steps.append((step, done, total))
    )
    names = list(dict.fromkeys(step for step, _, _ in steps))
    planning = ["import", "profile", "whole model", "precision of cut", "refining the cut"]
    assert names == [*planning, "proving what is lost", "yardsticks of the outputs", "emit"]
    assert [done for step, done, _ in steps if step == "precision of cut"][-1] == compiled.planned.found.measured
    refined = [(done, total) for step, done, total in steps if step == "refining the cut"]
    assert refined[-1][0] == refined[-1][1]
    assert ("whole model", 24, 24) in steps


def test_auto_is_the_best_of_all_modes(options):
    periods = {}
    for mode in ("auto", "split", "device-only", "cloud-raw"):
        compiled = compile_model(dataclasses.replace(options, mode=mode, output=f"{options.output}.{mode}"))
        assert mode in ("auto", compiled.planned.plan.way.mode)
        periods[mode] = compiled.planned.plan.way.timeline.period_s
    # Within what estimated profiles are worth the least latency is preferred.
    assert periods["auto"] <= min(periods.values()) * (1 + TIE_ESTIMATED)


def test_the_latency_objective_and_limit(options):
    exact = compile_model(dataclasses.replace(options, mode="split")).planned.plan.way.timeline
    fastest = compile_model(
        dataclasses.replace(options, mode="split", objective="latency", output=options.output + "2")
    ).planned.plan.way.timeline
    assert fastest.latency_s <= exact.latency_s
    assert exact.period_s <= fastest.period_s
    too_short = dataclasses.replace(options, mode="split", max_latency_s=fastest.latency_s * 0.5)
    with pytest.raises(InfeasibleError, match="no plan answers within") as caught:
        compile_model(dataclasses.replace(too_short, output=options.output + "3"))
    assert "closest: split" in caught.value.context[0]
    assert not Path(options.output + "3").exists()


def test_a_faster_link_never_lengthens_the_period(options):
    periods = []
    for index, rate in enumerate((1e5, 1e6, 1e7, 1e9)):
        changed = dataclasses.replace(options, mode="split", link=Link(rate, 0.005), output=f"{options.output}{index}")
        periods.append(compile_model(changed).planned.plan.way.timeline.period_s)
    assert periods == sorted(periods, reverse=True)


def test_workers_share_the_cloud(options, tmp_path):
    model = save(chain(), tmp_path / "chain.onnx")
    changed = dataclasses.replace(options, model=str(model), mode="cloud-raw", link=Link(1e12, 0), budget=0.3)
    one = compile_model(changed).planned.plan.way.timeline
    four = compile_model(dataclasses.replace(changed, workers=4, output=options.output + "4")).planned.plan.way.timeline
    assert one.period_s == max(one.device_s, one.link_s, one.cloud_s)
    assert four.period_s == max(four.device_s, four.link_s, four.cloud_s / 4)
    assert four.cloud_s == one.cloud_s


@pytest.mark.parametrize("name", NAMES)
def test_a_known_topology_with_weights(name, tmp_path):
    path = with_weights(name, tmp_path)
    plan = compile_json(path, tmp_path / "o.coach", "--calib", "random", "--samples", 2)["plan"]
    path.unlink()
    assert plan["period_s"] > 0
    assert plan["gap"] == 0
    succeed("check", tmp_path / "o.coach", "--samples", 1)
    for file in (tmp_path / "o.coach").iterdir():
        file.unlink()  # half a gigabyte for VGG-19


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("bvlc_alexnet", "vgg19", "zfnet512")])
def test_a_known_topology_as_shipped(name, tmp_path):
    flags = ("--calib", "random", "--samples", 2, "--mode", "split")
    report = compile_json(shipped(name), tmp_path / "o.coach", *flags)
    assert report["plan"]["mode"] == "split"
    succeed("check", tmp_path / "o.coach", "--samples", 1)


@needs_data
@pytest.mark.parametrize("name", WEIGHTS)
def test_trained_networks_compile(name, tmp_path):
    report = compile_json(weights(name), tmp_path / "o.coach", "--calib", "random")
    assert report["plan"]["gap"] == 0
    assert report["calibration"] == "UNCALIBRATED"
    succeed("check", tmp_path / "o.coach")


def assert_accuracy(network: str, sources: list[Path], flags: list[object], folder: Path, *, certified: bool) -> None:
    """Both modes lose at most `ADMISSIBLE_LOSS` over the socket against the whole model, on each source.

    Where nothing is certified, by what the source can tell: within its interval.

    What one compilation has measured of a cut the other one finds, as one that goes on after it was stopped would.
    """
    bundle = folder / "o.coach"
    whole: dict[Path, dict[str, Any]] = {}
    tried = []
    for mode in ("split", "auto"):
        report = compile_json(weights(network), bundle, *flags, "--mode", mode, "--force")
        if certified:
            assert report["accuracy"]["certified"]
            assert report["accuracy"]["loss_bound_95"] <= ADMISSIBLE_LOSS
        halves = {file.name: file.read_bytes() for file in bundle.glob("*.onnx")}
        if halves in tried:
            continue  # both modes choose the same plan
        tried.append(halves)
        for source in sources:
            if source not in whole:
                whole[source] = coachc("run", bundle, "--cut", "device-only", "--source", source, "--json").json()
                assert whole[source]["accuracy"] > 0.8
            if report["plan"]["mode"] != "device-only":
                ran = run_over_socket(bundle, source)
                assert (ran["mode"], ran["tasks"]) == (report["plan"]["mode"], whole[source]["tasks"])
                loss = whole[source]["accuracy"] - ran["accuracy"]
                # At least so many answers changed: the least that the loss can be off by chance, one-sided 95 %.
                chance = 1.645 * (max(loss, 0.0) / ran["tasks"]) ** 0.5
                assert loss <= ADMISSIBLE_LOSS + (0.0 if certified else chance), (mode, source)


@pytest.fixture
def _measured_once(monkeypatch):
    monkeypatch.setattr(Measurements, "discard", lambda self: None)


@needs_data
@pytest.mark.usefixtures("_measured_once")
@pytest.mark.needs("uvicorn", "httptools")
def test_accuracy_of_cifar10_resnet20(tmp_path):
    calib = cifar_arrays("cifar10_train_lossless_2000", tmp_path / "calib.npz")
    sources = [
        cifar_arrays(name, tmp_path / f"{name}.npz") for name in ("cifar10_test_lossless_500", "cifar10_test_jpeg_2500")
    ]
    assert_accuracy("cifar10_resnet20", sources, ["--calib", calib], tmp_path, certified=True)


@needs_data
@pytest.mark.usefixtures("_measured_once")
@pytest.mark.needs("uvicorn", "httptools", "PIL")
def test_accuracy_of_imagenet_mobilenet_v2(tmp_path):
    calib = image_folder("imagenet_sample_1per_class_1000", tmp_path / "calib")
    source = image_folder("imagenet_nips2017dev_500", tmp_path / "test")
    flags = ["--calib", calib, "--samples", 250, "--pixel-scale", 127.5, "--mean", "1", "--std", "1"]
    assert_accuracy("imagenet_mobilenet_v2_1.0_224", [source], flags, tmp_path, certified=False)
