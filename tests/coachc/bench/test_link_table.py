"""The paper's bytes beside ours at the middle cut of a real network: the same codes, so the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.bench.link_table import at_loss_of, single_tensor_cuts
from coachc.calib.coding import entropy_bytes
from coachc.calib.ranges import Scheme
from coachc.calib.refine import layouts_of
from coachc.core.plan import BitPlan
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.passes.timeline import wire_bytes
from coachc.planning.calibration import open_calibration
from coachc.planning.problem import Setting, load_problem
from tests.helpers.real_data import cifar_arrays, needs_data, weights

pytestmark = [pytest.mark.needs("onnxruntime"), needs_data]


@pytest.fixture(scope="module")
def middle(tmp_path_factory):
    """The evaluator of the middle cut of ResNet56 with 300 training pictures."""
    data = cifar_arrays("cifar10_train_lossless_2000", tmp_path_factory.mktemp("cifar") / "calib.npz", 300)
    problem = load_problem(
        Setting(
            model=str(weights("cifar10_resnet56")),
            device=find_device("tx2", side="device"),
            cloud=find_device("a6000", side="cloud"),
            link=Link(2.5e6, 5e-3),
        )
    )
    calibration = open_calibration(problem, str(data), None, max_samples=300, budget=0.005)
    cuts = single_tensor_cuts(problem)
    mask = cuts[len(cuts) // 2]
    return problem, mask, calibration.measured.evaluator(mask)


def test_the_papers_codes_take_at_most_half_the_bytes(middle):
    """3 bits over the whole range is what the paper's search takes here; coded they say the same in 0.41 of it."""
    problem, mask, evaluator = middle
    quantizers = evaluator.quantizers(3, Scheme("min-max"))
    (value,) = (problem.graph.values[name] for name in problem.graph.cut_values(mask))
    _, size = layouts_of(evaluator, quantizers)
    (codes,) = evaluator.codes(quantizers, 16)
    entropy = float(np.mean([entropy_bytes(array) for array in codes]))
    assert size <= 0.5 * wire_bytes(value, quantizers[0])
    assert size <= 1.05 * entropy


def test_ours_loses_no_more_than_the_papers_and_sends_less(middle):
    problem, mask, evaluator = middle
    paper = evaluator.quantizers(3, Scheme("min-max"))
    ours = at_loss_of(evaluator, paper)
    assert evaluator.measure(ours.quantizers).accuracy.loss <= evaluator.measure(paper).accuracy.loss
    assert evaluator.probe(ours.quantizers, 64).divergence <= evaluator.probe(paper, 64).divergence
    (value,) = (problem.graph.values[name] for name in problem.graph.cut_values(mask))
    assert ours.coded_bytes <= 0.5 * wire_bytes(value, paper[0])
    assert isinstance(ours, BitPlan)
