"""Flag texts and the values they become."""

from __future__ import annotations

import pytest

from coachc.cli.flags.model_flags import parse_shapes
from coachc.cli.options import parse_fraction
from coachc.cost.units import parse_bandwidth, parse_duration
from coachc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("20Mbit", 2.5e6),
        ("20 mbit/s", 2.5e6),
        ("500kbit", 62_500),
        ("1.5Gbit", 187.5e6),
        ("20Mbitps", 2.5e6),
        ("2.5MB/s", 2.5e6),
        ("1MiB", 2**20),
        ("8bit", 1),
        (".5kB", 500),
    ],
)
def test_bandwidth(text, bytes_per_s):
    assert parse_bandwidth(text) == bytes_per_s


@pytest.mark.parametrize("text", ["20", "Mbit", "20 M bit", "1e3Mbit", "-1Mbit", "0Mbit", "nanMbit", "", "20Mbit/min"])
def test_no_bandwidth(text):
    with pytest.raises(UsageError):
        parse_bandwidth(text)


@pytest.mark.parametrize(("text", "seconds"), [("5ms", 0.005), ("0.04s", 0.04), ("200us", 2e-4), ("0ms", 0)])
def test_duration(text, seconds):
    assert parse_duration(text, "--rtt") == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "fraction"), [("0.5%", 0.005), ("0.005", 0.005), (" 1 %", 0.01), ("99%", 0.99)])
def test_fraction(text, fraction):
    assert parse_fraction(text, "--budget") == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["0", "1", "100%", "-1%", "nan", "inf%", "%", "half"])
def test_no_fraction(text):
    with pytest.raises(UsageError, match=f"--budget '{text}' is not a fraction"):
        parse_fraction(text, "--budget")


def test_shapes():
    assert parse_shapes(["input:1x3x224x224", "a:b:2"]) == {"input": (1, 3, 224, 224), "a:b": (2,)}
    assert parse_shapes(None) == {}


@pytest.mark.parametrize("text", ["1x3", ":1x3", "input:", "input:1xx3", "input:1x-3", "input:0"])
def test_no_shape(text):
    with pytest.raises(UsageError, match="is not NAME:AxBxC"):
        parse_shapes([text])
