"""The policy a bundle holds: the runtime decides by it as was proven, and its drift tests have the samples' shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from coachc.calib.online.default_policy import BAND_SHARE, default_policy
from coachc.calib.online.exit_memory import CAPACITY, Stream
from coachc.calib.online.exit_scores import Fitted
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung, lowest
from coachc.runtime.online.scoring import Scorer

INF = float("inf")
COUNT = 400
ANSWERS = np.zeros(COUNT, int)
PLAIN = Policy(
    "none", "cut", None, None, tuple(Rung((bits,), 100.0 * bits, 0.0) for bits in range(2, 7)), 3,
    (INF, INF, INF, -INF, -INF), 0.02, 0.01, 1.0,
)  # fmt: skip
FITTED = Fitted(
    Scorer("margin", (0, 1), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)),
    np.float32([0.5, 0.7]), np.float32([30, 40]), np.zeros(0, int), np.zeros(0, np.float32),
)  # fmt: skip


@pytest.fixture
def kept():
    rng = np.random.default_rng(0)
    score = rng.choice(np.linspace(0, 1, 101), COUNT).astype(np.float32)
    differs = rng.random(COUNT) < 0.1
    sent = Sent(lambda rung: np.zeros(COUNT), 5, np.arange(COUNT), 1)
    return ScoredTasks(sent, score, differs.astype(float), differs)


def most(events, among):
    """Clopper and Pearson's bound of a share."""
    return stats.beta.ppf(0.95, events + 1, among - events)


def test_nothing_proven_is_the_precision_alone(kept):
    for fitted, tasks in ((FITTED, kept), (None, None)):
        found = default_policy(PLAIN, Setting(4), fitted, tasks, None, ANSWERS)
        assert found == PLAIN._replace(name="default", base=4, adjust=(INF, INF, INF, INF, -INF))


def test_exits_and_how_often_they_differ(kept):
    threshold = float(np.float32(0.6))
    rule = default_policy(PLAIN, Setting(3, threshold), FITTED, kept, None, ANSWERS).exits
    over = kept.score > threshold
    assert rule.scorer is FITTED.scorer
    assert (rule.lengths.tolist(), rule.counts.tolist()) == (FITTED.lengths.tolist(), FITTED.counts.tolist())
    assert rule.thresholds[0] == threshold
    # To climb to: half, and then a fifth, of the exits are left.
    left = [(kept.score > climbed).sum() / over.sum() for climbed in rule.thresholds[1:]]
    assert left == pytest.approx([0.5, 0.2], abs=0.03)
    assert rule.wrong_share == pytest.approx(most(kept.differs[over].sum(), over.sum()))


def test_the_tasks_below_the_exits_are_watched(kept):
    threshold = float(np.float32(0.6))
    rule = default_policy(PLAIN, Setting(3, threshold), FITTED, kept, None, ANSWERS).exits
    watched = (kept.score >= rule.band) & (kept.score <= threshold)
    assert watched.mean() == pytest.approx(BAND_SHARE, abs=0.02)
    assert rule.band_wrong_share == pytest.approx(most(kept.differs[watched].sum(), watched.sum()))


def test_where_all_exit_none_is_watched(kept):
    rule = default_policy(PLAIN, Setting(3, -1.0), FITTED, kept, None, ANSWERS).exits
    assert rule.band == -1.0
    assert rule.band_wrong_share == pytest.approx(most(0, 1))


def test_lower_precisions_are_admitted_as_they_were_proven(kept):
    """Proven were scores above the thresholds; the runtime admits those from its own on."""
    setting = Setting(3, INF, ((2, float(np.float32(0.4))), (1, float(np.float32(0.75)))))
    found = default_policy(PLAIN, setting, FITTED, kept, None, ANSWERS)
    for score in np.linspace(0, 1, 101).astype(np.float32):
        admitted = min([3, *(rung for rung, above in setting.lower if score > above)])
        assert lowest(found.adjust, float(score)) == admitted
    # The score is asked for although nothing exits by it.
    assert found.exits.scorer is FITTED.scorer
    assert found.exits.thresholds == ()
    assert (found.exits.wrong_share, found.exits.band) == (0.0, 0.0)


def stream():
    """Frames that look alike by four, the model's answers to them, and the split model's at each rung."""
    rng = np.random.default_rng(1)
    features = np.repeat(rng.standard_normal((COUNT // 4, 16)), 4, axis=0) + 0.1 * rng.standard_normal((COUNT, 16))
    answers = np.repeat(rng.integers(0, 5, COUNT // 4), 4)
    answers = np.where(rng.random(COUNT) < 0.1, 7, answers)
    by_rung = np.stack([np.where(rng.random(COUNT) < share, 6, answers) for share in (0.4, 0.3, 0.2, 0.1, 0.05)])
    # The model is wrong on all of them: nothing is ever lost, and answers differ all the same.
    truth, mean = np.full(COUNT, 9), np.full(16, 0.1, np.float32)
    shown = Stream(
        features.astype(np.float32), mean, np.arange(COUNT), truth, answers == truth, lambda rung: by_rung[rung:]
    )
    return shown, answers, by_rung


@pytest.mark.parametrize("lower", [(), ((2, 0.7), (1, 0.9))], ids=["base", "lower too"])
@pytest.mark.parametrize("scored", [False, True])
def test_the_memory_and_how_often_it_differs_from_the_model(kept, scored, lower):
    """At the worst of the precisions at which the server may have answered what is remembered."""
    setting = Setting(3, float(np.float32(0.6)) if scored else INF, lower, 0.9)
    tasks = kept if scored or lower else None
    shown, answers, by_rung = stream()
    found = default_policy(PLAIN, setting, FITTED if tasks is not None else None, tasks, shown, answers)
    ended, _ = shown.recalled(kept.score > setting.exits, 0.9, 3)
    held, differs = [], 0
    for task in np.flatnonzero(~(kept.score > setting.exits)):
        if ended[task]:
            row = shown.features[task] - shown.mean
            rows = shown.features[held[-CAPACITY:]] - shown.mean
            nearest = held[-CAPACITY:][(rows @ row / np.linalg.norm(rows, axis=1)).argmax()]
            differs += any(by_rung[rung][nearest] != answers[task] for rung in range(1 if lower else 3, 5))
        else:
            held.append(task)
    assert 0 < differs < ended.sum()
    rule = found.memory
    assert (rule.threshold, rule.capacity, rule.mean.tolist()) == (0.9, CAPACITY, shown.mean.tolist())
    assert rule.wrong_share == pytest.approx(most(differs, ended.sum()))
    assert (found.exits is not None) == (tasks is not None)


def test_without_a_stream_there_is_no_memory(kept):
    assert default_policy(PLAIN, Setting(3, 0.6, (), 0.9), FITTED, kept, None, ANSWERS).memory is None
