import numpy as np
import pytest

from coachc.runtime.online.feature import unit
from coachc.runtime.online.scoring import LEAST_SIMILARITY, NOTHING, SCORES, score, scores, similarities
from tests.helpers.online import SIZE, scorer_of, vector

MINUS_INFINITY = -float("inf")


def scored(scorer, *numbers):
    return score(scorer, vector(*numbers), scorer.weights)


def test_equations_8_to_10_by_hand():
    """F = (3, 4) and the centres (4, 3), (0, 5) and (1, 0).

    Eq. 8: t = 24 / 25, 20 / 25 and 3 / 5. Eq. 9: |T| = sqrt(0.9216 + 0.64 + 0.36) = 1.386218, times 0.96 - 0.8 = 0.16,
    times 0.96 / 0.8 = 1.2, is 0.266154. Eq. 10: the first label.
    """
    scorer = scorer_of("separability", unit([[4, 3], [0, 5], [1, 0]]))
    feature = vector(3, 4)
    np.testing.assert_allclose(similarities(scorer, feature[None], scorer.weights), [[0.96, 0.8, 0.6]], rtol=1e-6)
    found = scored(scorer, 3, 4)
    assert found.best == 0
    assert found.score == pytest.approx(0.266154, rel=1e-5)


def test_the_length_of_a_feature_is_no_matter():
    scorer = scorer_of("separability", unit([[4, 3], [0, 5], [1, 0]]))
    assert scored(scorer, 3e9, 4e9).score == pytest.approx(0.266154, rel=1e-5)
    assert scored(scorer, 3e-9, 4e-9).score == pytest.approx(0.266154, rel=1e-5)


def test_signed_similarities_by_hand():
    """F = (1, 0), centres (-1, 0), (0, 1), (3, 4): cosines -1, 0 and 0.6 become t = 0, 0.5 and 0.8.

    S = sqrt(0.25 + 0.64) * 0.3 * 0.8 / 0.5 = 0.943398 * 0.48 = 0.452831.
    """
    scorer = scorer_of("separability", unit([[-1, 0], [0, 1], [3, 4]]), signed=True)
    np.testing.assert_allclose(similarities(scorer, vector(1, 0)[None], scorer.weights), [[0, 0.5, 0.8]], rtol=1e-6)
    assert scored(scorer, 1, 0).best == 2
    assert scored(scorer, 1, 0).score == pytest.approx(0.452831, rel=1e-5)


def test_unsigned_similarities_stay_within_eq_8():
    scorer = scorer_of("separability", unit([[-1, 0], [0, 1], [3, 4]]))
    np.testing.assert_allclose(similarities(scorer, vector(1, 0)[None], scorer.weights), [[0, 0, 0.6]], rtol=1e-6)


def test_a_second_similarity_of_zero_is_guarded():
    """t = 1, 0, 0: S = 1 * 1 * 1 / LEAST_SIMILARITY."""
    found = scored(scorer_of("separability"), 1, 0, 0, 0)
    assert found.best == 0
    assert found.score == pytest.approx(1 / LEAST_SIMILARITY)


def test_margin_by_hand():
    """Mean (1, 1), F = (4, 5): (3, 4) is left, whose cosines are 0.96 and 0.8."""
    found = scored(scorer_of("margin", [[0, 1], [0.8, 0.6]], (2, 5), mean=(1, 1)), 4, 5)
    assert found.best == 1
    assert found.score == pytest.approx(0.16, rel=1e-5)


def test_head_by_hand():
    """(1, 2).(3, 4) + 0.5 = 11.5 and (0, -1).(3, 4) + 1 = -3."""
    found = scored(scorer_of("head", [[1, 2], [0, -1]], (2, 5), bias=(0.5, 1)), 3, 4)
    assert found == (0, 14.5)


@pytest.mark.parametrize("kind", SCORES)
def test_equal_similarities_score_nothing_and_take_the_first(kind):
    found = scored(scorer_of(kind), 1, 1, 1, 0)
    assert found.best == 0
    assert found.score == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("signed", [False, True])
def test_a_feature_of_zeros_scores_zero(kind, signed):
    assert scored(scorer_of(kind, signed=signed), 0, 0, 0, 0) == (0, 0)


@pytest.mark.parametrize("kind", SCORES)
def test_all_cosines_negative(kind):
    """No similarity at all is no separability; a margin between two bad ones remains."""
    found = scored(scorer_of(kind), -1, -2, -3, 0)
    assert found.best == 0
    if kind == "separability":
        assert found.score == 0
    else:
        assert found.score > 0


@pytest.mark.parametrize("kind", SCORES)
def test_one_label_alone_says_nothing(kind):
    assert scored(scorer_of(kind, labels=(4,)), 1, 2, 3, 4) == (0, MINUS_INFINITY)


@pytest.mark.parametrize("kind", SCORES)
def test_no_label(kind):
    assert scored(scorer_of(kind, np.zeros((0, SIZE)), ()), 1, 2, 3, 4) == NOTHING


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38, 2e19])
def test_what_is_not_finite_or_overflows_says_nothing(kind, bad):
    assert scored(scorer_of(kind), 1, bad, 0, 0) == NOTHING
    assert scored(scorer_of(kind), bad, bad, bad, bad) == NOTHING


def test_a_head_that_overflows_says_nothing():
    weights = [[3e38, 3e38], [-3e38, -3e38]]
    assert scored(scorer_of("head", weights, (2, 5)), 10, 10) == NOTHING
    assert scored(scorer_of("head", weights, (2, 5)), 10, -10) == NOTHING


@pytest.mark.parametrize("kind", SCORES)
def test_centres_that_are_not_numbers_say_nothing(kind):
    assert scored(scorer_of(kind, np.full((3, 4), np.nan)), 1, 2, 3, 4) == NOTHING


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("labels", [2, 3, 40])
def test_many_tasks_at_once_are_as_one_by_one_and_as_a_sort(kind, labels):
    random = np.random.RandomState(3)
    weights = unit(random.standard_normal((labels, 16)))
    bias = random.standard_normal(labels) if kind == "head" else np.zeros(labels)
    scorer = scorer_of(kind, weights, tuple(range(labels)), bias, random.standard_normal(16) / 9)
    features = random.standard_normal((60, 16)).astype(np.float32)
    values = similarities(scorer, features, weights)
    best, found = scores(kind, values)
    for task in range(60):
        ordered = np.sort(values[task].astype(np.float64))
        expected = ordered[-1] - ordered[-2]
        if kind == "separability":
            expected *= np.linalg.norm(ordered) * ordered[-1] / max(ordered[-2], LEAST_SIMILARITY)
        assert found[task] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert values[task, best[task]] == values[task].max()
        alone = score(scorer, features[task], weights)
        assert alone.best == best[task]
        assert alone.score == pytest.approx(found[task], rel=1e-3, abs=1e-5)
