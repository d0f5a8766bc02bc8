import numpy as np
import pytest

from coachc.runtime.decode.decoder import decoder_of


def sigmoid(x):
    return 1 / (1 + np.exp(-float(x)))


def mean_of_bins(values):
    """The expectation of a softmax over bins 0, 1, 2, ..."""
    shares = [np.exp(float(value)) for value in values]
    return sum(place * share for place, share in enumerate(shares)) / sum(shares)


def around(x, y, distances):
    left, top, right, bottom = distances
    return x - left, y - top, x + right, y + bottom


def corners(cx, cy, width, height):
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def clip(box, size):
    x1, y1, x2, y2 = box
    return tuple(min(max(x, 0), size[1]) if place % 2 == 0 else min(max(x, 0), size[0]) for place, x in enumerate(box))


class Formulas:
    """What the loops of the tests share; all in float64."""

    sigmoid = staticmethod(sigmoid)
    mean_of_bins = staticmethod(mean_of_bins)
    around = staticmethod(around)
    corners = staticmethod(corners)
    clip = staticmethod(clip)


@pytest.fixture
def formulas():
    return Formulas


@pytest.fixture
def check():
    """Compare a decoder, without suppression, with what loops made: by picture a list of (box, score by class)."""

    def compare(spec, outputs, size, pictures, score=0.3):
        whole = dict(spec, kind="boxes", score=score, iou=None, labels="all", most=60000, candidates=60000)
        shapes = {name: array.shape for name, array in outputs.items()}
        decoder = decoder_of(whole, shapes, size)
        found = decoder.decode(outputs)
        assert len(found) == len(pictures)
        for one, rows in zip(found, pictures):
            expected = [
                (float(value), label, box)
                for box, scores in rows
                for label, value in enumerate(scores)
                if value > score
            ]
            expected.sort(key=lambda row: -row[0])
            assert 5 < len(expected) == len(one.scores)
            assert (one.boxes.dtype, one.scores.dtype, one.classes.dtype) == (np.float32, np.float32, np.int32)
            assert np.allclose(one.scores, [row[0] for row in expected], rtol=1e-5)
            assert one.classes.tolist() == [row[1] for row in expected]
            assert np.allclose(one.boxes, [row[2] for row in expected], rtol=1e-4, atol=1e-3)
        best = decoder_of(dict(whole, labels="best"), shapes, size).decode(outputs)
        for one, rows in zip(best, pictures):
            highest = [(max(scores), int(np.argmax(scores))) for _, scores in rows if max(scores) > score]
            assert np.allclose(one.scores, sorted((row[0] for row in highest), reverse=True), rtol=1e-5)
            assert sorted(one.classes.tolist()) == sorted(row[1] for row in highest)

    return compare
