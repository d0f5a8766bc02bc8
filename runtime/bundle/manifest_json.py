"""Manifest to and from canonical JSON bytes.

Reading is strict: every field is there, has its type and a value that makes sense, and nothing else is there. The
format version is looked at before all that, so that a later layout is named as such and not as damage.
"""

import json
from typing import Any, Dict

from runtime.bundle import json_fields as f
from runtime.bundle import manifest_types as m
from runtime.errors import BundleError


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
    """Read and check a manifest.

    Raises
    ------
    BundleError
        If it is not JSON, was written by a newer coachc, or a field is missing, unknown, of the wrong type or
        contradicts another.
    """
    try:
        raw = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"manifest.json is not valid JSON: {exc}") from exc
    _refuse_newer(raw)
    manifest = _manifest(raw, "")
    if manifest.format_version != m.FORMAT_VERSION:
        raise f.wrong("format_version", f"version {m.FORMAT_VERSION}", manifest.format_version)
    _check_cross_references(manifest)
    return manifest


def refuse_newer(data: bytes) -> None:
    """Raise BundleError if a manifest says that a newer coachc wrote it; anything else about it is not looked at."""
    try:
        raw = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return
    _refuse_newer(raw)


def _refuse_newer(raw: Any) -> None:
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if type(version) is int and version > m.FORMAT_VERSION:
        raise BundleError(
            f"written by a newer coachc (format {version}; this reader knows {m.FORMAT_VERSION})",
            hint="upgrade coachc here, or compile again with the version installed here",
        )


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(field) for name, field in value._asdict().items()}
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


_spec = f.record(m.TensorSpec, name=f.text, dtype=f.one_of(m.DTYPES), shape=f.list_of(f.whole))
_value = f.record(
    m.CutValue,
    name=f.text,
    dtype=f.one_of(m.DTYPES),
    shape=f.list_of(f.whole),
    codec=f.one_of(m.CODECS),
    bits=f.whole,
    scale=f.number,
    zero_point=f.whole,
    codes=f.text,
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
)
_artefact = f.record(m.Artefact, path=f.path, role=f.one_of(m.ROLES), sha256=f.sha256, size_bytes=f.whole)
_preprocess = f.record(
    m.Preprocess,
    size=f.list_of(f.whole),
    resize=f.one_of(m.RESIZES),
    color=f.one_of(m.COLORS),
    layout=f.one_of(m.LAYOUTS),
    pixel_scale=f.number,
    mean=f.list_of(f.number),
    std=f.list_of(f.number),
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
)


# What the fields say about each other.


def _check_cross_references(manifest: m.Manifest) -> None:
    _unique("cuts", [cut.name for cut in manifest.cuts])
    _unique("artefacts", [artefact.path for artefact in manifest.artefacts])
    for side in ("inputs", "outputs"):
        if not getattr(manifest.model, side):
            raise f.wrong("model." + side, "at least one", [])
    if manifest.chosen not in [cut.name for cut in manifest.cuts]:
        raise f.wrong("chosen", "the name of a cut", manifest.chosen)
    if not any(cut.mode == "device-only" for cut in manifest.cuts):
        raise BundleError("manifest field 'cuts': no cut has mode 'device-only'")
    if manifest.preprocess is not None:
        _check_preprocess(manifest.preprocess)
    for index, cut in enumerate(manifest.cuts):
        _check_cut(manifest, cut, f"cuts[{index}]")


def _check_preprocess(pre: m.Preprocess) -> None:
    channels = 1 if pre.color == "gray" else 3
    if len(pre.size) != 2 or 0 in pre.size:
        raise f.wrong("preprocess.size", "height and width", list(pre.size))
    if pre.pixel_scale <= 0:
        raise f.wrong("preprocess.pixel_scale", "a positive number", pre.pixel_scale)
    if len(pre.mean) != channels:
        raise f.wrong("preprocess.mean", f"one number per channel ({channels})", list(pre.mean))
    if len(pre.std) != channels or min(pre.std) <= 0:
        raise f.wrong("preprocess.std", f"one positive number per channel ({channels})", list(pre.std))


def _check_cut(manifest: m.Manifest, cut: m.Cut, where: str) -> None:
    needs_device = cut.mode != "cloud-jpeg"
    needs_cloud = cut.mode != "device-only"
    listed = [artefact.path for artefact in manifest.artefacts]
    for side, path, needed in (("device", cut.device, needs_device), ("cloud", cut.cloud, needs_cloud)):
        field = f"{where}.{side}"
        if (path is not None) != needed:
            raise f.wrong(field, "a path" if needed else "null for mode " + cut.mode, path)
        if path is not None and path not in listed:
            raise f.wrong(field, "the path of a listed artefact", path)
    made = list(cut.device_outputs + cut.cloud_outputs)
    if sorted(made) != sorted(spec.name for spec in manifest.model.outputs):
        raise f.wrong(where + ".device_outputs", "each model output on exactly one side", made)
    _unique(where + ".values", [value.codes for value in cut.values])
    if bool(cut.values) != needs_cloud:
        raise f.wrong(where + ".values", "values exactly where there is a cloud half", len(cut.values))
    if cut.mode == "cloud-jpeg" and (manifest.preprocess is None or len(cut.values) != 1):
        raise f.wrong(where, "a preprocess and one value for mode cloud-jpeg", cut.name)
    for index, value in enumerate(cut.values):
        _check_value(value, cut.mode, f"{where}.values[{index}]")


def _check_value(value: m.CutValue, mode: str, where: str) -> None:
    if (value.codec == "jpeg") != (mode == "cloud-jpeg"):
        raise f.wrong(where + ".codec", "jpeg exactly in mode cloud-jpeg", value.codec)
    if value.codec != "packed" and value.codes != value.name:
        raise f.wrong(where + ".codes", "the value's own name for codec " + value.codec, value.codes)
    if value.codec == "packed":
        if not 1 <= value.bits <= 8:
            raise f.wrong(where + ".bits", "1 to 8", value.bits)
        if value.scale <= 0:
            raise f.wrong(where + ".scale", "a positive number", value.scale)
        if value.zero_point >= 1 << value.bits:
            raise f.wrong(where + ".zero_point", f"0 to {(1 << value.bits) - 1}", value.zero_point)
    if value.codec == "jpeg":
        if value.bits != 8 or value.shape[:1] != (1,):
            raise f.wrong(where, "8 bits and a batch of 1 for codec jpeg", value.name)
        if not (1 <= value.scale <= 95 and value.scale == int(value.scale)):
            raise f.wrong(where + ".scale", "a JPEG quality, 1 to 95", value.scale)


def _unique(where: str, names: Any) -> None:
    for name in sorted(set(names)):
        if names.count(name) > 1:
            raise BundleError(f"manifest field '{where}': '{name}' appears twice")
