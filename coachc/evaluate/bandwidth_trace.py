"""A link whose rate changes: when a transfer that starts at some time ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coachc.errors import DataError

#: Bits per second of one Mbit/s, over bits of a byte.
_BYTES_PER_MBIT = 1e6 / 8


@dataclass(frozen=True)
class Trace:
    """Rates on the wire, one after the other, repeated from the start when they are over.

    Attributes
    ----------
    durations_s : ndarray, shape (segments,)
    rates : ndarray, shape (segments,)
        Bytes per second.
    name : str
    """

    durations_s: np.ndarray
    rates: np.ndarray
    name: str = ""
    _ends_s: np.ndarray = field(init=False, repr=False)
    _sent: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends_s", np.concatenate([[0.0], np.cumsum(self.durations_s)]))
        object.__setattr__(self, "_sent", np.concatenate([[0.0], np.cumsum(self.durations_s * self.rates)]))

    @property
    def period_s(self) -> float:
        """Length of the whole trace."""
        return float(self._ends_s[-1])

    def bytes_until(self, time_s: float) -> float:
        """Bytes an always busy link has sent by then."""
        rounds, within = divmod(time_s, self.period_s)
        return float(rounds * self._sent[-1] + np.interp(within, self._ends_s, self._sent))

    def end_s(self, start_s: float, size_bytes: float) -> float:
        """When a transfer that starts at `start_s` has left."""
        wanted = self.bytes_until(start_s) + size_bytes
        rounds, within = divmod(wanted, float(self._sent[-1]))
        place = int(np.searchsorted(self._sent, within, side="left"))
        if place == 0:
            return max(start_s, rounds * self.period_s)
        rest = (within - self._sent[place - 1]) / self.rates[place - 1]
        return max(start_s, float(rounds * self.period_s + self._ends_s[place - 1] + rest))

    def rate_at(self, time_s: float) -> float:
        """Bytes per second at a moment."""
        within = time_s % self.period_s
        return float(self.rates[min(int(np.searchsorted(self._ends_s, within, side="right")) - 1, len(self.rates) - 1)])


def constant(bandwidth_bytes_per_s: float) -> Trace:
    """A link of one rate."""
    return Trace(np.array([1e6]), np.array([bandwidth_bytes_per_s]), "constant")


def steps(durations_s: Sequence[float], bandwidths_bytes_per_s: Sequence[float]) -> Trace:
    """A link whose rate changes in steps; the last one lasts."""
    durations = [*durations_s, 1e6][: len(bandwidths_bytes_per_s)]
    return Trace(np.array(durations, float), np.array(bandwidths_bytes_per_s, float), "steps")


def load_trace(path: str, name: str = "") -> Trace:
    """A trace of a JSON file: ``{name: {"dur_ms": [...], "mbps": [...]}}``, or one such object by itself.

    Raises
    ------
    DataError
        If it cannot be read, holds several traces and `name` is none of them, or a number in it is no rate.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DataError(f"cannot read the trace {path}: {exc}") from exc
    if not isinstance(content, dict):
        raise DataError(f"{path} is no trace", hint='expected {"dur_ms": [...], "mbps": [...]}, or several by name')
    if "mbps" not in content:
        if name not in content:
            known = ", ".join(sorted(content)[:5])
            raise DataError(
                f"{path} has no trace '{name}'",
                context=[f"found  {len(content)}: {known}, ..."],
                hint="--trace FILE:NAME",
            )
        content = content[name]
    try:
        durations = np.array(content["dur_ms"], float) / 1e3
        rates = np.array(content["mbps"], float) * _BYTES_PER_MBIT
    except (KeyError, TypeError, ValueError) as exc:
        raise DataError(f"trace {path} {name}: expected numbers under dur_ms and mbps, as many of each: {exc}") from exc
    bad = not (durations.shape == rates.shape and durations.ndim == 1 and len(durations))
    if bad or not np.isfinite(durations).all() or not np.isfinite(rates).all():
        raise DataError(f"trace {path} {name}: expected as many finite durations as rates")
    if (durations <= 0).any() or (rates < 0).any() or not (rates > 0).any():
        raise DataError(f"trace {path} {name}: durations are positive, rates are not negative, one is not zero")
    return Trace(durations, rates, name or Path(path).stem)
