"""Which cuts get online policies, and the precisions they may send at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.online.online_policy import Online
from coachc.calib.refine import quickly_coded
from coachc.core.plan import UNQUANTIZED, BitPlan, Quantizer, quantizer_for
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.models.synthetic import chain
from coachc.passes.timeline import way_at
from coachc.planning.calibration import open_calibration, without_samples
from coachc.planning.online import (
    NoPolicy,
    alone_policies,
    online_json,
    online_policies,
    quantizer_rungs,
    why_no_policy,
)
from coachc.planning.problem import Setting, load_problem
from coachc.runtime.online.policy import POLICIES
from coachc.runtime.online.policy_file import decode_policies, encode_policies
from tests.helpers.bundles import samples_for, save

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online")
    setting = Setting(
        model=str(save(chain(), folder / "chain.onnx")),
        device=find_device("tx2", side="device"),
        cloud=find_device("a6000", side="cloud"),
        link=Link(2.5e6, 5e-3),
    )
    return load_problem(setting), folder


def ladder_of(bits, low=2, high=8):
    return tuple(Quantizer("v", "packed", b, (0.1 * 2 ** (8 - b),), (0,)) for b in range(low, high + 1))


def test_rungs_move_all_values_together_as_far_as_each_can():
    first, second = ladder_of("a"), tuple(dataclasses.replace(q, name="w") for q in ladder_of("b"))
    raw = Quantizer("r", "raw", 64, (), ())
    plan = BitPlan((first[2], second[4], raw), ladder=(first, second, ()))
    rungs = [tuple(q.bits for q in rung) for rung in quantizer_rungs(plan)]
    assert rungs == [
        (2, 2, 64),
        (2, 3, 64),
        (2, 4, 64),
        (3, 5, 64),
        (4, 6, 64),
        (5, 7, 64),
        (6, 8, 64),
        (7, 8, 64),
        (8, 8, 64),
    ]
    assert (4, 6, 64) in rungs


def test_a_cut_with_samples_has_all_three_policies(problem):
    loaded, folder = problem
    samples = samples_for(chain(), folder / "s.npz")
    calibration = open_calibration(loaded, str(samples), None, max_samples=100, budget=0.01, task="classify")
    mask = 0b111
    evaluator = calibration.measured.evaluator(mask)
    bits = quickly_coded(evaluator, evaluator.at(4))
    way = way_at(loaded.graph, mask, bits, loaded.costs)
    assert why_no_policy(loaded, way, calibration) == ""
    found, proven = online_policies(loaded, way, evaluator)
    assert isinstance(found, Online)
    assert proven is None
    assert set(found.policies) == set(POLICIES)
    assert decode_policies(encode_policies(found.policies)).keys() == found.policies.keys()
    # Far too few samples to certify 1 %: nothing exits, and the report says how many are missing.
    assert found.policies["default"].exits is None
    assert online_json(found)["samples_missing"] > 0


def test_why_a_cut_has_none(problem):
    loaded, folder = problem
    graph, mask = loaded.graph, 0b111
    values = [graph.values[name] for name in graph.cut_values(mask)]
    raw = BitPlan(tuple(quantizer_for(value, UNQUANTIZED) for value in values))
    packed = BitPlan(tuple(quantizer_for(value, 4) for value in values))
    given = without_samples(loaded, 4)
    unlabelled = samples_for(chain(), folder / "unlabelled.npz", labels=False)
    unlabelled = open_calibration(loaded, str(unlabelled), None, max_samples=4)
    classified = open_calibration(loaded, str(samples_for(chain(), folder / "l.npz")), None, max_samples=4)
    noise = open_calibration(loaded, "random", None, max_samples=4, budget=0.05)
    for cut, bits, calibration, reason in (
        (graph.full_mask, BitPlan(()), given, "sends nothing"),
        (mask, raw, classified, "no feature"),
        (mask, packed, given, "needs calibration samples"),
        (mask, packed, noise, "needs calibration samples"),
        (mask, packed, unlabelled, "outputs are judged"),
    ):
        found = why_no_policy(loaded, way_at(graph, cut, bits, loaded.costs), calibration)
        assert reason in found
        assert online_json(NoPolicy(found)) == {"reason": found}
    assert folder.is_dir()


def test_device_only_decides_nothing(problem):
    loaded, _ = problem
    policies = alone_policies("device-only", loaded)
    assert set(policies) == set(POLICIES)
    assert all(policy.rungs == () and policy.rest_s == policy.device_s > 0 for policy in policies.values())
    assert np.isclose(policies["none"].device_s, sum(loaded.costs.device.seconds))
