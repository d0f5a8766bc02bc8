import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Cut, CutValue, Level
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed, value_inputs
from coachc.runtime.errors import BundleError

PER_TENSOR = (Level(2, (1.0,), (1,)), Level(4, (0.25,), (3,)))
PER_CHANNEL = (Level(2, (1.0,), (1,)), Level(3, (0.5, 0.75, 0.625), (2, 3, 4)))
RAW = CutValue("k", "int64", (1, 3), "raw", 64, (), "k")


def value(levels, shape, name="v"):
    return CutValue(name, "float32", shape, "packed", levels[-1].bits, levels, name + "_codes")


def cut_of(*values, device="", cloud=""):
    return Cut("c", "split", "d", "c", values, (), (), device, cloud)


def shown(feed):
    return {name: (array.dtype.name, array.shape, array.reshape(-1).tolist()) for name, array in feed.items()}


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 3, 4, 5)], ids=str)
def test_one_quantizer_per_tensor(shape):
    cut = cut_of(value(PER_TENSOR, shape), RAW, device="qdq", cloud="arithmetic")
    assert shown(quantizer_feed(cut, "device")) == {
        "v/scale": ("float32", (), [0.25]),
        "v/zero_point": ("uint8", (), [3]),
        "v/qmax": ("uint8", (), [15]),
    }
    assert shown(quantizer_feed(cut, "cloud", 2)) == {
        "v/scale": ("float32", (1,), [1.0]),
        "v/zero_point": ("float32", (1,), [1.0]),
    }
    swapped = cut._replace(device_parameters="arithmetic", cloud_parameters="qdq")
    assert shown(quantizer_feed(swapped, "device", 2)) == {
        "v/scale": ("float32", (1,), [1.0]),
        "v/zero_point": ("float32", (1,), [1.0]),
        "v/qmax": ("float32", (1,), [3.0]),
    }
    assert shown(quantizer_feed(swapped, "cloud")) == {
        "v/scale": ("float32", (), [0.25]),
        "v/zero_point": ("uint8", (), [3]),
    }


@pytest.mark.parametrize("shape", [(1, 3), (2, 3, 4), (2, 3, 4, 5), (1, 3, 2, 2, 2)], ids=str)
def test_one_quantizer_per_channel_at_any_level_is_one_at_all(shape):
    cut = cut_of(value(PER_CHANNEL, shape), device="qdq", cloud="arithmetic")
    along = (1, 3) + (1,) * (len(shape) - 2)
    assert shown(quantizer_feed(cut, "device")) == {
        "v/scale": ("float32", (3,), [0.5, 0.75, 0.625]),
        "v/zero_point": ("uint8", (3,), [2, 3, 4]),
        "v/qmax": ("uint8", (), [7]),
    }
    assert shown(quantizer_feed(cut, "cloud")) == {
        "v/scale": ("float32", along, [0.5, 0.75, 0.625]),
        "v/zero_point": ("float32", along, [2.0, 3.0, 4.0]),
    }
    assert shown(quantizer_feed(cut, "device", 2))["v/scale"] == ("float32", (3,), [1.0] * 3)
    assert shown(quantizer_feed(cut, "cloud", 2))["v/zero_point"] == ("float32", along, [1.0] * 3)


@pytest.mark.parametrize("levels", [PER_TENSOR, PER_CHANNEL])
def test_arithmetic_on_the_inputs_is_the_quantizer(levels):
    """What a graph of Div, Round, Add, Clip and Sub, Mul computes with them."""
    x = np.random.RandomState(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    cut = cut_of(value(levels, x.shape), device="arithmetic", cloud="arithmetic")
    for level in levels:
        head, tail = quantizer_feed(cut, "device", level.bits), quantizer_feed(cut, "cloud", level.bits)
        codes = np.clip(np.rint(x / head["v/scale"]) + head["v/zero_point"], 0, head["v/qmax"])
        assert np.array_equal(codes, quantize(x, level.scale, level.zero_point, level.bits))
        back = (codes - tail["v/zero_point"]) * tail["v/scale"]
        assert np.array_equal(back, dequantize(codes.astype(np.uint8), level.scale, level.zero_point))


def test_each_value_has_its_own():
    cut = cut_of(value(PER_TENSOR, (3,)), RAW, value(PER_CHANNEL, (1, 3), "w"), cloud="qdq")
    assert quantizer_feed(cut, "device") == {}
    assert sorted(quantizer_feed(cut, "cloud")) == ["v/scale", "v/zero_point", "w/scale", "w/zero_point"]
    assert sorted(value_inputs(cut, cut.values[2], "cloud", 3)) == ["w/scale", "w/zero_point"]
    assert quantizer_feed(cut_of(RAW, device="qdq"), "device", 2) == {}


def test_values_of_one_task_at_different_precisions():
    cut = cut_of(value(PER_TENSOR, (3,)), RAW, value(PER_CHANNEL, (1, 3), "w"), device="qdq", cloud="qdq")
    for side in ("device", "cloud"):
        made = shown(quantizer_feed(cut, side, (2, 5, 3)))
        assert made["v/scale"][2] == [1.0]
        assert made["w/scale"][2] == [0.5, 0.75, 0.625]
        assert made == shown(
            dict(value_inputs(cut, cut.values[0], side, 2), **value_inputs(cut, cut.values[2], side, 3))
        )
    with pytest.raises(BundleError, match="sends 3 values, and 2 precisions were given"):
        quantizer_feed(cut, "device", (2, 3))


def test_a_precision_that_is_not_there_is_refused():
    for parameters in ("", "qdq"):
        cut = cut_of(value(PER_TENSOR, (3,)), device=parameters)
        with pytest.raises(BundleError, match="value 'v' has no quantizer at 3 bits") as caught:
            quantizer_feed(cut, "device", 3)
        assert caught.value.hint == "there is one at 2, 4 bits"
