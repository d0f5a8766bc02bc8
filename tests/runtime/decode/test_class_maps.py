import numpy as np
import pytest

from coachc.runtime.decode.decoder import decoder_of

SIZE = (6, 8)


def decode(array, head, classes, **more):
    spec = dict({"kind": "mask", "head": head, "classes": classes, "outputs": ["out"]}, **more)
    decoder = decoder_of(spec, {"out": array.shape}, SIZE)
    assert decoder.kind == "mask"
    return decoder.decode({"out": array})


@pytest.mark.parametrize("axis", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_argmax_takes_the_first_of_the_highest(axis, dtype):
    scores = np.random.RandomState(0).randint(0, 4, (2, 5, 6, 8)).astype(dtype)
    given = scores if axis == 1 else scores.transpose(0, 2, 3, 1)
    masks = decode(given, "argmax", 5, axis=axis)
    assert [mask.dtype for mask in masks] == [np.uint8] * 2
    assert np.array_equal(np.stack(masks), scores.argmax(axis=1))


def test_what_is_no_number_is_never_the_highest():
    scores = np.zeros((1, 3, 6, 8), np.float32)
    scores[0, 0, 0, 0] = scores[0, 1, 0, 1] = np.nan
    scores[0, 2, 0, :2] = 1
    scores[0, :, 0, 2] = np.nan
    assert decode(scores, "argmax", 3)[0][0].tolist() == [2, 2, 0, 0, 0, 0, 0, 0]


def test_many_classes_take_sixteen_bits():
    scores = np.zeros((1, 300, 6, 8), np.float32)
    scores[0, 299] = 1
    (mask,) = decode(scores, "argmax", 300)
    assert mask.dtype == np.uint16
    assert (mask == 299).all()


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 1, 6, 8), (2, 6, 8, 1)])
@pytest.mark.parametrize("logits", [False, True])
def test_threshold(shape, logits):
    scores = np.random.RandomState(0).uniform(0, 1, (2, 6, 8)).astype(np.float32)
    scores[0, 0, 0], scores[0, 0, 1] = 0.3, np.nan
    given = np.log(scores / (1 - scores)) if logits else scores
    axis = {"axis": 3} if shape[-1] == 1 else {}
    masks = decode(given.reshape(shape), "threshold", ["no", "yes"], threshold=0.25, sigmoid=logits, **axis)
    assert [mask.dtype for mask in masks] == [np.uint8] * 2
    with np.errstate(invalid="ignore"):
        assert np.array_equal(np.stack(masks), scores > 0.25)


def test_threshold_of_another_channel():
    scores = np.zeros((1, 2, 6, 8), np.float32)
    scores[0, 1] = 0.6
    assert not decode(scores, "threshold", 2)[0].any()
    assert decode(scores, "threshold", 2, channel=1)[0].all()


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 1, 6, 8), (2, 6, 8, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_class_numbers(shape, dtype):
    numbers = np.random.RandomState(0).randint(0, 5, (2, 6, 8))
    masks = decode(numbers.reshape(shape).astype(dtype), "classes", 5)
    assert [mask.dtype for mask in masks] == [np.uint8] * 2
    assert np.array_equal(np.stack(masks), numbers)


def test_what_no_class_has_becomes_the_largest_number():
    numbers = np.array([[[-1, 5, 256, 4, 0]]])
    assert decode(numbers, "classes", 5)[0].tolist() == [[255, 255, 255, 4, 0]]
    assert decode(numbers, "classes", 257)[0].tolist() == [[65535, 5, 256, 4, 0]]
    assert decode(numbers == 4, "classes", 2)[0].tolist() == [[0, 0, 0, 1, 0]]
    strange = np.array([[[np.nan, np.inf, 1.0]]], np.float32)
    assert decode(strange, "classes", 5)[0].tolist() == [[255, 255, 1]]
