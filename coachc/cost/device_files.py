"""Where targets come from: a TOML file each, ours in `coachc/cost/profiles` or one of the user's.

A profile may be written out, or inherit one of another target with its rates scaled.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from coachc.core.graph import WORK_KINDS
from coachc.core.power import Power
from coachc.core.profile import KINDS, Provenance
from coachc.core.toml_table import Table, key_lines
from coachc.cost.device import EAGER_PREFIX, FAMILIES, LOCAL, LOCAL_SPEC, DeviceSpec, Roofline
from coachc.errors import InternalError, ProfileError, UsageError

SIDES = ("device", "cloud")
PRECISIONS = ("int8", "fp16", "fp32")
SUFFIX = ".toml"

#: A profile that inherits: its own, or of which target, precision and by what its rates are scaled.
_Inherited = tuple[str, str, float, float, float, Provenance]


@cache
def all_devices() -> Mapping[str, DeviceSpec]:
    """Every target that has a profile file, by name, sorted."""
    return read_devices(dict(sorted(profile_texts().items())))


def profile_texts() -> dict[str, str]:
    """The text of each target's file, by its name."""
    folder = resources.files("coachc.cost") / "profiles"
    return {
        entry.name.removesuffix(SUFFIX): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX)
    }


def read_devices(texts: Mapping[str, str]) -> dict[str, DeviceSpec]:
    """Targets from the texts of their files, by name; a profile may inherit that of any of them.

    Raises
    ------
    InternalError
        A file is not as it must be: which, where, and what was expected.
    """
    return _resolved({name: _File(f"{name}{SUFFIX}", name, text, InternalError) for name, text in texts.items()}, {})


def read_device(path: Path) -> DeviceSpec:
    """A target from a file of the user's; its profiles may inherit those of `all_devices`.

    Raises
    ------
    ProfileError
        The file cannot be read or is not as it must be: line, key, and what was expected.
    """

    def fail(text: str) -> ProfileError:
        return ProfileError(text, hint="`coachc devices show tx2 --toml` prints a file to start from")

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileError(
            f"cannot read the target {path}: {exc}", hint="give a TOML file, or a target's name"
        ) from exc
    file = _File(str(path), path.stem, text, fail)
    return _resolved({path.stem: file}, all_devices())[path.stem]


def device_toml(spec: DeviceSpec) -> str:
    """A target as a file of its own, nothing inherited: `read_device` reads it."""
    import tomli_w

    facts = {
        "title": spec.title,
        "aliases": list(spec.aliases),
        "sides": list(spec.sides),
        "compute_capability": spec.compute_capability,
        **({"jetpack": spec.jetpack, "python": spec.python} if "device" in spec.sides else {}),
        "tensorrt": spec.tensorrt,
        "max_opset": spec.max_opset,
        "memory_bytes": spec.memory_bytes,
        "precisions": list(spec.precisions),
        **({"power": _power_toml(spec.power)} if spec.power is not None else {}),
        "roofline": {
            precision: {
                "kind": row.provenance.kind,
                "band": row.provenance.band,
                "source": row.provenance.source,
                "bytes_per_s": row.bytes_per_s,
                "overhead_s": row.overhead_s,
                "flops_per_s": dict(row.flops_per_s),
                **({"overheads_s": dict(row.overheads_s)} if row.overheads_s else {}),
            }
            for precision, row in spec.rooflines.items()
        },
    }
    return tomli_w.dumps(facts)


def _power_toml(power: Power) -> dict[str, object]:
    return {
        "kind": power.provenance.kind,
        "source": power.provenance.source,
        "idle_w": power.idle_w,
        "busy_w": power.busy_w,
        "send_w": power.send_w,
    }


