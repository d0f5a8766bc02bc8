"""A measured profile as a JSON file: what the layers and the parts of one model took on one machine.

Written by whoever measured (`runtime.measure`, the device program, `coachc profile`, an import of another tool's
measurements), read by the compiler. Layers are named as the engine names them; which operators of a model they are is
the compiler's to find out.
"""

import json
import math
import os
import uuid
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from ..errors import ProfileFileError

FORMAT = 1
KIND = "coachc measured profile"
BACKENDS = ("onnxruntime", "tensorrt")
PARTS = ("device", "cloud", "whole")
#: A file of a model with tens of thousands of layers is below this.
LARGEST_BYTES = 64 << 20


class Layer(NamedTuple):
    """What the engine spent on one of its layers in a run.

    Attributes
    ----------
    name : str
        The engine's.
    seconds : float
        Median over the runs; the mean where the tool that measured has no other.
    spread_s : float
        Between the quartiles of the runs; 0 where it is not known.
    """

    name: str
    seconds: float
    spread_s: float = 0.0


class Segment(NamedTuple):
    """What a part of the model took as one piece, start and end of the run included.

    Attributes
    ----------
    part : {"device", "cloud", "whole"}
        From the inputs up to a cut, from the cut on, or all of it.
    values : tuple of str
        The cut; none for the whole.
    seconds, spread_s : float
        As for layers.
    stage : bool
        A stage of a program that ran, with the quantizer and all else it does for a task; else the engine alone.
    """

    part: str
    values: Tuple[str, ...]
    seconds: float
    spread_s: float = 0.0
    stage: bool = False


class SeenLink(NamedTuple):
    """What a run saw of its link; the rate on the wire, and a round trip."""

    bandwidth_bytes_per_s: float
    rtt_s: float


class SeenPower(NamedTuple):
    """Watts of the board while it waited and while the model ran, each the mean of `readings` or more."""

    idle_w: float
    busy_w: float
    readings: int


class MeasuredProfile(NamedTuple):
    """All of a file.

    Attributes
    ----------
    model_sha256 : str
        Of the model's source file, as a bundle states it.
    inputs : mapping of str to tuple of int
        Shape of each of the model's inputs in these runs; empty where it is not known.
    backend : {"onnxruntime", "tensorrt"}
    precision : str
        "fp32", "fp16", "int8".
    machine, power_mode : str
        Empty where it is not known.
    versions : mapping of str to str
        Of the tools, by name.
    date : str
        ISO 8601, UTC.
    warm_up, repeats : int
    method : str
        How the numbers came about, in a few words.
    layers : tuple of Layer
    segments : tuple of Segment
    bytes_per_s, overhead_s : float
        Quantizing here: throughput, and fixed time of one tensor; 0 where it was not measured.
    link : SeenLink, optional
    chip : str
        "tegra186" and the like of Jetsons, the CPU's architecture of other machines; empty where it is not known.
    power : SeenPower, optional
        Where the board tells it.
    program_s : float
        What the device program takes for a task besides the half; 0 where it was not measured.
    """

    model_sha256: str
    inputs: Mapping[str, Tuple[int, ...]]
    backend: str
    precision: str
    machine: str
    power_mode: str
    versions: Mapping[str, str]
    date: str
    warm_up: int
    repeats: int
    method: str
    layers: Tuple[Layer, ...]
    segments: Tuple[Segment, ...]
    bytes_per_s: float = 0.0
    overhead_s: float = 0.0
    link: Optional[SeenLink] = None
    chip: str = ""
    power: Optional[SeenPower] = None
    program_s: float = 0.0

    @property
    def whole(self) -> Optional[Segment]:
        """The run of all of the model, if there was one."""
        return next((one for one in self.segments if one.part == "whole"), None)

    @property
    def source(self) -> str:
        """Where the numbers come from, in one sentence."""
        tools = ", ".join("{} {}".format(name, self.versions[name]) for name in sorted(self.versions))
        parts = [self.machine or "machine not stated", self.power_mode, tools, self.date[:10], self.method]
        return ", ".join(part for part in parts if part)


