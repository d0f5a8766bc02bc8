import numpy as np
import pytest

from coachc.runtime.online.centres import LEAST_ANCHOR_COSINE, LEAST_CONFIDENCE, WEIGHT_CAP, Centres
from coachc.runtime.online.feature import unit
from tests.helpers.online import scorer_of, vector


def centres_of(vectors, counts, mean=None):
    vectors = np.array(vectors, np.float32)
    scorer = scorer_of("margin", unit(vectors), tuple(range(len(vectors))), mean=mean)
    return Centres(scorer, np.linalg.norm(vectors, axis=1), counts), scorer


def test_equation_7_by_hand():
    """m = 3, T = (1, 2, 2), F = (5, 2, -2): (3 T + F) / 4 = (2, 2, 1); then m = 4 and F = (2, 2, -9): (2, 2, -1)."""
    centres, _ = centres_of([[1, 2, 2], [0, 0, 7]], [3, 9])
    assert centres.add_pseudo(0, vector(5, 2, -2)).what == "moved"
    np.testing.assert_allclose(centres.vector(0), [2, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(centres.directions[0], [2 / 3, 2 / 3, 1 / 3], rtol=1e-6)
    centres.add_pseudo(0, vector(2, 2, -9))
    np.testing.assert_allclose(centres.vector(0), [2, 2, -1], rtol=1e-5)
    np.testing.assert_allclose(centres.vector(1), [0, 0, 7])  # the others stay


def test_equation_7_after_a_mean_was_taken_away():
    """m = 1, T = (4, 0), mean (1, 1), F = (3, 5): ((4, 0) + (2, 4)) / 2 = (3, 2)."""
    centres, _ = centres_of([[4, 0], [0, 1]], [1, 1], mean=(1, 1))
    centres.add_pseudo(0, vector(3, 5))
    np.testing.assert_allclose(centres.vector(0), [3, 2], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_fifty_tasks_are_their_mean_in_float64(seed):
    random = np.random.RandomState(seed)
    start = random.standard_normal((2, 32)).astype(np.float32)
    features = random.standard_normal((50, 32)).astype(np.float32) + start[1]
    centres, _ = centres_of(start, [1, 17])
    mean, count = start[1].astype(np.float64), 17.0
    for feature in features:
        centres.add_pseudo(1, feature)
        mean = (count * mean + feature) / (count + 1)
        count += 1
    np.testing.assert_allclose(centres.vector(1), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        mean, (17 * start[1].astype(np.float64) + features.sum(axis=0, dtype=np.float64)) / 67, rtol=1e-9
    )


def test_a_centre_without_samples_is_its_first_task():
    centres, _ = centres_of([[0, 0], [0, 1]], [0, 1])
    centres.add_pseudo(0, vector(3, 4))
    np.testing.assert_allclose(centres.vector(0), [3, 4], rtol=1e-6)


def test_verified_tasks_weigh_at_least_one_part_in_the_cap():
    """Of 1,000,000 samples only WEIGHT_CAP count: (100 (1, 0) + (0, 1)) / 101."""
    assert WEIGHT_CAP == 100
    centres, _ = centres_of([[1, 0], [0, 1]], [1e6, 1])
    centres.add_verified(0, vector(0, 1), 0.9)
    np.testing.assert_allclose(centres.vector(0), [100 / 101, 1 / 101], rtol=1e-6)
    few, _ = centres_of([[1, 0], [0, 1]], [9, 1])
    few.add_verified(0, vector(1, 1), 0.9)
    np.testing.assert_allclose(few.vector(0), [1, 0.1], rtol=1e-6)


@pytest.mark.parametrize("confidence", [0.0, LEAST_CONFIDENCE - 1e-6, float("nan"), -float("inf")])
def test_unsure_answers_move_nothing(confidence):
    centres, _ = centres_of([[1, 0], [0, 1]], [5, 5])
    before = centres.directions.tobytes()
    assert centres.add_verified(0, vector(1, 1), confidence).what == "unsure"
    assert centres.directions.tobytes() == before
    np.testing.assert_array_equal(centres.vector(0), [1, 0])


@pytest.mark.parametrize("confidence", [LEAST_CONFIDENCE, 1.0])
def test_sure_answers_do(confidence):
    centres, _ = centres_of([[1, 0], [0, 1]], [5, 5])
    assert centres.add_verified(0, vector(1, 0.1), confidence).what == "moved"


def test_a_centre_never_leaves_the_reach_of_its_anchor_then_freezes_at_it():
    centres, scorer = centres_of([[1, 0], [0, 1]], [50, 50])
    anchors = scorer.weights.tobytes()
    seen = []
    for _ in range(200):
        seen.append(centres.add_verified(0, vector(0, 1), 1.0).what)
        assert float(centres.directions[0] @ scorer.weights[0]) >= LEAST_ANCHOR_COSINE - 1e-6
    moves = seen.index("frozen")
    assert 20 < moves < 60
    assert set(seen[:moves]) == {"moved"}
    assert set(seen[moves:]) == {"frozen"}
    assert list(centres.frozen) == [True, False]
    np.testing.assert_array_equal(centres.directions[0], scorer.weights[0])
    assert centres.add_verified(0, vector(1, 0), 1.0) == ("frozen", 1.0)
    assert centres.add_verified(1, vector(0, 1), 1.0).what == "moved"
    assert scorer.weights.tobytes() == anchors


def test_random_verified_tasks_stay_within_reach():
    random = np.random.RandomState(5)
    centres, scorer = centres_of(random.standard_normal((6, 12)), [3] * 6)
    anchors = scorer.weights.tobytes()
    for _ in range(600):
        place = random.randint(6)
        feature = (10.0 ** random.randint(-3, 4) * random.standard_normal(12)).astype(np.float32)
        centres.add_verified(place, feature + 3 * scorer.weights[place], 1.0)
        assert np.all(np.einsum("ij,ij->i", centres.directions, scorer.weights) >= LEAST_ANCHOR_COSINE - 1e-5)
        np.testing.assert_allclose(np.linalg.norm(centres.directions, axis=1), 1, rtol=1e-5)
    assert scorer.weights.tobytes() == anchors


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("guarded", [False, True])
def test_features_without_a_direction_move_nothing(bad, guarded):
    centres, _ = centres_of([[1, 0], [0, 1]], [5, 5])
    before = centres.directions.tobytes()
    feature = vector(bad, bad)
    update = centres.add_verified(0, feature, 1.0) if guarded else centres.add_pseudo(0, feature)
    assert update == ("unusable", 1.0)
    assert centres.directions.tobytes() == before
    np.testing.assert_array_equal(centres.vector(0), [1, 0])


def test_zeros_count_for_equation_7_only():
    """m = 5, T = (1, 0), F = 0: 5 / 6 of it."""
    centres, _ = centres_of([[1, 0], [0, 1]], [5, 5])
    assert centres.add_verified(0, vector(0, 0), 1.0).what == "unusable"
    np.testing.assert_array_equal(centres.vector(0), [1, 0])
    assert centres.add_pseudo(0, vector(0, 0)).what == "moved"
    np.testing.assert_allclose(centres.vector(0), [5 / 6, 0], rtol=1e-6)


def test_a_mean_of_zero_has_no_direction():
    centres, _ = centres_of([[1, 0], [0, 1]], [1, 1])
    assert centres.add_pseudo(0, vector(-1, 0)).what == "unusable"
    np.testing.assert_array_equal(centres.vector(0), [1, 0])
