"""What the whole model's answers on labelled samples give away before any cut is measured."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.answer_doubts import doubts_of_answers
from coachc.calib.judges import ClassJudge, OutputJudge


def said_of(answers, labels, classes=10, *, noise=False):
    eye = np.eye(classes, dtype=np.float32)
    return doubts_of_answers(ClassJudge([[eye[[answer]]] for answer in answers], labels, noise=noise), labels)


def shuffled(right, samples=500, classes=10, seed=0):
    """Labels, and answers of which that share is right and the others are guessed wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, samples)
    answers = np.where(rng.random(samples) < right, labels, (labels + rng.integers(1, classes, samples)) % classes)
    return answers.tolist(), labels


def test_a_model_that_knows_its_classes_gives_no_doubt():
    assert said_of(*shuffled(0.9)) == []
    assert said_of(*shuffled(0.55)) == []


@pytest.mark.parametrize("seed", range(20))
def test_guessing_is_found_and_little_more_is_not_called_so(seed):
    (said,) = said_of(*shuffled(0.1, seed=seed))
    assert "no more than by guessing" in said
    assert "--mean, --std, --color" in said
    (said,) = said_of(*shuffled(0.35, seed=seed))
    assert said.startswith("the whole model is right for 3")
    assert "% of the samples: if that is too few" in said


def test_labels_that_are_shifted_by_one_are_as_good_as_guessed():
    answers, labels = shuffled(0.95)
    assert "no more than by guessing" in said_of(answers, (labels + 1) % 10)[0]


def test_most_answers_right_by_always_giving_the_commonest_label():
    """Nine in ten samples of one class: 90 % right is nothing."""
    labels = np.array([0] * 450 + [1] * 50)
    said = said_of([0] * 500, labels, 2)
    assert said[0].startswith("the whole model answers 0 for all 500 samples")
    assert "right for 450 of 500 samples, no more than by guessing" in said[1]
    # 97 % are more than 90.
    answers = np.where(np.arange(500) % 33 == 0, 1 - labels, labels)
    assert said_of(answers.tolist(), labels, 2) == []


def test_one_class():
    (said,) = said_of([3] * 20, np.full(20, 3))
    assert said == "all 20 samples have the label 3: what is lost on other classes is not seen"


def test_nothing_is_said_without_labels_and_of_other_outputs_that_labels_are_for_none():
    answers, labels = shuffled(0.1)
    assert said_of(answers, None) == []
    assert said_of(answers, labels, noise=True) == []
    maps = OutputJudge([[np.zeros((1, 4, 8, 8), np.float32)]] * 30, ["y"], np.ones(30, bool), noise=False)
    assert doubts_of_answers(maps, np.zeros(30, np.int64)) == ["labels are not used: outputs are judged, not classes"]
    assert doubts_of_answers(maps, None) == []


def test_a_batch_has_a_label_for_each_of_its_rows():
    answers, labels = shuffled(0.9, samples=400)
    eye = np.eye(10, dtype=np.float32)
    batches = ClassJudge([[eye[answers[at : at + 4]]] for at in range(0, 400, 4)], labels, noise=False)
    assert doubts_of_answers(batches, labels) == []


@pytest.mark.parametrize(
    ("samples", "wrong", "known"), [(200, 1, True), (1000, 9, True), (199, 0, False), (200, 2, False)]
)
def test_samples_that_the_model_knows_by_heart(samples, wrong, known):
    """More than 99 % right of 200 samples or more is what it was trained on."""
    labels = np.arange(samples) % 10
    answers = labels.copy()
    answers[:wrong] = (labels[:wrong] + 1) % 10
    said = said_of(answers.tolist(), labels)
    assert (
        said
        == [
            f"the whole model is right for {1 - wrong / samples:.2%} of the samples: if it was trained on them, it "
            "loses more on others than on these; give samples it has not seen"
        ]
        * known
    )