def find_device(name: str, *, side: str, flag: str = "") -> DeviceSpec:
    """Look a target up by name, alias or path of a TOML file; `flag` is where it was given, --SIDE if not told.

    Raises
    ------
    UsageError
        Unknown (suggests the nearest), or known but not for this side.
    ProfileError
        A file that is not as it must be.
    """
    if name.lower() == LOCAL:
        return LOCAL_SPEC
    specs = all_devices()
    by_name = {alias: spec for spec in specs.values() for alias in (spec.name, *spec.aliases)}
    is_file = name.lower().endswith(SUFFIX) or "/" in name
    spec = read_device(Path(name)) if is_file else by_name.get(name.lower())
    if spec is not None and side in spec.sides:
        return spec
    fitting = sorted(alias for alias, s in by_name.items() if side in s.sides) + [LOCAL]
    if spec is not None:
        raise UsageError(
            f"{spec.name} is a {' and '.join(spec.sides)} target, not a {side}",
            context=[f"{side}s: {', '.join(fitting)}"],
            hint=f"choose one with {flag or f'--{side}'}; `coachc devices` lists them all",
        )
    near = difflib.get_close_matches(name.lower(), fitting, n=1, cutoff=0.4)
    raise UsageError(
        f"unknown {side} '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""),
        context=[f"{side}s: {', '.join(fitting)}"],
        hint="`coachc devices` lists every target with its TensorRT version and precisions; a TOML file is taken too",
    )


def precision_of(spec: DeviceSpec, family: str) -> str:
    """The precision to take in one of `FAMILIES`, FP16 before FP32.

    Raises
    ------
    ProfileError
        The target has no numbers in that family.
    """
    assert family in FAMILIES, family
    eager = family == "eager"
    half, single = (EAGER_PREFIX + precision for precision in ("fp16", "fp32"))
    precision = spec.default_precision if not eager else half if half in spec.rooflines else single
    if precision in spec.rooflines or (spec.is_local and not eager):
        return precision
    having = [
        other.name
        for other in all_devices().values()
        if any(found.startswith(EAGER_PREFIX) == eager for found in other.rooflines)
    ]
    instead = "it is timed with ONNX Runtime" if spec.is_local else f"it has: {', '.join(sorted(spec.rooflines))}"
    raise ProfileError(
        f"{spec.name} has no {'PyTorch eager' if eager else 'TensorRT'} profile",
        context=[instead, f"targets with one: {', '.join(having)}"],
        hint="choose one of these targets, or the other family of profiles",
    )


class _File:
    """One file: what it says of the target, and its profiles, own and inherited."""

    def __init__(self, where: str, name: str, text: str, fail: Callable[[str], Exception]) -> None:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise fail(f"{where} is not TOML: {exc}") from exc
        self._where, self._fail, self._lines = where, fail, key_lines(text)
        rows, watts = data.pop("roofline", None), data.pop("power", None)
        top = self._table("", data)
        if not isinstance(rows, dict) or not rows:
            raise fail(f"{where}: no profile, expected a table [roofline.fp16], or of another precision")
        sides = _words(top, "sides", SIDES)
        jetson = "device" in sides
        self.spec = DeviceSpec(
            name=name,
            title=top.take("title", str),
            aliases=tuple(top.take("aliases", list[str], [])),
            sides=sides,
            compute_capability=top.take("compute_capability", str, ""),
            jetpack=top.take("jetpack", str, *([] if jetson else [""])),
            tensorrt=_version(top, "tensorrt"),
            python=top.take("python", str, *([] if jetson else [""])),
            max_opset=_at_least(top, "max_opset", 13),
            memory_bytes=_at_least(top, "memory_bytes", 1),
            precisions=_words(top, "precisions", PRECISIONS),
            rooflines={},
            power=None if watts is None else self._power(watts),
        )
        top.done()
        self.own: dict[str, Roofline] = {}
        self.inherited: dict[str, tuple[Table, _Inherited]] = {}
        for precision, row in rows.items():
            if precision.removeprefix(EAGER_PREFIX) not in self.spec.precisions or not isinstance(row, dict):
                having = ", ".join(f"{one}, {EAGER_PREFIX}{one}" for one in self.spec.precisions)
                raise fail(f"{where}: 'roofline.{precision}' is no table of a precision of 'precisions': {having}")
            self._profile(precision, row)

    def _power(self, watts: object) -> Power:
        if not isinstance(watts, dict):
            raise self._fail(f"{self._where}: 'power' is {watts!r}, expected a table [power]")
        table = self._table("power", watts)
        kind = table.take("kind", str)
        if kind not in KINDS:
            raise table.wrong("kind", f"one of {', '.join(KINDS)}", kind)
        idle_w, busy_w = _above(table, "idle_w", 0.0), _above(table, "busy_w", 0.0)
        if busy_w < idle_w:
            raise table.wrong("busy_w", f"{idle_w:g} or more, as it draws while idle", busy_w)
        power = Power(idle_w, busy_w, _above(table, "send_w", 0.0), Provenance(kind, table.take("source", str)))
        table.done()
        return power

    def _profile(self, precision: str, row: dict[str, object]) -> None:
        table = self._table(f"roofline.{precision}", row)
        kind = table.take("kind", str)
        if kind not in KINDS:
            raise table.wrong("kind", f"one of {', '.join(KINDS)}", kind)
        provenance = Provenance(
            kind, table.take("source", str), _above(table, "band", 1.0, *([1.0] if kind == "measured" else []))
        )
        if parent := table.take("inherits", str, ""):
            own = table.take("precision", str, precision)
            scales = [_above(table, key, 0.0, 1.0) for key in ("compute", "memory", "overhead")]
            self.inherited[precision] = table, (parent, own, scales[0], scales[1], scales[2], provenance)
        else:
            rates = table.take("flops_per_s", dict[str, float])
            overheads = table.take("overheads_s", dict[str, float], {})
            self._kinds(f"roofline.{precision}.flops_per_s", rates)
            self._kinds(f"roofline.{precision}.overheads_s", overheads)
            if "conv" not in rates:
                raise table.wrong("flops_per_s", "a rate for 'conv' at least", rates)
            self.own[precision] = Roofline(
                rates, _above(table, "bytes_per_s", 0.0), _above(table, "overhead_s", 0.0), provenance, overheads
            )
        table.done()

    def _kinds(self, where: str, numbers: Mapping[str, float]) -> None:
        table = self._table(where, numbers)
        for kind in numbers:
            if kind not in WORK_KINDS:
                raise table.wrong(kind, f"a key of: {', '.join(WORK_KINDS)}", numbers[kind])
            _above(table, kind, 0.0)

    def _table(self, place: str, data: Mapping[str, object]) -> Table:
        where = f"{self._where}, [{place}]" if place else self._where
        return Table(where, data, fail=self._fail, lines=self._lines.get(place))


