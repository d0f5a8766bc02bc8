"""The file of a measured link: JSON that `coachc link` and `runtime.link_probe` write, and `--link FILE` reads.

    {"format": "coachc link", "version": 1, "bandwidth_bytes_per_s": 2.5e6, "at_least": false, "spread": 0.01,
     "rtt_s": 0.005, "jitter_s": 0.001, "loss": 0.0, "header_bytes": 412,
     "measured": {"server": "192.168.1.10:8700", "date": "2026-11-30T09:15:00Z", "coachc": "0.1.0", "repeats": 9,
                  "round_trips": 40, "seconds": 9.8}}

What else stands in it is left alone, so that a reader of version 1 reads what later writers add.
"""

import contextlib
import json
import math
import os
from typing import Any, Callable, Dict, NamedTuple, Optional

from ..errors import LinkFileError
from .destination import check_folder

FORMAT, VERSION = "coachc link", 1
#: A file of this kind has half a kilobyte.
LIMIT_BYTES = 1 << 16


class MeasuredLink(NamedTuple):
    """A link as a device saw it.

    Attributes
    ----------
    bandwidth_bytes_per_s : float
        Uplink rate on the wire, TCP/IP headers included; positive. Of the median repeat.
    at_least : bool
        The link may carry more: it was never full for long.
    spread : float
        Of the repeats' times: third quartile less first, as a share of the median.
    rtt_s : float
        Median of small requests, all of it: link both ways and the server's few hundred microseconds.
    jitter_s : float
        95th percentile of those less their median.
    loss : float or None
        Share of TCP segments that were sent again, in [0, 1]; those that the measurement itself drove out of a queue
        count too. None where the system does not count them.
    header_bytes : int
        HTTP and JSON around the values of one request.
    server : str
        HOST:PORT.
    date : str
        UTC, as "2026-11-30T09:15:00Z".
    coachc : str or None
        Its version; None where only `runtime/` was there.
    repeats, round_trips : int
    seconds : float
        What all of it took.
    """

    bandwidth_bytes_per_s: float
    at_least: bool
    spread: float
    rtt_s: float
    jitter_s: float
    loss: Optional[float]
    header_bytes: int
    server: str
    date: str
    coachc: Optional[str]
    repeats: int
    round_trips: int
    seconds: float

    @property
    def source(self) -> str:
        """Where the numbers come from, for whoever reads a plan: "measured to 192.168.1.10:8700 on 2026-11-30"."""
        return "measured to {} on {}".format(self.server, self.date[:10])

    def to_json(self) -> Dict[str, Any]:
        """The file's JSON object."""
        said = dict(self._asdict())
        measured = {name: said.pop(name) for name in _MEASURED}
        return dict(format=FORMAT, version=VERSION, **said, measured=measured)


def _number(low: float, high: float, expected: str) -> Callable[[Any], str]:
    def complaint(value: Any) -> str:
        try:
            fits = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        except OverflowError:  # a whole number that no float can hold
            fits = False
        return "" if fits else expected

    return complaint


def _count(value: Any) -> str:
    return "" if type(value) is int and 0 <= value < 1 << 53 else "a whole number that is not negative"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and 0 < len(value) <= 300 and value.isprintable() else "a line of text"


def _or_null(complaint: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None or not complaint(value) else complaint(value) + ", or null"


_SECONDS = _number(0, 3600, "0 to 3600 seconds")
#: Field -> what is wrong with a value there, "" for nothing.
_NUMBERS = {
    # The rates that --bandwidth takes.
    "bandwidth_bytes_per_s": _number(1 / 8, 1e12 / 8, "a rate of 0.125 to 1.25e11 bytes/s"),
    "at_least": _flag,
    "spread": _number(0, 1e9, "a share that is not negative"),
    "rtt_s": _SECONDS,
    "jitter_s": _SECONDS,
    "loss": _or_null(_number(0, 1, "a share of 0 to 1")),
    "header_bytes": _count,
}
_MEASURED = {
    "server": _text,
    "date": _text,
    "coachc": _or_null(_text),
    "repeats": _count,
    "round_trips": _count,
    "seconds": _number(0, 1e9, "seconds"),
}


def read_link(path: str) -> MeasuredLink:
    """Read a file of a measured link.

    Raises
    ------
    LinkFileError
        It cannot be read, is no such file or of a later version, or a field is missing or says what no link has.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(LIMIT_BYTES + 1)
    except OSError as exc:
        raise LinkFileError(
            f"cannot read {path}: {exc.strerror or exc}", hint="coachc link HOST:PORT -o FILE writes one"
        ) from exc
    try:
        said = json.loads(data.decode("utf-8")) if len(data) <= LIMIT_BYTES else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise LinkFileError(
            f"{path} is not the file of a measured link",
            [f'expected  a JSON object whose "format" is "{FORMAT}"'],
            "coachc link HOST:PORT -o FILE writes one",
        )
    if said.get("version") != VERSION:
        raise LinkFileError(
            f"{path} is of another version",
            [f"expected  {VERSION}", f"found     {_shown(said.get('version'))}"],
            "update coachc here, or measure again with this one",
        )
    measured = said.get("measured")
    if not isinstance(measured, dict):
        raise _wrong(path, "measured", "an object", measured)
    values = {}
    for prefix, fields, checks in (("", said, _NUMBERS), ("measured.", measured, _MEASURED)):
        for name, complaint in checks.items():
            if name not in fields:
                raise LinkFileError(f"{path}: '{prefix}{name}' is missing", hint=_AGAIN)
            expected = complaint(fields[name])
            if expected:
                raise _wrong(path, prefix + name, expected, fields[name])
            values[name] = fields[name]
    return MeasuredLink(**values)


def check_place(path: str, force: bool) -> None:
    """Raise LinkFileError or BundleError if the file cannot be written, before anything is measured."""
    if os.path.isdir(path):
        raise LinkFileError(f"--output {path} is a folder", hint="name a file")
    if os.path.lexists(path) and not force:
        raise LinkFileError(f"--output {path} exists already", hint="--force replaces it")
    check_folder(os.path.dirname(path) or ".", path)


def write_link(path: str, link: MeasuredLink) -> None:
    """Write the file under another name, then rename it: nobody ever sees half of it.

    Raises
    ------
    LinkFileError
        It cannot be written; what was there stays.
    """
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump(link.to_json(), stream, indent=1)
            stream.write("\n")
        os.replace(partial, path)
    except OSError as exc:
        raise LinkFileError(
            f"cannot write {path}: {exc.strerror or exc}", hint="name a file in a folder that you may write to"
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)


_AGAIN = "measure again: coachc link HOST:PORT -o FILE"


def _wrong(path: str, key: str, expected: str, found: Any) -> LinkFileError:
    return LinkFileError(f"{path}: '{key}'", [f"expected  {expected}", f"found     {_shown(found)}"], _AGAIN)


def _shown(value: Any) -> str:
    return "a JSON " + type(value).__name__ if isinstance(value, (dict, list)) else json.dumps(value)[:80]
