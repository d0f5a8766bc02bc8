"""What a driver was asked and what it said in one run, as a file: a header line, then a line of JSON for each call.

The lines stand in the order in which the driver saw the calls, so that another driver that is fed with them has learned
the same at each. Numbers are written so that they read back as the same float64, features as base64 of little-endian
float32. The last line may be half written: a device can lose power.
"""

import base64
import binascii
import json
import math
from typing import IO, Any, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ..bundle.json_fields import Reader, list_of, number, one_of, optional, text, whole, wrong
from ..errors import BundleError, RecordError
from .bandwidth import Transfer
from .controller import EXITS, Answer, Decision
from .policy import POLICIES, PREFERENCES
from .scoring import Scored

VERSION = 2
#: The header's field that says what the file is, and its version.
MARK = "coachc_record"
HINT = "record the run again: coachc run BUNDLE --record FILE"


class Header(NamedTuple):
    """What a run began with.

    Attributes
    ----------
    bundle_id : str
    policy : {"none", "paper", "default"}
    bits : int or None
        Precision that was asked for; then nothing is decided.
    cuts : tuple of str
        Those it might take.
    cut, alone, bandwidth_bytes_per_s, prefer, interval_s
        As `driver.Driver` takes them.
    """

    bundle_id: str
    policy: str
    bits: Optional[int]
    cuts: Tuple[str, ...]
    cut: str
    alone: Optional[str]
    bandwidth_bytes_per_s: float
    prefer: str
    interval_s: float


# One class for each method of the driver: its arguments, then what it said.


class NextCut(NamedTuple):
    now_s: float
    down: bool
    cut: str


class Outage(NamedTuple):
    now_s: float
    outage: bool


class RungAhead(NamedTuple):
    cut: str
    now_s: float
    tunable: bool
    adjustable: bool
    rung: int


class Decide(NamedTuple):
    """`draw`: the number that was drawn for it; None where none was."""

    task: int
    cut: str
    feature: Optional[np.ndarray]
    now_s: float
    rung: Optional[int]
    draw: Optional[float]
    decision: Decision


class WasAlone(NamedTuple):
    cut: str
    exited: bool
    now_s: Optional[float]


class Reached(NamedTuple):
    rtt_s: float


class Sending(NamedTuple):
    task: int
    now_s: float


class Answered(NamedTuple):
    """Feature and decision are those of the task's `Decide`, and learned from where there is an answer."""

    task: int
    cut: str
    transfer: Transfer
    answer: Optional[Answer]


class AskingRate(NamedTuple):
    pass


class AskedRate(NamedTuple):
    now_s: float
    bytes_per_s: Optional[float]
    spent_bytes: float


class Lost(NamedTuple):
    task: int


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(where, "true or false", value)
    return value


def _position(value: Any, where: str) -> int:
    """-1: none."""
    return -1 if type(value) is int and value == -1 else whole(value, where)


def _real(value: Any, where: str) -> float:
    """Any float64: JSON has no names for three of them."""
    return float(value) if value in ("inf", "-inf", "nan") else number(value, where)


def _feature(value: Any, where: str) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(text(value, where), validate=True), "<f4").astype(np.float32)
    except (binascii.Error, ValueError):
        raise wrong(where, "base64 of float32 numbers", value)


def _fields(cls: Any, **readers: Reader) -> Reader:
    """A NamedTuple from an object with just these fields; errors name the field."""

    def read(value: Any, where: str) -> Any:
        prefix = where + "." if where else ""
        if not isinstance(value, dict):
            raise wrong(where, "an object", value)
        for name in sorted(set(readers).symmetric_difference(value)):
            said = "is missing" if name in readers else f"is unknown to version {VERSION}"
            raise BundleError(f"manifest field '{prefix}{name}' {said}")
        return cls(**{name: reader(value[name], prefix + name) for name, reader in readers.items()})

    return read


