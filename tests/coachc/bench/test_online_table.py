"""The default policy's promise on data nobody tuned for: real features of two networks, calibration and test apart."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.bench.online_table import BUDGET, FeatureTasks, levels, row, vgg16_case
from coachc.calib.certificate import LEVEL
from coachc.calib.division import divide
from coachc.calib.online.online_policy import CutTimes, Part, build
from coachc.calib.online.policy_losses import Sent
from coachc.evaluate.bandwidth_trace import constant
from coachc.evaluate.replay import Setup, replay
from coachc.frontend import ort
from coachc.runtime.online.precision import Rung
from tests.helpers.real_data import DATA, cifar_arrays, needs_data, weights

pytestmark = [pytest.mark.needs("onnxruntime"), needs_data]

SETUP = Setup(constant(2.5e6), 5e-3, 2.5e6)
#: Of ResNet56's 27 residual blocks: after a quarter, half, 70 % and 85 %.
CUTS = {
    "early": "/layer1/layer1.6/relu2/Relu_output_0",
    "middle": "/layer2/layer2.4/relu2/Relu_output_0",
    "70 % deep": "/layer3/layer3.1/relu2/Relu_output_0",
    "late": "/layer3/layer3.5/relu2/Relu_output_0",
}


@pytest.fixture(scope="module")
def vgg16():
    return vgg16_case(DATA)


@pytest.fixture(scope="module")
def table(vgg16):
    online, tasks, groups = vgg16
    return {
        level: row(level, tasks, order, {"relu6": online.policies}, "relu6").results for level, order in levels(groups)
    }


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_vgg16_stays_within_the_budget(table, level):
    assert table[level]["default"].loss <= BUDGET
    assert table[level]["default"].exits.value > 0.1
    # What the paper's thresholds promise and do not keep.
    assert table[level]["paper"].loss > BUDGET


def test_a_correlated_stream_exits(table):
    assert table["high"]["default"].exits.value >= 0.15


def test_exits_save_bytes_and_time(table):
    for results in table.values():
        assert results["default"].bytes_per_task.value < 0.9 * results["none"].bytes_per_task.value
        assert results["default"].latency_s.value < results["none"].latency_s.value


def test_classes_that_change_half_way(vgg16):
    """Seven classes, then the other seven: the loss stays within the budget."""
    online, tasks, _ = vgg16
    truth = np.array([tasks.truth(task) for task in range(len(tasks))])
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(np.flatnonzero(truth < 7)), rng.permutation(np.flatnonzero(truth >= 7))])
    outcomes = replay("default", tasks, order.tolist(), {"relu6": online.policies["default"]}, "relu6", SETUP)
    whole = np.array([tasks.alone(task) == tasks.truth(task) for task in order])
    right = np.array([outcome.right for outcome in outcomes])
    for half in (slice(None, len(order) // 2), slice(len(order) // 2, None)):
        assert np.mean(whole[half]) - np.mean(right[half]) <= BUDGET
    assert np.mean([bool(outcome.exit) for outcome in outcomes]) > 0.3


def test_a_stream_that_repeats_wrong_exits_stops_exiting(vgg16):
    """Every test frame that exits wrongly, again and again: soon nothing exits any more, and nothing is lost."""
    online, tasks, _ = vgg16
    # A threshold that no sample has proven: so many of the exits are wrong that it is found out.
    exits = online.policies["default"].exits
    policy = online.policies["default"]._replace(exits=exits._replace(thresholds=(0.1, *exits.thresholds), band=0.1))
    once = replay("default", tasks, range(len(tasks)), {"relu6": policy}, "relu6", SETUP)
    wrong = [outcome.task for outcome in once if outcome.exit and not outcome.kept]
    assert wrong
    outcomes = replay("default", tasks, wrong * (4000 // len(wrong)), {"relu6": policy}, "relu6", SETUP)
    last = [place for place, outcome in enumerate(outcomes) if outcome.exit and not outcome.kept]
    assert last
    assert max(last) < 1500
    assert all(outcome.kept for outcome in outcomes[1500:])


#: Of the JPEG pictures, those that policies are calibrated with; the others are test pictures.
CALIBRATION = 1500


@pytest.fixture(scope="module")
def resnet56(tmp_path_factory):
    """Pooled features at every cut, the model's logits and the labels: pictures to calibrate with, two test sets."""
    model = onnx.load(weights("cifar10_resnet56"))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in CUTS.values())
    session = ort.session(model, level="all")
    scratch = tmp_path_factory.mktemp("resnet56")
    found = {}
    for name in ("cifar10_test_lossless_500", "cifar10_test_jpeg_2500"):
        with np.load(cifar_arrays(name, scratch / f"{name}.npz")) as stored:
            arrays, labels = stored["input"], stored["labels"]
        runs = [session.run(None, {"input": arrays[at : at + 100]}) for at in range(0, len(arrays), 100)]
        logits, *values = (np.concatenate(parts) for parts in zip(*runs, strict=True))
        features = {cut: value.mean(axis=(2, 3)) for cut, value in zip(CUTS, values, strict=True)}
        found[name] = logits, features, labels
    order = np.random.default_rng(0).permutation(2500)
    logits, features, labels = found.pop("cifar10_test_jpeg_2500")
    for name, places in (("calibration", order[:CALIBRATION]), ("jpeg", order[CALIBRATION:])):
        found[name] = logits[places], {cut: feature[places] for cut, feature in features.items()}, labels[places]
    return found


@pytest.mark.parametrize("cut", CUTS)
def test_resnet56_stays_within_the_budget(resnet56, cut):
    """The link is taken to change nothing, so that all of the budget is the exits'."""
    logits, features, labels = resnet56["calibration"]
    division = divide(CALIBRATION, None, BUDGET)

    def part(kept):
        places = np.flatnonzero(division.kept == kept)
        sent = Sent(lambda rung: np.zeros(len(places)), 2, places, 1)
        return Part(features[cut][places], logits[places].argmax(axis=1), labels[places], sent)

    rungs = (Rung((4,), 1000.0), Rung((6,), 1500.0))
    times = CutTimes(3e-3, 1e-3, 1.0)
    online, proven = build("cut", part(kept=False), part(kept=True), rungs, 1, times, BUDGET, LEVEL)
    assert proven.proof.bound <= BUDGET
    for name in ("jpeg", "cifar10_test_lossless_500"):
        answered, seen, truth = resnet56[name]
        tasks = FeatureTasks(seen[cut], answered, truth, rungs)
        order = np.random.default_rng(0).permutation(len(tasks))
        result = row(name, tasks, order, {"cut": online.policies}, "cut")
        default = result.results["default"]
        assert default.loss <= BUDGET, (cut, name)
        if cut == "late":
            assert default.exits.value > 0.2, name
