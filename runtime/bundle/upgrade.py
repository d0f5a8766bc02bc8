"""Manifests of older formats, brought to the newest one: one pure function a version, from JSON object to JSON object.

They run before the strict reader of `manifest_json`, which knows the newest format alone, and change what is read,
never a file: a bundle's id and its signature are of the bytes as they were written. An upgrade says what a field meant
before it was there, and refuses what that version did not have; all else it leaves to the reader.
"""

from typing import Any, Callable, Dict

from ..errors import BundleError
from ..programs import how_to_update
from . import json_fields as f
from .classes import classes_of
from .manifest_types import FORMAT_VERSION

Json = Dict[str, Any]


def upgraded(raw: Any) -> Any:
    """A manifest as the newest format has it; what states no version, as it is.

    Parameters
    ----------
    raw : JSON value
        Not changed.

    Raises
    ------
    BundleError
        If it is of a newer format than this reader knows or an older one than it takes, or its version is no number.
    """
    refuse_newer(raw)
    version = version_of(raw)
    if version is None and isinstance(raw, dict) and "format_version" in raw:
        f.whole(raw["format_version"], "format_version")
    if version is not None and version < OLDEST_VERSION:
        raise BundleError(
            f"written by an older coachc {_known(raw, version)}", hint="compile the model again: coachc compile MODEL"
        )
    while version is not None and version < FORMAT_VERSION:
        raw = dict(UPGRADES[version](raw), format_version=version + 1)
        version += 1
    return raw


def refuse_newer(raw: Any) -> None:
    """Raise BundleError if a manifest says that it is of a newer format; nothing else about it is looked at."""
    version = version_of(raw)
    if version is not None and version > FORMAT_VERSION:
        raise BundleError(f"written by a newer coachc {_known(raw, version)}", hint=how_to_update())


def version_of(raw: Any) -> Any:
    """The format that a manifest states; None where it states none, which the reader refuses."""
    version = raw.get("format_version") if isinstance(raw, dict) else None
    return version if type(version) is int and version >= 0 else None


def _known(raw: Json, version: int) -> str:
    """The version found and those taken, with the program that wrote it where it says so."""
    producer = raw.get("producer")
    named = isinstance(producer, str) and 0 < len(producer) <= 80 and producer.isprintable()
    return "({}format {}; this reader knows {} to {})".format(
        f"{producer}, " if named else "", str(version)[:20], OLDEST_VERSION, FORMAT_VERSION
    )


def _from_3_to_4(raw: Json) -> Json:
    """A JPEG's quality is a field of its own; it was the scale of a quantizer of 8 bits."""
    return _with_each(raw, "cuts", "", lambda cut, where: _with_each(cut, "values", where + ".", _with_quality))


def _with_quality(value: Json, where: str) -> Json:
    if "quality" in value:
        raise BundleError(f"manifest field '{where}.quality' is unknown to format 3")
    if value.get("codec") != "jpeg":
        return dict(value, quality=None)
    try:
        (level,) = value["levels"]
        (scale,) = level["scale"]
        plain = level == {"bits": 8, "scale": [scale], "zero_point": [0]}
    except (KeyError, TypeError, ValueError):
        plain = False
    if not plain:
        raise BundleError(f"manifest field '{where}.levels': expected one level of 8 bits, one scale and zero point 0")
    # What it was written from was a float: 90.0.
    return dict(value, levels=[], quality=int(scale) if isinstance(scale, float) and scale.is_integer() else scale)


def _from_4_to_5(raw: Json) -> Json:
    """A cut says how many tasks it takes in one run; it was one."""
    return _with_each(raw, "cuts", "", _with_max_batch)


def _with_max_batch(cut: Json, where: str) -> Json:
    if "max_batch" in cut:
        raise BundleError(f"manifest field '{where}.max_batch' is unknown to format 4")
    return dict(cut, max_batch=1)


def _from_5_to_6(raw: Json) -> Json:
    """What the outputs are judged as is stated; it was told from the first output's shape."""
    for field in ("task", "input_ranges"):
        if field in raw:
            raise BundleError(f"manifest field '{field}' is unknown to format 5")
    try:
        shapes = [raw["model"][ends][0]["shape"] for ends in ("outputs", "inputs")]
        classifies = classes_of(*shapes) is not None
    except (KeyError, IndexError, TypeError):
        classifies = False  # the reader says what is wrong with them
    return dict(raw, task="classify" if classifies else "outputs")


def _with_each(owner: Json, field: str, prefix: str, change: Callable[[Json, str], Json]) -> Json:
    """`owner` with every object in one of its lists changed, which is also told where it stands."""
    items = owner.get(field)
    if not isinstance(items, list):
        return owner
    changed = [
        change(item, f"{prefix}{field}[{index}]") if isinstance(item, dict) else item
        for index, item in enumerate(items)
    ]
    return dict(owner, **{field: changed})


#: Version -> from its JSON object to that of the next one, `format_version` aside. Every one since the first that was
#: released stays.
UPGRADES = {3: _from_3_to_4, 4: _from_4_to_5, 5: _from_5_to_6}  # type: Dict[int, Callable[[Json], Json]]
OLDEST_VERSION = min(UPGRADES)
