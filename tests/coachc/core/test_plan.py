"""How a value crosses before any range is measured."""

from __future__ import annotations

import pytest

from coachc.core.graph import Value
from coachc.core.plan import UNQUANTIZED, quantizer_for


@pytest.mark.parametrize(("dtype", "bits"), [("int64", 64), ("bool", 8), ("float64", 64), ("uint16", 16)])
@pytest.mark.parametrize("shape", [(2, 3), (), (4, 0)], ids=str)
def test_raw_values_have_the_width_of_their_type(dtype, bits, shape):
    for asked in (UNQUANTIZED, 2, 8):
        quantizer = quantizer_for(Value("v", dtype, shape), asked)
        assert (quantizer.codec, quantizer.bits, quantizer.scale, quantizer.zero_point) == ("raw", bits, (1.0,), (0,))


@pytest.mark.parametrize(("dtype", "width"), [("float32", 32), ("float16", 16)])
def test_floats_are_packed_unless_they_travel_as_they_are(dtype, width):
    value = Value("v", dtype, (5,))
    assert (quantizer_for(value, 3).codec, quantizer_for(value, 3).bits) == ("packed", 3)
    assert (quantizer_for(value, UNQUANTIZED).codec, quantizer_for(value, UNQUANTIZED).bits) == ("raw", width)