_EXIT = one_of(("",) + EXITS)
_DECISION = _fields(
    Decision,
    exit=_EXIT,
    label=_position,
    rung=whole,
    audit=_EXIT,
    scored=_fields(Scored, best=_position, score=_real),
    link_bound=_boolean,
)
_TRANSFER = _fields(Transfer, size_bytes=whole, start_s=number, end_s=number, server_s=number, work_s=number)
_ANSWER = _fields(Answer, label=whole, confidence=_real)
_HEADER = _fields(
    Header,
    bundle_id=text,
    policy=one_of(POLICIES),
    bits=optional(whole),
    cuts=list_of(text),
    cut=text,
    alone=optional(text),
    bandwidth_bytes_per_s=number,
    prefer=one_of(PREFERENCES),
    interval_s=number,
)
#: By the name of the method.
CALLS: Dict[str, Tuple[Any, Reader]] = {
    "next_cut": (NextCut, _fields(NextCut, now_s=number, down=_boolean, cut=text)),
    "outage": (Outage, _fields(Outage, now_s=number, outage=_boolean)),
    "rung_ahead": (
        RungAhead,
        _fields(RungAhead, cut=text, now_s=number, tunable=_boolean, adjustable=_boolean, rung=whole),
    ),
    "decide": (
        Decide,
        _fields(
            Decide,
            task=whole,
            cut=text,
            feature=optional(_feature),
            now_s=number,
            rung=optional(whole),
            draw=optional(number),
            decision=_DECISION,
        ),
    ),
    "was_alone": (WasAlone, _fields(WasAlone, cut=text, exited=_boolean, now_s=optional(number))),
    "reached": (Reached, _fields(Reached, rtt_s=number)),
    "sending": (Sending, _fields(Sending, task=whole, now_s=number)),
    "answered": (Answered, _fields(Answered, task=whole, cut=text, transfer=_TRANSFER, answer=optional(_ANSWER))),
    "asking_rate": (AskingRate, _fields(AskingRate)),
    "asked_rate": (AskedRate, _fields(AskedRate, now_s=number, bytes_per_s=optional(number), spent_bytes=number)),
    "lost": (Lost, _fields(Lost, task=whole)),
}
NAMES = {cls: name for name, (cls, _) in CALLS.items()}


def header_line(header: Header) -> str:
    """The first line of a file."""
    return _dumped(dict(header._asdict(), **{MARK: VERSION}))


def event_line(event: Any) -> str:
    """One call as a line."""
    return _dumped(dict(event._asdict(), call=NAMES[type(event)]))


def _dumped(fields: Dict[str, Any]) -> str:
    return json.dumps(_plain(fields), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return base64.b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode("ascii")
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Recording:
    """A file of a run.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    header : Header
    cut_short : bool
        After the last event: the last line was half written, and is left out.

    Raises
    ------
    RecordError
        If it cannot be read, or is not such a file of this version.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.cut_short = False
        with self._open() as file:
            self.header = self._header(file.readline())

    def __iter__(self) -> Iterator[Tuple[int, Any]]:
        """Line number and event of each call.

        Raises
        ------
        RecordError
            At the first line that is damaged.
        """
        with self._open() as file:
            for place, line in enumerate(file, 1):
                if place == 1:
                    continue
                if not line.endswith(b"\n"):
                    self.cut_short = True
                    return
                fields = self._object(line, place)
                name = fields.pop("call", None)
                if not isinstance(name, str) or name not in CALLS:
                    shown = json.dumps(name)[:80]
                    raise self._error(place, f"field 'call': expected one of {', '.join(CALLS)}, found {shown}")
                yield place, self._checked(CALLS[name][1], fields, place)

    def _open(self) -> IO[bytes]:
        try:
            return open(self._path, "rb")
        except OSError as exc:
            raise RecordError(f"cannot read the record {self._path}: {exc.strerror or exc}") from exc

    def _header(self, line: bytes) -> Header:
        fields = self._object(line, 1) if line.startswith(b"{") else {}
        if MARK not in fields:
            raise RecordError(
                f"{self._path} is no record of a run: expected a first line of JSON with '{MARK}', found {line[:40]!r}",
                hint=HINT,
            )
        version = fields.pop(MARK)
        if version != VERSION:
            raise RecordError(
                f"{self._path} is a record of version {json.dumps(version)[:80]}, this reader knows {VERSION}",
                hint="replay it with the coachc that recorded it",
            )
        header: Header = self._checked(_HEADER, fields, 1)
        return header

    def _object(self, line: bytes, place: int) -> Dict[str, Any]:
        try:
            fields = json.loads(line.decode("ascii"))
        except (ValueError, RecursionError) as exc:
            raise self._error(place, f"expected a JSON object, found {line[:40]!r}") from exc
        if not isinstance(fields, dict):
            raise self._error(place, f"expected a JSON object, found {line[:40]!r}")
        return fields

    def _checked(self, reader: Reader, fields: Dict[str, Any], place: int) -> Any:
        try:
            return reader(fields, "")
        except BundleError as exc:  # the readers are those of a bundle's manifest, and say so
            raise self._error(place, exc.message.replace("manifest field", "field", 1)) from exc

    def _error(self, place: int, said: str) -> RecordError:
        return RecordError(f"{self._path}, line {place}: {said}", hint=HINT)
