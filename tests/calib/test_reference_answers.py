"""What a cut is tried on: the whole model's outputs as it makes them, the samples divided, and what identifies them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.certificate import by_unit, choose_test
from coachc.calib.division import divide
from coachc.calib.judges import ClassJudge, OutputJudge
from coachc.calib.reference_answers import float_outputs, trial_of
from coachc.frontend import ort
from tests.helpers.noise_data import noise_dataset
from tests.helpers.onnx_models import imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

SAMPLES = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two outputs: five scores, and a map."""
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4),
        op("Tanh", "c", "t"),
        op("Flatten", "t", "f"),
        op("Gemm", "f k", "y"),
    ]
    weights = [random_weight("a", 2, 4, 3, 3), random_weight("k", 128, 5)]
    outputs = [info("y", (1, 5)), info("t", (1, 2, 8, 8))]
    return imported(net(nodes, ["x"], outputs, weights), tmp_path_factory.mktemp("model"))[0]


@pytest.fixture(scope="module")
def data(model):
    return noise_dataset([model.values["x"]], samples=SAMPLES)


@pytest.fixture(scope="module")
def expected(model, data):
    return [list(ort.run(model.proto, feed).values()) for feed in data]


def test_outputs_come_in_the_order_of_the_samples(model, data, expected):
    done = []
    found = list(float_outputs(model.proto, data, advance=done.append))
    assert done == list(range(1, SAMPLES + 1))
    for mine, other in zip(found, expected, strict=True):
        assert [array.shape for array in mine] == [(1, 5), (1, 2, 8, 8)]
        for array, exact in zip(mine, other, strict=True):
            assert array == pytest.approx(exact, abs=1e-5)


def test_classes_are_judged_by_the_first_output(model, data, expected):
    trial = trial_of(model.proto, data, "classify", 0.1)
    assert isinstance(trial.judge, ClassJudge)
    assert trial.judge.answers.tolist() == [outputs[0].argmax() for outputs in expected]
    assert (trial.judge.kind, trial.data) == ("agreement", data)


def test_outputs_are_judged_in_the_scale_of_the_samples_that_are_seen(model, data, expected):
    trial = trial_of(model.proto, data, "outputs", 0.1)
    assert isinstance(trial.judge, OutputJudge)
    assert trial.judge.measures == ("y", "t")
    for place, scale in enumerate(trial.judge.scales):
        seen = [expected[sample][place] for sample in trial.seen]
        assert scale.mean == pytest.approx(np.mean(seen, axis=0), abs=1e-5)
    everything = trial_of(model.proto, data, "outputs", None)
    assert everything.judge.scales[0].mean == pytest.approx(np.mean([o[0] for o in expected], axis=0), abs=1e-5)


@pytest.mark.parametrize("groups", [None, np.arange(SAMPLES) // 2])
def test_samples_are_divided_by_the_budget(model, data, groups):
    grouped = dataclasses.replace(data, groups=groups)
    trial = trial_of(model.proto, grouped, "classify", 0.1)
    division = divide(SAMPLES, groups, 0.1)
    assert np.array_equal(trial.division.kept, division.kept)
    assert trial.division.proves == (groups is None)
    assert sorted([*trial.seen, *trial.kept]) == list(range(SAMPLES))
    assert trial.kept.tolist() == np.flatnonzero(division.kept).tolist()


@pytest.mark.parametrize("task", ["classify", "outputs"])
def test_without_a_budget_nothing_is_kept_back(model, data, task):
    trial = trial_of(model.proto, data, task, None)
    assert trial.seen.tolist() == list(range(SAMPLES))
    assert not len(trial.kept)
    assert not trial.division.proves


def test_noise_and_labels_are_told_apart(model, data):
    labelled = dataclasses.replace(data, kind="labels", labels=np.arange(SAMPLES) % 5)
    noise = dataclasses.replace(data, kind="random")
    assert trial_of(model.proto, labelled, "classify", 0.1).judge.kind == "labels"
    assert trial_of(model.proto, labelled, "outputs", 0.1).judge.kind == "outputs"
    assert trial_of(model.proto, noise, "classify", 0.1).judge.kind == "random"
    assert trial_of(model.proto, noise, "outputs", 0.1).judge.kind == "random"


class TestFingerprint:
    """A run that was stopped goes on with what was measured: only if nothing has changed that the losses rest on."""

    def of(self, model, data, task="classify"):
        return trial_of(model.proto, data, task, 0.1).fingerprint

    def test_is_the_same_for_the_same(self, model, data):
        assert self.of(model, data) == self.of(model, data)

    def test_changes_with_the_samples(self, model, data):
        fewer = dataclasses.replace(data, samples=SAMPLES - 1)
        others = noise_dataset([model.values["x"]], samples=SAMPLES, seed=1)
        assert len({self.of(model, data), self.of(model, fewer), self.of(model, others)}) == 3

    def test_changes_with_the_labels(self, model, data):
        labels = np.arange(SAMPLES) % 5
        mended = labels.copy()
        mended[7] = 0
        assert self.of(model, dataclasses.replace(data, kind="labels", labels=labels)) != self.of(
            model, dataclasses.replace(data, kind="labels", labels=mended)
        )

    def test_changes_with_the_task(self, model, data):
        assert self.of(model, data, "classify") != self.of(model, data, "outputs")

    def test_changes_with_the_clips(self, model, data):
        assert self.of(model, data) != self.of(model, dataclasses.replace(data, groups=np.arange(SAMPLES) // 2))


@pytest.mark.parametrize(
    "task",
    ["classify", "outputs"],
)
def test_so_many_are_kept_back_as_can_prove_the_budget(tmp_path, task):
    """The fewest samples that are divided at all: where nothing is lost, that is proven."""
    model, _ = imported(net([op("Flatten", "x", "y")], ["x"], [info("y", (1, 256))]), tmp_path)
    data = noise_dataset([model.values["x"]], samples=897)
    trial = trial_of(model.proto, data, task, 0.005)
    if not trial.division.proves:
        return
    none_lost = (
        by_unit(np.zeros((len(places), 1)), places, 1, whole=trial.judge.whole_losses)
        for places in (trial.seen, trial.kept)
    )
    seen, kept = none_lost
    assert choose_test(seen, kept.size, 0.005).proves(kept, 0.005)
