"""The memory's threshold: the replay is the runtime's own memory, and what is chosen keeps the budget."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.exit_memory import CAPACITY, Stream, cosines_of, memory_threshold, replay
from coachc.runtime.online.memory import Memory


def stream(clips=700, frames=3, noise=0.15, seed=0, flips=0.0):
    """Clips whose frames look alike; each clip has one answer, but for a share of frames that say something else."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clips, 24))
    features = np.repeat(centres, frames, axis=0) + noise * rng.standard_normal((clips * frames, 24))
    answers = np.repeat(rng.integers(0, 8, clips), frames)
    answers = np.where(rng.uniform(0, 1, len(answers)) < flips, answers + 1, answers)
    return features.astype(np.float32), answers, np.repeat(np.arange(clips), frames)


@pytest.mark.parametrize("threshold", [0.3, 0.9, 0.97])
def test_the_replay_is_the_runtimes_memory(threshold):
    features, answers, _ = stream(clips=60)
    mean = features.mean(axis=0)
    scored = np.random.default_rng(1).uniform(0, 1, len(answers)) < 0.2
    played = replay(cosines_of(features, mean), answers, scored, threshold)
    memory = Memory(CAPACITY, features.shape[1], mean)
    for task, (feature, answer) in enumerate(zip(features, answers, strict=True)):
        if scored[task]:
            assert not played.exited[task]
            continue
        match = memory.match(feature)
        assert played.exited[task] == (match.cosine > threshold)
        if match.cosine > threshold:
            assert played.wrong[task] == (match.label != answer)
        else:
            memory.add(feature, int(answer))


def as_stream(features, answers, units):
    none = np.zeros(len(answers), bool)
    return Stream(cosines_of(features, features.mean(axis=0)), answers, none, none, none, units)


def test_frames_of_a_clip_exit_and_other_clips_do_not():
    features, answers, units = stream()
    found = memory_threshold([as_stream(features, answers, units)], 0.005)
    assert found.share == pytest.approx(2 / 3, abs=0.02)
    assert found.bound <= 0.005


def test_the_hardest_trial_decides():
    easy, hard = stream(), stream(flips=0.01, seed=4)
    both = memory_threshold([as_stream(*easy), as_stream(*hard)], 0.005)
    assert both.cosine >= memory_threshold([as_stream(*easy)], 0.005).cosine
    assert both.bound <= 0.005


def test_too_few_clips_certify_no_memory():
    features, answers, units = stream(clips=100, frames=20)
    assert memory_threshold([as_stream(features, answers, units)], 0.005).cosine == np.inf
