"""Left-out scores against fitting again without the sample, and each score on samples made for it."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.online import exit_scores
from coachc.calib.online.exit_scores import apply, fit
from coachc.runtime.online.scoring import SCORES


def samples(count=60, size=5, labels=3, seed=0):
    """Features around one centre per label, non-negative, with labels that are not 0, 1, 2."""
    rng = np.random.default_rng(seed)
    answers = rng.choice([2, 5, 9][:labels], count)
    centres = rng.uniform(0, 2, (10, size))
    return np.maximum(centres[answers] + 0.4 * rng.standard_normal((count, size)), 0).astype(np.float32), answers


@pytest.mark.parametrize("kind", SCORES)
def test_a_left_out_score_is_that_of_a_fit_without_the_sample(kind, monkeypatch):
    """For the margin the mean stays that of all samples: one sample moves it by a share of itself."""
    features, answers = samples()
    if kind == "head":  # one penalty, so that both fits take the same
        monkeypatch.setattr(exit_scores, "PENALTIES", (1e-2,))
    fitted = fit(kind, features, answers)
    rest = np.arange(len(answers))
    for left in range(0, len(answers), 7):
        others = rest != left
        if kind == "head":
            # The penalty is per sample and the scale that of the samples: both as in the whole fit.
            expected = _ridge(features, answers, others, 1e-2)
        else:
            mean = features.mean(axis=0) if kind == "margin" else 0
            centres = np.stack([(features[others & (answers == a)] - mean).mean(axis=0) for a in np.unique(answers)])
            row = features[left] - mean
            cosines = centres @ row / np.linalg.norm(centres, axis=1) / np.linalg.norm(row)
            expected = np.clip(cosines, 0, 1) if kind == "separability" else cosines
        if kind == "head":
            expected = expected[left]
        order = np.sort(expected)
        score = order[-1] - order[-2]
        if kind == "separability":
            score = np.linalg.norm(expected) * score * order[-1] / order[-2]
        assert fitted.best[left] == np.unique(answers)[expected.argmax()]
        assert fitted.score[left] == pytest.approx(score, rel=1e-4, abs=1e-5)


def _ridge(features, answers, others, penalty):
    """Outputs for all samples of a ridge regression on `others`, solved as normal equations with the fit's scaling."""
    x = features.astype(np.float64)
    z = np.c_[(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))]
    targets = (answers[:, None] == np.unique(answers)).astype(float)
    weight = penalty * len(x) * np.eye(z.shape[1])
    weight[-1, -1] = 0
    solution = np.linalg.solve(z[others].T @ z[others] + weight, z[others].T @ targets[others])
    return z @ solution


@pytest.mark.parametrize("kind", SCORES)
def test_a_score_sorts_right_labels_from_wrong_ones(kind):
    """On samples of the same centres that it has not seen, the surer half is right more often."""
    features, answers = samples(count=400)
    half = np.arange(400) < 200
    best, score = apply(fit(kind, features[half], answers[half]), features[~half])
    right = best == answers[~half]
    sure = score > np.median(score)
    assert right[sure].mean() > right[~sure].mean()
    assert right.mean() > 0.8


@pytest.mark.parametrize("kind", SCORES)
def test_one_label_is_no_score(kind):
    features, answers = samples()
    assert fit(kind, features, np.full_like(answers, 4)) is None


@pytest.mark.parametrize("kind", ["separability", "margin"])
def test_a_label_seen_once_is_never_its_own_proof(kind):
    features, answers = samples()
    answers = answers.copy()
    answers[0] = 77
    assert fit(kind, features, answers).best[0] != 77


def test_features_that_are_constant_or_negative_are_taken():
    features, answers = samples()
    features = np.c_[features - 1, np.full(len(features), 3.0)].astype(np.float32)
    for kind in SCORES:
        fitted = fit(kind, features, answers)
        assert np.isfinite(fitted.score).all()
        assert fitted.scorer.signed == (kind == "separability")
