"""What all decoders share: rules, batches, what is no number, and refusals."""

import json
import time
import tracemalloc

import numpy as np
import pytest

from coachc.runtime.decode.decoder import decoder_of
from coachc.runtime.errors import BundleError, EngineError

SIZE = (64, 96)
SPEC = {"kind": "boxes", "head": "yolov8", "classes": ["cat", "dog"], "outputs": ["out"]}


def made(rows, **more):
    """The decoder of rows (B, N, 6): centre, size and two scores."""
    return decoder_of(dict(SPEC, axis=2, **more), {"out": rows.shape}, SIZE)


def row(cx, cy, *scores):
    return [cx, cy, 10, 10] + list(scores)


ROWS = np.array([[row(10, 10, 0.3, 0.9), row(11, 10, 0.8, 0.1), row(40, 40, 0.1, 0.5), row(60, 20, 0.2, 0.2)]], "f")


def labels_of(rows, score=None, **more):
    (found,) = made(rows, **more).decode({"out": rows}, score)
    return found.classes.tolist(), found.scores.tolist()


def test_rules():
    f = np.float32
    assert labels_of(ROWS) == ([1, 0, 1], [f(0.9), f(0.8), 0.5])
    assert labels_of(ROWS, by_class=False) == ([1, 1], [f(0.9), 0.5])
    assert labels_of(ROWS, by_class=False, iou=None) == ([1, 0, 1], [f(0.9), f(0.8), 0.5])
    assert labels_of(ROWS, score=0.5) == ([1, 0], [f(0.9), f(0.8)])
    assert labels_of(ROWS, score=0.1)[0] == [1, 0, 1, 0]
    assert labels_of(ROWS, most=1)[0] == [1]
    assert labels_of(ROWS, candidates=2)[0] == [1, 0]
    assert labels_of(ROWS, labels="all", iou=1) == ([1, 0, 1, 0], [f(0.9), f(0.8), 0.5, f(0.3)])
    assert labels_of(ROWS, labels="all", score=0.0, iou=None)[0] == [1, 0, 1, 0, 0, 1, 1, 0]


def test_names_and_kind():
    decoder = made(ROWS)
    assert (decoder.kind, decoder.classes) == ("boxes", ("cat", "dog"))
    assert made(ROWS, classes=2).classes == ("0", "1")


def test_a_spec_survives_json():
    spec = json.loads(json.dumps(dict(SPEC, axis=2, strides=[16, 32])))
    assert decoder_of(spec, {"out": (1, 30, 6)}, SIZE).classes == ("cat", "dog")


def test_batches_are_decoded_row_by_row():
    rows = np.concatenate([ROWS, np.zeros_like(ROWS), ROWS[:, ::-1]])
    first, second, third = made(ROWS).decode({"out": rows})
    assert first.classes.tolist() == third.classes.tolist() == [1, 0, 1]
    assert (second.boxes.shape, second.scores.shape, second.classes.shape) == ((0, 4), (0,), (0,))
    assert (second.boxes.dtype, second.scores.dtype, second.classes.dtype) == (np.float32, np.float32, np.int32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("labels", ["best", "all"])
def test_what_is_no_number_is_no_finding(bad, labels):
    rows = np.concatenate([ROWS, ROWS + 20], axis=1)
    rows[0, 4:, 4:] = 0.95
    for place in range(4):
        rows[0, 4 + place, place] = bad
    (found,) = made(rows, labels=labels).decode({"out": rows})
    assert found.scores.max() == np.float32(0.9)
    rows = ROWS.copy()
    rows[0, 0, 4:] = bad
    assert labels_of(rows, labels=labels)[1] == [np.float32(0.8), 0.5]


def test_raw_maps_that_overflow_are_no_finding():
    spec = {"kind": "boxes", "head": "yolov5", "classes": 1, "outputs": ["out"], "strides": [32]}
    decoder = decoder_of(dict(spec, anchors=[[[10, 10]]]), {"out": (1, 6, 2, 3)}, SIZE)
    for channel in range(6):
        maps = np.full((1, 6, 2, 3), 3, np.float32)
        maps[0, channel, 0] = [np.inf, -np.inf, np.nan]
        (found,) = decoder.decode({"out": maps}, 0.9)
        finite = 1 if channel < 4 else 0  # minus infinity is a share of 0, which is a place but no score
        assert len(found.scores) == 3 + finite


def test_boxes_that_no_number_holds_leave_their_places_to_others():
    rows = np.repeat(ROWS[:, 2:3], 6, axis=1)
    rows[0, :3, :2], rows[0, :3, 5] = np.inf, 1
    assert labels_of(rows, candidates=2, iou=None) == ([1, 1], [0.5, 0.5])


@pytest.mark.parametrize("labels", ["best", "all"])
def test_thirty_thousand_boxes_take_bounded_memory_and_time(labels):
    rng = np.random.RandomState(0)
    rows = rng.uniform(0, 1, (1, 30000, 14)).astype(np.float32)
    rows[:, :, :2] *= 2000
    rows[:, :, 2:4] *= 100
    decoder = decoder_of(dict(SPEC, classes=10, labels=labels, axis=2), {"out": rows.shape}, (2000, 2000))
    started = time.perf_counter()
    (found,) = decoder.decode({"out": rows}, 0.001)
    assert time.perf_counter() - started < 10
    assert len(found.scores) == 300
    tracemalloc.start()
    decoder.decode({"out": rows}, 0.001)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_outputs_that_are_not_as_announced():
    with pytest.raises(EngineError, match="the engine made no output 'out'"):
        made(ROWS).decode({"other": ROWS})
    with pytest.raises(EngineError, match=r"output 'out': expected shape \[1, 4, 6\], found \[1, 3, 6\]"):
        made(ROWS).decode({"out": ROWS[:, 1:]})
    with pytest.raises(EngineError, match=r"output 'out': expected shape \[1, 4, 6\], found \[4, 6\]"):
        made(ROWS).decode({"out": ROWS[0]})


def test_outputs_of_unequal_batches():
    spec = dict(SPEC, outputs=["a", "b"], strides=[8, 16], classes=1)
    shapes = {"a": (1, 5, 8, 12), "b": (1, 5, 4, 6)}
    decoder = decoder_of(spec, shapes, SIZE)
    with pytest.raises(EngineError, match=r"outputs of one batch: found a of 2, b of 1 along their first axis"):
        decoder.decode({"a": np.zeros((2, 5, 8, 12), "f"), "b": np.zeros((1, 5, 4, 6), "f")})


def test_every_fault_of_the_keys_is_told_at_once():
    spec = dict(SPEC, score="high", most=0, sise=3)
    del spec["outputs"]
    with pytest.raises(BundleError) as caught:
        decoder_of(spec, {"out": (1, 6, 4)}, SIZE)
    assert caught.value.render().splitlines() == [
        "error[bundle]: decoder key 'sise' is unknown to head yolov8",
        "  decoder key 'most': expected a whole number from 1 to 65536, found 0",
        "  decoder key 'outputs' is missing: expected a list of one or more, each a text",
        "  decoder key 'score': expected a number, found \"high\"",
        "  hint: the keys are axis, bins, boxes, by_class, candidates, classes, head, iou, kind, labels, most, outputs,"
        " score, sigmoid, strides",
    ]
