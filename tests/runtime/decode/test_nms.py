import time
import tracemalloc

import numpy as np
import pytest

from coachc.runtime.decode.nms import suppress


def iou(a, b):
    """In float32, operation by operation as `suppress` does it: what is exactly at the threshold tells."""
    one = np.float32(1)
    wide = max(min(a[2], b[2]) - max(a[0], b[0]), np.float32(0))
    high = max(min(a[3], b[3]) - max(a[1], b[1]), np.float32(0))
    shared = one * wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if shared > 0 else np.float32(0)


def plain(boxes, scores, classes, threshold, most, by_class):
    kept = []
    for index in sorted(range(len(boxes)), key=lambda one: (-scores[one], one)):
        rivals = [other for other in kept if not by_class or classes[other] == classes[index]]
        if all(iou(boxes[other], boxes[index]) <= np.float32(threshold) for other in rivals):
            kept.append(index)
    return kept[:most]


def some(seed, count=120, classes=3):
    """Boxes on a coarse grid: many overlaps at exactly a threshold, ties, equal boxes and ones without area."""
    rng = np.random.RandomState(seed)
    low = rng.randint(0, 20, (count, 2))
    boxes = np.concatenate([low, low + rng.randint(0, 10, (count, 2))], axis=1).astype(np.float32)
    return boxes, (rng.randint(0, 8, count) / 8).astype(np.float32), rng.randint(0, classes, count)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("by_class", [True, False])
def test_as_plain_loops_do_it(seed, by_class):
    boxes, scores, classes = some(seed)
    for threshold in (0.0, 0.25, 0.5, 1.0):
        kept = suppress(boxes, scores, classes, threshold, 1000, by_class)
        assert kept.tolist() == plain(boxes, scores, classes, threshold, 1000, by_class)
        assert suppress(boxes, scores, classes, threshold, 7, by_class).tolist() == kept[:7].tolist()


def test_only_a_greater_overlap_displaces():
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 2]], np.float32)
    assert suppress(boxes, np.array([1, 0.5]), np.zeros(2), 0.5, 10).tolist() == [0, 1]
    assert suppress(boxes, np.array([1, 0.5]), np.zeros(2), 0.49, 10).tolist() == [0]


def test_equal_scores_count_in_their_order():
    boxes = np.tile(np.array([[0, 0, 4, 4]], np.float32), (5, 1))
    assert suppress(boxes, np.full(5, 0.5), np.zeros(5), 0.5, 10).tolist() == [0]
    assert suppress(boxes, np.full(5, 0.5), np.arange(5), 0.5, 10).tolist() == [0, 1, 2, 3, 4]


def test_corners_may_be_given_either_way():
    boxes = np.array([[0, 0, 4, 4], [4, 4, 0, 0], [0, 4, 4, 0]], np.float32)
    assert suppress(boxes, np.array([3, 2, 1]), np.zeros(3), 0.5, 10).tolist() == [0]


def test_huge_boxes_and_none_at_all():
    boxes = np.array([[-3e38, -3e38, 3e38, 3e38], [0, 0, 1, 1]], np.float32)
    assert suppress(boxes, np.array([2, 1]), np.zeros(2), 0.5, 10).tolist() == [0, 1]
    empty = suppress(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0), 0.5, 10)
    assert (empty.shape, empty.dtype.kind) == ((0,), "i")


@pytest.mark.parametrize("spread", [30.0, 3000.0])
def test_thirty_thousand_candidates_take_bounded_memory_and_time(spread):
    rng = np.random.RandomState(0)
    low = rng.uniform(0, spread, (30000, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 20, (30000, 2))], axis=1).astype(np.float32)
    scores, classes = rng.uniform(0, 1, 30000).astype(np.float32), rng.randint(0, 80, 30000)
    started = time.perf_counter()
    kept = suppress(boxes, scores, classes, 0.45, 300)
    assert time.perf_counter() - started < 10  # 0.1 s where nothing else runs
    assert len(kept) == 300
    tracemalloc.start()
    suppress(boxes, scores, classes, 0.45, 300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # a matrix of them all has 900 million entries
