"""What is measured of a cut for one link holds for another; whether coding pays is decided for each."""

from __future__ import annotations

import dataclasses

import pytest

from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.models.synthetic import chain
from coachc.planning.calibration import open_calibration, without_samples
from coachc.planning.problem import Setting, load_problem
from tests.helpers.bundles import samples_for, save

pytestmark = pytest.mark.needs("onnxruntime")


def problem_at(path, rate):
    sides = {"device": find_device("tx2", side="device"), "cloud": find_device("a6000", side="cloud")}
    return load_problem(Setting(model=str(path), link=Link(rate, 0.005), **sides))


def test_a_cut_is_measured_once_and_coded_where_that_pays(tmp_path):
    path = save(chain(), tmp_path / "net.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz", labels=False)
    slow = problem_at(path, 1e4)
    fast = dataclasses.replace(slow, costs=dataclasses.replace(slow.costs, link=Link(1e12, 0.005)))
    steps = []
    calibration = open_calibration(
        slow, str(samples), None, max_samples=24, task="classify",
        progress=lambda step, done, total: steps.append(step),
    )  # fmt: skip
    there = calibration.at(fast)
    mask, cut = 0b1, slow.graph.cut_values(0b1)
    coded, packed = calibration.precision(mask, cut, 8), there.precision(mask, cut, 8)
    assert steps.count("precision of cut") == 1
    assert calibration.measured.asked == there.measured.asked == 1
    assert coded.quantizers == packed.quantizers
    assert (len(coded.layouts), packed.layouts) == (1, ())
    assert there.measured.coded(mask) == calibration.measured.coded(mask) == coded
    assert (there.precision.known(mask), calibration.measured.measured()) == (packed, {mask: coded})
    assert there.precision is there.measured


def test_without_samples_every_link_has_the_same_precision(tmp_path):
    problem = problem_at(save(chain(), tmp_path / "net.onnx"), 1e6)
    calibration = without_samples(problem, 4)
    assert calibration.at(problem_at(tmp_path / "net.onnx", 1e9)) is calibration
