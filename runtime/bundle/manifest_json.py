"""Manifest to and from canonical JSON bytes.

Reading is strict: every field is there, has its type and a value that makes sense, and nothing else is there; what the
fields say about each other is `manifest_checks`'. The format version is looked at before all that: `upgrade` brings an
older layout to this one, and names one that cannot be read as such and not as damage.
"""

import json
from typing import Any, Dict

from ..errors import BundleError
from . import json_fields as f
from . import manifest_types as m
from . import upgrade
from .manifest_checks import check_manifest


def to_json_bytes(manifest: m.Manifest) -> bytes:
    """Canonical JSON: sorted keys, one-space indent, ASCII, a newline at the end.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    """
    text = json.dumps(_plain(manifest), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")


def from_json_bytes(data: bytes) -> m.Manifest:
    """Read and check a manifest of any format since the first that was released.

    Returns
    -------
    Manifest
        As the newest format has it.

    Raises
    ------
    BundleError
        If it is not JSON, of a newer format or one from before the first release, or a field is missing, unknown, of
        the wrong type or contradicts another.
    """
    try:
        raw = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"manifest.json is not valid JSON: {exc}") from exc
    written = upgrade.version_of(raw)
    try:
        manifest = _manifest(dict(_EMPTY, **f.json_object(upgrade.upgraded(raw), "manifest")), "")
        check_manifest(manifest)
    except BundleError as exc:
        if written is None or not upgrade.OLDEST_VERSION <= written < m.FORMAT_VERSION:
            raise
        older = f"the manifest is of format {written} and was read as format {m.FORMAT_VERSION}"
        raise BundleError(exc.message, (*exc.context, older), exc.hint) from exc
    return manifest


def refuse_newer(data: bytes) -> None:
    """Raise BundleError if a manifest says that a newer coachc wrote it; anything else about it is not looked at."""
    try:
        raw = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return
    upgrade.refuse_newer(raw)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        fields = {name: _plain(field) for name, field in value._asdict().items()}
        if isinstance(value, m.Manifest):
            fields = {name: field for name, field in fields.items() if field or name not in _EMPTY}
        return _without_later_fields(fields) if isinstance(value, m.Preprocess) else fields
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _no_duplicates(pairs: Any) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names a field twice")
    return result


# Not written where there are none.
_EMPTY = {"engines": [], "half_precision": [], "input_ranges": [], "decode": {}}  # type: Dict[str, Any]

# Fields of `preprocess` that came later. Absent they mean this, and with this meaning they are not written: bundles
# from before can be read, and readers from before can read what they can carry out.
_LATER_FIELDS = {"crop": "none", "resize_to": [], "orientation": "stored", "fill": []}  # type: Dict[str, Any]


def _without_later_fields(fields: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _LATER_FIELDS or value != _LATER_FIELDS[name]}


def _preprocess(value: Any, where: str) -> Any:
    return _complete_preprocess(dict(_LATER_FIELDS, **f.json_object(value, where)), where)


_spec = f.record(m.TensorSpec, name=f.text, dtype=f.one_of(m.DTYPES), shape=f.list_of(f.whole))
_level = f.record(m.Level, bits=f.whole, scale=f.list_of(f.number), zero_point=f.list_of(f.whole))
_layout = f.record(
    m.Layout, form=f.one_of(m.FORMS), order=f.list_of(f.whole), coding=f.one_of(m.CODINGS), memory_level=f.whole
)
_value = f.record(
    m.CutValue,
    name=f.text,
    dtype=f.one_of(m.DTYPES),
    shape=f.list_of(f.whole),
    codec=f.one_of(m.CODECS),
    bits=f.whole,
    levels=f.list_of(_level),
    codes=f.text,
    layout=_layout,
    quality=f.optional(f.whole),
)
_cut = f.record(
    m.Cut,
    name=f.text,
    mode=f.one_of(m.MODES),
    device=f.optional(f.path),
    cloud=f.optional(f.path),
    values=f.list_of(_value),
    device_outputs=f.list_of(f.text),
    cloud_outputs=f.list_of(f.text),
    device_parameters=f.one_of(m.PARAMETERS),
    cloud_parameters=f.one_of(m.PARAMETERS),
    features=f.list_of(f.text),
    before=f.list_of(f.path),
    after=f.list_of(f.path),
    policy=f.optional(f.path),
    max_batch=f.whole,
)
_artefact = f.record(m.Artefact, path=f.path, role=f.one_of(m.ROLES), sha256=f.sha256, size_bytes=f.whole)
_engine = f.record(
    m.EngineFacts,
    path=f.path,
    log=f.path,
    model_sha256=f.sha256,
    builder=f.text,
    compute_capability=f.text,
)
_complete_preprocess = f.record(
    m.Preprocess,
    size=f.list_of(f.whole),
    resize=f.one_of(m.RESIZES),
    color=f.one_of(m.COLORS),
    layout=f.one_of(m.LAYOUTS),
    pixel_scale=f.number,
    mean=f.list_of(f.number),
    std=f.list_of(f.number),
    crop=f.one_of(m.CROPS),
    resize_to=f.list_of(f.whole),
    orientation=f.one_of(m.ORIENTATIONS),
    fill=f.list_of(f.whole),
)
_model = f.record(
    m.ModelInfo, name=f.text, sha256=f.sha256, opset=f.whole, inputs=f.list_of(_spec), outputs=f.list_of(_spec)
)
_manifest = f.record(
    m.Manifest,
    format_version=f.whole,
    producer=f.text,
    calibration=f.one_of(m.CALIBRATIONS),
    model=_model,
    device=f.json_object,
    cloud=f.json_object,
    link=f.json_object,
    preprocess=f.optional(_preprocess),
    classes=f.list_of(f.text),
    cuts=f.list_of(_cut),
    chosen=f.text,
    artefacts=f.list_of(_artefact),
    plan=f.json_object,
    revision=f.whole,
    engines=f.list_of(_engine),
    input_ranges=f.list_of(f.list_of(f.number)),
    task=f.one_of(m.TASKS),
    decode=f.json_object,
    half_precision=f.list_of(f.record(m.HalfPrecision, path=f.path, model_sha256=f.sha256)),
)
