"""What the memory ends: the replay is the runtime's own memory, task by task."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.online.exit_memory import CAPACITY, COSINES, Stream
from coachc.runtime.online.memory import Memory

RUNGS = 4


def clips(count=60, frames=3, noise=0.15, seed=0, flips=0.1):
    """Clips whose frames look alike; each clip has one answer, but for a share of frames that say something else."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, 24))
    features = np.repeat(centres, frames, axis=0) + noise * rng.standard_normal((count * frames, 24)) + 3
    answers = np.repeat(rng.integers(0, 8, count), frames)
    answers = np.where(rng.uniform(0, 1, len(answers)) < flips, answers + 1, answers)
    return features.astype(np.float32), answers


def stream_of(features, answers, order=None, *, truth=None, by_rung=None, mean=None):
    """Right is what the model says, and the split model says the same, where nothing else is given."""
    order = np.arange(len(answers)) if order is None else order
    truth = answers if truth is None else truth
    by_rung = np.tile(answers, (RUNGS, 1)) if by_rung is None else by_rung
    mean = features.mean(axis=0) if mean is None else mean
    return Stream(features, mean, order, truth, answers == truth, lambda rung: by_rung[rung:])


def by_runtime(features, answers, order, scored, cosine, mean=None):
    """Which tasks the runtime's memory ends, and with which answers."""
    memory = Memory(CAPACITY, features.shape[1], features.mean(axis=0) if mean is None else mean)
    given = {}
    for task in order:
        if scored[task]:
            continue
        match = memory.match(features[task])
        if match.cosine > cosine:
            given[int(task)] = match.label
        else:
            memory.add(features[task], int(answers[task]))
    return given


def none_of(answers):
    return np.zeros(len(answers), bool)


@pytest.mark.parametrize("rung", [0, 2, 3])
@pytest.mark.parametrize("cosine", [0.3, 0.9, 0.97])
@pytest.mark.parametrize("scored_share", [0.0, 0.2])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_replay_is_the_runtimes_memory(cosine, scored_share, shuffled, rung):
    """Of far more tasks than it holds; what is lost is the worst of what the server may have said at any precision."""
    rng = np.random.default_rng(1)
    features, answers = clips()
    order = np.arange(len(answers))
    if shuffled:
        # The samples come shuffled; their stream is the order they were taken in.
        mixed = rng.permutation(len(answers))
        features, answers, order = features[mixed], answers[mixed], np.argsort(mixed)
    scored = rng.random(len(answers)) < scored_share
    truth = np.where(rng.random(len(answers)) < 0.8, answers, answers + 1)
    changed = [rng.random(len(answers)) < share for share in (0.3, 0.2, 0.1, 0.05)]
    by_rung = np.stack([np.where(one, answers + 1, answers) for one in changed])
    stream = stream_of(features, answers, order, truth=truth, by_rung=by_rung)
    ended, lost = stream.recalled(scored, cosine, rung)
    runs = [by_runtime(features, said, order, scored, cosine) for said in by_rung[rung:]]
    assert np.flatnonzero(ended).tolist() == sorted(runs[0])
    for task in range(len(answers)):
        losses = [int(answers[task] == truth[task]) - int(given[task] == truth[task]) for given in runs if ended[task]]
        assert lost[task] == max(losses, default=0)
    assert 0 < ended.sum() < len(answers)
    assert (~ended & ~scored).sum() > 1.5 * CAPACITY or cosine == 0.3


@pytest.mark.parametrize("cosine", [0.3, 0.9, 0.97])
def test_pairs_are_tasks_and_those_whose_answers_they_get(cosine):
    """Answers that name the task: what the runtime's memory says is whose answer it is."""
    features, _ = clips(count=100)
    names = np.arange(len(features))
    tasks, held = stream_of(features, names).pairs(none_of(names), cosine)
    assert dict(zip(tasks.tolist(), held.tolist(), strict=True)) == by_runtime(
        features, names, names, none_of(names), cosine
    )
    assert (held < tasks).all()
    assert not np.isin(held, tasks).any()