def write_profile(path: str, profile: MeasuredProfile) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    ProfileFileError
        It cannot be written.
    """
    record: Dict[str, Any] = {"kind": KIND, "format": FORMAT}
    record.update(profile._asdict())
    record["versions"] = dict(profile.versions)
    record["inputs"] = {name: list(shape) for name, shape in profile.inputs.items()}
    record["layers"] = [layer._asdict() for layer in profile.layers]
    record["segments"] = [dict(one._asdict(), values=list(one.values)) for one in profile.segments]
    record["link"] = None if profile.link is None else profile.link._asdict()
    record["power"] = None if profile.power is None else profile.power._asdict()
    partial = "{}.{}.partial".format(path, uuid.uuid4().hex)
    try:
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1)
            stream.write("\n")
        os.replace(partial, path)
    except OSError as exc:
        if os.path.exists(partial):
            os.unlink(partial)
        raise ProfileFileError("cannot write the profile {}: {}".format(path, exc.strerror or exc)) from exc


def read_profile(path: str) -> MeasuredProfile:
    """Read a file.

    Raises
    ------
    ProfileFileError
        It is missing, damaged, newer than this reader, or something in it is not as it must be: which field, what was
        expected, and what was found.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(LARGEST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileFileError("cannot read the profile {}: {}".format(path, exc)) from exc
    try:
        record = json.loads(text) if len(text) <= LARGEST_BYTES else None
    except ValueError as exc:
        raise ProfileFileError("{} is not JSON: {}".format(path, exc)) from exc
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise ProfileFileError(
            "{} is no measured profile".format(path),
            hint="coachc profile writes one; measurements of other tools are taken by coachc profile --import",
        )
    if record.get("format") != FORMAT:
        raise ProfileFileError(
            "{} has format {!r}, expected {}".format(path, record.get("format"), FORMAT),
            hint="read it with the release of coachc that wrote it, or measure again",
        )
    fields = _Fields(path, record)
    segments = tuple(
        Segment(
            one.word("part", PARTS), one.names("values"), one.number("seconds"), one.number("spread_s"),
            one.flag("stage"),
        )
        for one in fields.objects("segments")
    )  # fmt: skip
    link, power = fields.optional("link"), fields.optional("power")
    return MeasuredProfile(
        fields.text("model_sha256"),
        fields.shapes("inputs"),
        fields.word("backend", BACKENDS),
        fields.text("precision"),
        fields.text("machine", empty=True),
        fields.text("power_mode", empty=True),
        fields.texts("versions"),
        fields.text("date"),
        fields.whole("warm_up"),
        fields.whole("repeats"),
        fields.text("method"),
        tuple(
            Layer(one.text("name"), one.number("seconds"), one.number("spread_s")) for one in fields.objects("layers")
        ),
        segments,
        fields.number("bytes_per_s"),
        fields.number("overhead_s"),
        None if link is None else SeenLink(link.number("bandwidth_bytes_per_s"), link.number("rtt_s")),
        fields.text("chip", empty=True),
        None if power is None else SeenPower(power.number("idle_w"), power.number("busy_w"), power.whole("readings")),
        fields.number("program_s"),
    )


class _Fields:
    """An object of the file, its fields read one by one."""

    def __init__(self, where: str, record: Mapping[str, Any]) -> None:
        self._where = where
        self._record = record

    def number(self, name: str) -> float:
        return self._read(
            name, "a number of 0 or more", lambda v: type(v) in (int, float) and math.isfinite(v) and v >= 0, float
        )

    def whole(self, name: str) -> int:
        return self._read(name, "a whole number of 0 or more", lambda v: type(v) is int and v >= 0, int)

    def flag(self, name: str) -> bool:
        return self._read(name, "true or false", lambda v: isinstance(v, bool), bool)

    def text(self, name: str, empty: bool = False) -> str:
        return self._read(name, "a text", lambda v: isinstance(v, str) and (empty or bool(v)), str)

    def word(self, name: str, known: Tuple[str, ...]) -> str:
        return self._read(name, "one of " + ", ".join(known), lambda v: v in known, str)

    def names(self, name: str) -> Tuple[str, ...]:
        return self._read(
            name, "a list of texts", lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v), tuple
        )

    def texts(self, name: str) -> Dict[str, str]:
        return self._read(
            name,
            "an object of texts",
            lambda v: isinstance(v, dict) and all(isinstance(one, str) for one in v.values()),
            dict,
        )

    def shapes(self, name: str) -> Dict[str, Tuple[int, ...]]:
        found = self._read(
            name,
            "an object of shapes",
            lambda v: (
                isinstance(v, dict)
                and all(isinstance(one, list) and all(type(dim) is int for dim in one) for one in v.values())
            ),
            dict,
        )
        return {key: tuple(shape) for key, shape in found.items()}

    def objects(self, name: str) -> Tuple["_Fields", ...]:
        found = self._read(
            name, "a list of objects", lambda v: isinstance(v, list) and all(isinstance(one, dict) for one in v), list
        )
        return tuple(_Fields("{}, {} {}".format(self._where, name, place), one) for place, one in enumerate(found))

    def optional(self, name: str) -> Optional["_Fields"]:
        found = self._read(name, "an object or null", lambda v: v is None or isinstance(v, dict), lambda v: v)
        return None if found is None else _Fields("{}, {}".format(self._where, name), found)

    def _read(self, name: str, expected: str, fits: Callable[[Any], bool], make: Callable[[Any], Any]) -> Any:
        value = self._record.get(name)
        if name not in self._record or not fits(value):
            found = "nothing" if name not in self._record else json.dumps(value)[:80]
            raise ProfileFileError("{}: '{}' is {}, expected {}".format(self._where, name, found, expected))
        return make(value)
