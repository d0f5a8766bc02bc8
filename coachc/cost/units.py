"""Rates and times as people write them: "20Mbit", "2.5MB/s", "30ms"; a range of rates."""

from __future__ import annotations

import re

from coachc.errors import UsageError

_BIT_UNITS = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12}
_BYTE_UNITS = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}

#: Slower is no link (one bit a second is what acoustic modems do), faster no network card.
LEAST_BYTES_PER_S, MOST_BYTES_PER_S = 1 / 8, 1e12 / 8
#: Longer than any answer is waited for.
MOST_S = 3600.0
#: Between the ends of a range; a dash only after a unit, or it would be a sign.
_RANGE = re.compile(r"\s*(?:\.\.\.?|(?<=[A-Za-z])\s*[-\u2013]|(?<=[A-Za-z])\s+to\s)\s*")


def parse_bandwidth(text: str, flag: str = "--bandwidth") -> float:
    """Bytes per second from "20Mbit", "1.5Gbit/s", "100Mbps", "2.5MB/s"; a unit is required.

    "Mbps" is megabits; "Mb" alone is refused, because people write it for either.

    Raises
    ------
    UsageError
        No unit, an unknown unit, not a positive number, a range, or a rate that no link has.
    """
    first, *others = _RANGE.split(text)
    if first and any(others):
        raise UsageError(
            f"bandwidth '{text}' is a range, and this takes one rate",
            hint=f"for example {flag} {first}; coachc compile takes a range",
        )
    bare, is_bytes = _bare(text), False
    number, unit = _number_and_unit(bare, flag)
    if unit.lower() in _BIT_UNITS:
        rate = number * _BIT_UNITS[unit.lower()] / 8
    elif unit.endswith("B") and unit.lower() in _BYTE_UNITS:
        rate, is_bytes = number * _BYTE_UNITS[unit.lower()], True
    else:
        what = "has no unit" if not unit else f"has the unknown unit '{unit}'"
        raise UsageError(
            f"bandwidth '{text}' {what}",
            context=["expected a number with kbit, Mbit, Gbit, kB, MB or GB (per second)"],
            hint=f"write {flag} {number:g}Mbit if you meant megabits per second",
        )
    if not LEAST_BYTES_PER_S <= rate <= MOST_BYTES_PER_S:
        raise UsageError(
            f"bandwidth '{text}' is no link's",
            context=[
                "expected  1 bit/s to 1 Tbit/s",
                f"found     {rate * 8 / 1e6:g} Mbit/s" + (f": '{unit}' is bytes" if is_bytes else ""),
            ],
            hint=f"for example {flag} 20Mbit",
        )
    return rate


def parse_bandwidths(text: str) -> tuple[float, tuple[float, float] | None]:
    """A bandwidth, or a range such as "2Mbit..100Mbit" or "2Mbit-100Mbit": its geometric middle and its ends, in bytes
    per second.

    Raises
    ------
    UsageError
        As `parse_bandwidth`; or the range does not go up.
    """
    first, *rest = _RANGE.split(text, maxsplit=1)
    if not rest:
        return parse_bandwidth(text), None
    low, high = parse_bandwidth(first), parse_bandwidth(rest[0])
    if low >= high:
        raise UsageError(
            f"bandwidth range '{text}' does not go up",
            context=[f"expected the lower end first, found {low * 8 / 1e6:g} and {high * 8 / 1e6:g} Mbit/s"],
            hint="for example --bandwidth 2Mbit..100Mbit, or one bandwidth alone",
        )
    return (low * high) ** 0.5, (low, high)


def bytes_in_bits(text: str) -> str:
    """What a bandwidth stated in bytes comes to in bits, for who meant those; "" for one in bits or none.

    "20MB" -> "20MB is in bytes: 160 Mbit/s"
    """
    found = []
    for part in re.split(r",|" + _RANGE.pattern, text):
        match = re.fullmatch(r"\s*[0-9.]+\s*([A-Za-z]+)\s*", _bare(part))
        if match is not None and match[1].endswith("B") and match[1].lower() in _BYTE_UNITS:
            found.append(f"{part.strip()} is in bytes: {parse_bandwidth(part) * 8 / 1e6:g} Mbit/s")
    return ", ".join(found)


def parse_duration(text: str, flag: str) -> float:
    """Seconds from "30ms", "1.5s", "200us"; a unit is required (UsageError otherwise, and for more than an hour)."""
    number, unit = _number_and_unit(text, flag, zero=True)
    if unit.lower() not in _TIME_UNITS:
        raise UsageError(
            f"{flag} '{text}' has {'no unit' if not unit else f'the unknown unit {unit!r}'}",
            context=["expected a number with us, ms or s"],
            hint=f"write {flag} {number:g}ms if you meant milliseconds",
        )
    if number * _TIME_UNITS[unit.lower()] > MOST_S:
        raise UsageError(
            f"{flag} '{text}' is too long",
            context=[f"expected  at most {MOST_S:g}s"],
            hint=f"write {flag} {number:g}ms if you meant milliseconds",
        )
    return number * _TIME_UNITS[unit.lower()]


def _bare(text: str) -> str:
    """Without "per second"."""
    return re.sub("bps$", "bit", text.strip()).removesuffix("/s").removesuffix("ps")


def _number_and_unit(text: str, flag: str, *, zero: bool = False) -> tuple[float, str]:
    example = f"for example {flag} {'30ms' if zero else '20Mbit'}"
    match = re.fullmatch(r"\s*(-?)([0-9]+(?:[.,][0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", text)
    if match is None:
        raise UsageError(f"{flag} '{text}' is not a number with a unit", hint=example)
    sign, digits, unit = match.groups()
    if "," in digits:
        raise UsageError(f"{flag} '{text}' has a comma", hint=f"write {flag} {text.replace(',', '.').strip()}")
    if sign:
        raise UsageError(f"{flag} '{text}' is negative", hint=f"write {flag} {text.strip()[1:]}")
    if float(digits) == 0 and not zero:
        raise UsageError(f"{flag} '{text}' is zero", hint=example)
    return float(digits), unit