def test_a_replay_is_asked_for_its_own_scores_and_cosine():
    """Replays are kept: another question must not get the answer of the first."""
    features, answers = clips()
    stream, rng = stream_of(features, answers), np.random.default_rng(2)
    asked = [(rng.random(len(answers)) < share, cosine) for share in (0.0, 0.3) for cosine in (0.9, 0.97)]
    for _ in range(2):
        for scored, cosine in asked:
            fresh = stream_of(features, answers).recalled(scored, cosine, 0)
            for kept, once in zip(stream.recalled(scored, cosine, 0), fresh, strict=True):
                assert np.array_equal(kept, once)


def test_a_wrong_answer_at_a_precision_that_is_not_admitted_is_no_loss():
    features, answers = clips(flips=0.0)
    by_rung = np.stack([answers + (rung < 2) for rung in range(RUNGS)])
    stream = stream_of(features, answers, by_rung=by_rung)
    for rung, expected in ((0, True), (1, True), (2, False), (3, False)):
        ended, lost = stream.recalled(none_of(answers), 0.9, rung)
        assert lost.tolist() == (ended & expected).astype(float).tolist()


def test_a_right_answer_that_is_recalled_where_the_model_is_wrong_is_a_gain():
    features, truth = clips(flips=0.0)
    answers = truth.copy()
    answers[1::3] += 1
    ended, lost = stream_of(features, answers, truth=truth).recalled(none_of(answers), 0.9, 0)
    assert ended.tolist() == [False, True, True] * 60
    assert lost.tolist() == [0.0, -1.0, 0.0] * 60


@pytest.mark.parametrize("bad", ["mean", "nan", "inf"])
def test_what_has_no_direction_is_neither_recalled_nor_remembered(bad):
    """As in the runtime, it takes no place of the memory."""
    features, answers = clips()
    mean = features.mean(axis=0)
    features[1::3] = {"mean": mean, "nan": np.nan, "inf": np.inf}[bad]
    # The third frame is like the first of twelve clips before: up to 24 others lie between, 36 with those that are bad.
    features[2::3] = np.roll(features[::3], 12, axis=0)
    ended, _ = stream_of(features, answers, mean=mean).recalled(none_of(answers), 0.9, 0)
    expected = by_runtime(features, answers, np.arange(len(answers)), none_of(answers), 0.9, mean)
    assert not ended[1::3].any()
    assert len(expected) > 40
    assert np.flatnonzero(ended).tolist() == sorted(expected)


def test_frames_of_a_clip_are_recalled_and_other_clips_are_not():
    features, answers = clips(flips=0.0)
    ended, lost = stream_of(features, answers).recalled(none_of(answers), 0.9, 0)
    assert ended.tolist() == [False, True, True] * 60
    assert not lost.any()


def test_what_was_answered_too_long_ago_is_forgotten():
    """The same picture again after as many others as the memory holds, and after one more."""
    features = np.eye(CAPACITY + 8, dtype=np.float32)
    for others, ended in ((CAPACITY - 1, True), (CAPACITY, False)):
        shown = np.array([0, *range(1, others + 1), 0])
        stream = stream_of(features[shown], shown, mean=np.zeros(CAPACITY + 8, np.float32))
        found = stream.recalled(none_of(shown), 0.9, 0)[0]
        assert found.tolist() == [False] * (others + 1) + [ended]


def test_what_the_score_ends_is_not_remembered():
    features = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0)
    stream = stream_of(features, np.arange(8), mean=np.zeros(4, np.float32))
    scored = np.array([True, False, False, True, True, True, False, False])
    assert stream.recalled(scored, 0.9, 0)[0].tolist() == [False] * 7 + [True]


def test_nothing_is_ended_beyond_a_cosine_of_one():
    features, answers = clips()
    ended, lost = stream_of(features, answers).recalled(none_of(answers), 1.01, 0)
    assert not ended.any()
    assert not lost.any()


def test_cosines_are_tried_from_the_most_cautious_on():
    assert list(COSINES) == sorted(COSINES, reverse=True)
    assert COSINES[0] == pytest.approx(0.999)
    assert COSINES[-1] == pytest.approx(0.4)