def _resolved(files: Mapping[str, _File], known: Mapping[str, DeviceSpec]) -> dict[str, DeviceSpec]:
    def profile(name: str, precision: str, asked: tuple[str, ...]) -> Roofline | None:
        if name not in files:
            return known[name].rooflines.get(precision) if name in known else None
        file = files[name]
        if precision in file.own or precision not in file.inherited:
            return file.own.get(precision)
        table, (parent, own, compute, memory, overhead, provenance) = file.inherited[precision]
        found = None if f"{parent} {own}" in asked else profile(parent, own, (*asked, f"{name} {precision}"))
        if found is None:
            raise table.wrong("inherits", f"a target with a profile at {own}, not this one's own", parent)
        return Roofline(
            {kind: rate * compute for kind, rate in found.flops_per_s.items()},
            found.bytes_per_s * memory,
            found.overhead_s * overhead,
            provenance,
            {kind: seconds * overhead for kind, seconds in found.overheads_s.items()},
        )

    specs = {}
    for name, file in files.items():
        found = {precision: profile(name, precision, ()) for precision in (*file.own, *file.inherited)}
        rooflines = {precision: one for precision, one in found.items() if one is not None}
        specs[name] = file.spec.with_rooflines(rooflines)
    return specs


def _words(table: Table, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = table.take(key, list[str])
    if not found or set(found) - set(known):
        raise table.wrong(key, f"some of {', '.join(known)}", found)
    return tuple(found)


def _version(table: Table, key: str) -> str:
    found: str = table.take(key, str)
    parts = found.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        raise table.wrong(key, "a version such as 8.2.1", found)
    return found


def _at_least(table: Table, key: str, least: int) -> int:
    found: int = table.take(key, int)
    if found < least:
        raise table.wrong(key, f"{least} or more", found)
    return found


def _above(table: Table, key: str, least: float, *default: float) -> float:
    found = float(table.take(key, float, *default))
    if not math.isfinite(found) or found < least or found == 0:
        raise table.wrong(key, f"{least:g} or more" if least else "a number above 0", found)
    return found
