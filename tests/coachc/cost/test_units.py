"""Rates and times as people write them, and what they write by mistake."""

from __future__ import annotations

import pytest

from coachc.cost.units import bytes_in_bits, parse_bandwidth, parse_bandwidths, parse_duration
from coachc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("20Mbit", 2.5e6), ("20mbit", 2.5e6), ("20 Mbit/s", 2.5e6), ("1.5Gbit/s", 187.5e6), ("500kbit", 62500),
        ("8bit", 1), ("2.5MB/s", 2.5e6), ("2MiB", 2 * 2**20), ("3kB", 3000), ("1GB/s", 1e9), (".5Mbit", 62500),
        ("100Mbps", 12.5e6), ("100mbps", 12.5e6), ("100MBps", 100e6), (" 1. Gbit ", 125e6), ("1KiB/s ", 1024),
    ],
)  # fmt: skip
def test_bandwidths(text, bytes_per_s):
    assert parse_bandwidth(text) == pytest.approx(bytes_per_s, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("20", "bandwidth '20' has no unit", "write --bandwidth 20Mbit if"),
        ("20Mb", "bandwidth '20Mb' has the unknown unit 'Mb'", "write --bandwidth 20Mbit if"),
        ("20mb/s", "bandwidth '20mb/s' has the unknown unit 'mb'", "write --bandwidth 20Mbit if"),
        ("20parsec", "bandwidth '20parsec' has the unknown unit 'parsec'", "write --bandwidth 20Mbit if"),
        ("0Mbit", "--bandwidth '0Mbit' is zero", "for example --bandwidth 20Mbit"),
        ("-3Mbit", "--bandwidth '-3Mbit' is negative", "write --bandwidth 3Mbit"),
        ("Mbit", "--bandwidth 'Mbit' is not a number with a unit", "for example --bandwidth 20Mbit"),
        ("1e3Mbit", "--bandwidth '1e3Mbit' is not a number with a unit", "for example --bandwidth 20Mbit"),
        ("nan", "--bandwidth 'nan' is not a number with a unit", "for example --bandwidth 20Mbit"),
        ("", "--bandwidth '' is not a number with a unit", "for example --bandwidth 20Mbit"),
        ("2,5Mbit", "--bandwidth '2,5Mbit' has a comma", "write --bandwidth 2.5Mbit"),
        ("1000Tbit", "bandwidth '1000Tbit' is no link's", "for example --bandwidth 20Mbit"),
        ("1000000Gbit", "bandwidth '1000000Gbit' is no link's", "for example --bandwidth 20Mbit"),
        ("20TB", "bandwidth '20TB' is no link's", "for example --bandwidth 20Mbit"),
        ("0.0001kbit", "bandwidth '0.0001kbit' is no link's", "for example --bandwidth 20Mbit"),
        (
            "2Mbit..100Mbit",
            "bandwidth '2Mbit..100Mbit' is a range",
            "for example --bandwidth 2Mbit; coachc compile takes",
        ),
        (
            "2Mbit-100Mbit",
            "bandwidth '2Mbit-100Mbit' is a range",
            "for example --bandwidth 2Mbit; coachc compile takes",
        ),
    ],
)
def test_bandwidths_that_are_none(text, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        parse_bandwidth(text)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30ms", 0.03), ("1.5s", 1.5), ("200us", 2e-4), ("0ms", 0), ("0.5 S", 0.5)]
)
def test_durations(text, seconds):
    assert parse_duration(text, "--rtt") == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("30", "--rtt '30' has no unit", "write --rtt 30ms if you meant milliseconds"),
        ("30min", "--rtt '30min' has the unknown unit 'min'", "write --rtt 30ms if you meant milliseconds"),
        ("-5ms", "--rtt '-5ms' is negative", "write --rtt 5ms"),
        ("0,5s", "--rtt '0,5s' has a comma", "write --rtt 0.5s"),
        ("5000s", "--rtt '5000s' is too long", "write --rtt 5000ms if you meant milliseconds"),
        ("soon", "--rtt 'soon' is not a number with a unit", "for example --rtt 30ms"),
    ],
)
def test_durations_that_are_none(text, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        parse_duration(text, "--rtt")
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    "text", ["2Mbit..100Mbit", "2Mbit...100Mbit", "2Mbit-100Mbit", "2Mbit - 100Mbit", "2Mbit to 100Mbit"]
)
def test_ranges(text):
    middle, ends = parse_bandwidths(text)
    assert ends == (250e3, 12.5e6)
    assert middle == pytest.approx((250e3 * 12.5e6) ** 0.5)
    assert parse_bandwidths("20Mbit") == (2.5e6, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100Mbit-2Mbit", "bandwidth range '100Mbit-2Mbit' does not go up"),
        ("2-100Mbit", "'2-100Mbit' is not a number with a unit"),
        ("-2Mbit..100Mbit", "--bandwidth '-2Mbit' is negative"),
        ("2Mbit..", "--bandwidth '' is not a number with a unit"),
        ("2Mbit..3Mbit..4Mbit", "bandwidth '3Mbit..4Mbit' is a range, and this takes one rate"),
    ],
)
def test_ranges_that_are_none(text, message):
    with pytest.raises(UsageError, match=message):
        parse_bandwidths(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20MB", "20MB is in bytes: 160 Mbit/s"),
        ("2.5MB/s", "2.5MB/s is in bytes: 20 Mbit/s"),
        ("100MBps", "100MBps is in bytes: 800 Mbit/s"),
        ("1MB..10MB", "1MB is in bytes: 8 Mbit/s, 10MB is in bytes: 80 Mbit/s"),
        ("1Mbit,1MiB", "1MiB is in bytes: 8.38861 Mbit/s"),
        ("20Mbit", ""),
        ("100Mbps", ""),
        ("nothing", ""),
    ],
)
def test_bytes_are_said_in_bits(text, said):
    assert bytes_in_bits(text) == said


def test_a_rate_that_is_absurd_says_what_it_comes_to():
    with pytest.raises(UsageError) as caught:
        parse_bandwidth("20TB")
    assert caught.value.context == ("expected  1 bit/s to 1 Tbit/s", "found     1.6e+08 Mbit/s: 'TB' is bytes")
