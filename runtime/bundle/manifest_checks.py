"""What the fields of a manifest say about each other: which cuts, values, quantizers and artefacts fit together."""

import re
import struct
from typing import Any, Sequence

from ..errors import BundleError
from . import json_fields as f
from . import manifest_types as m
from .classes import classes_of


def check_manifest(manifest: m.Manifest) -> None:
    """Raise BundleError where one field contradicts another."""
    _unique("cuts", [cut.name for cut in manifest.cuts])
    _unique("cuts", [m.url_name(cut.name) for cut in manifest.cuts])  # what the server calls them
    _unique("artefacts", [artefact.path for artefact in manifest.artefacts])
    for side in ("inputs", "outputs"):
        if not getattr(manifest.model, side):
            raise f.wrong("model." + side, "at least one", [])
    if manifest.chosen not in [cut.name for cut in manifest.cuts]:
        raise f.wrong("chosen", "the name of a cut", manifest.chosen)
    if manifest.preprocess is not None:
        _check_preprocess(manifest.preprocess)
    _check_engines(manifest)
    _check_task(manifest)
    for index, cut in enumerate(manifest.cuts):
        _check_cut(manifest, cut, f"cuts[{index}]")


#: What tasks read outputs as.
DECODED = {"segment": "mask", "detect": "boxes"}


def _check_task(manifest: m.Manifest) -> None:
    """Classes need a row of them in the first output, and early exits need classes."""
    model = manifest.model
    if manifest.task == "classify" and classes_of(model.outputs[0].shape, model.inputs[0].shape) is None:
        raise f.wrong("task", "outputs, where the first output is no row of classes", manifest.task)
    kind = DECODED.get(manifest.task)
    if manifest.decode.get("kind") != kind:
        expected = "an empty object" if kind is None else f'an object of kind "{kind}"'
        raise f.wrong("decode", f"{expected} for task {manifest.task}", dict(manifest.decode))
    for index, cut in enumerate(manifest.cuts):
        if cut.policy is not None and manifest.task != "classify":
            raise f.wrong(f"cuts[{index}].policy", "null, where the outputs are no classes", cut.policy)
    if manifest.input_ranges and len(manifest.input_ranges) != len(model.inputs):
        raise f.wrong("input_ranges", f"one for each of {len(model.inputs)} inputs", list(manifest.input_ranges))
    for index, known in enumerate(manifest.input_ranges):
        if known and (len(known) != 2 or known[0] > known[1]):
            raise f.wrong(f"input_ranges[{index}]", "nothing, or the least and the largest value", list(known))


def _check_batch(manifest: m.Manifest, cut: m.Cut, where: str) -> None:
    if cut.max_batch < 1:
        raise f.wrong(where + ".max_batch", "at least 1", cut.max_batch)
    ends = manifest.model.inputs + manifest.model.outputs
    shapes = [spec.shape for spec in ends] + [value.shape for value in cut.values]
    if cut.max_batch > 1 and any(shape[:1] != (1,) for shape in shapes):
        raise f.wrong(where + ".max_batch", "1, where a value has not one row along its first axis", cut.max_batch)


def _check_engines(manifest: m.Manifest) -> None:
    roles = {artefact.path: artefact.role for artefact in manifest.artefacts}
    for index, engine in enumerate(manifest.engines):
        for field, path, role in (("path", engine.path, "engine"), ("log", engine.log, "log")):
            if roles.get(path) != role:
                raise f.wrong(f"engines[{index}].{field}", f"an artefact of role {role}", path)
    for index, half in enumerate(manifest.half_precision):
        if roles.get(half.path) != "half-precision":
            raise f.wrong(f"half_precision[{index}].path", "an artefact of role half-precision", half.path)
    built = [path for engine in manifest.engines for path in (engine.path, engine.log)]
    halved = [half.path for half in manifest.half_precision]
    for field, named, of in (("engines", built, ("engine", "log")), ("half_precision", halved, ("half-precision",))):
        _unique(field, named)
        for path in sorted(roles):
            if roles[path] in of and path not in named:
                raise f.wrong(field, f"an entry for artefact {path}, of role {roles[path]}", named)


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
    if len(pre.fill) != (channels if pre.letterboxed else 0) or max(pre.fill, default=0) > 255:
        expected = f"a pixel of 0 to 255 per channel ({channels})" if pre.letterboxed else "none without a letterbox"
        raise f.wrong("preprocess.fill", expected, list(pre.fill))
    if pre.crop != "center":
        if pre.resize_to:
            raise f.wrong("preprocess.resize_to", f"an empty list for crop {pre.crop}", list(pre.resize_to))
    elif not 1 <= len(pre.resize_to) <= 2:
        raise f.wrong("preprocess.resize_to", "one or two lengths for crop center", list(pre.resize_to))
    elif not covers(pre.resize_to, pre.size):
        shown = "x".join(str(length) for length in pre.resize_to)
        raise f.wrong("preprocess.resize_to", "at least {}x{}, which is cropped out of it".format(*pre.size), shown)


def covers(resize_to: Sequence[int], size: Sequence[int]) -> bool:
    """Whether pictures resized to `resize_to` (see `Preprocess`) hold a crop of `size`, whatever their aspect ratio."""
    return all(have >= want for have, want in zip(tuple(resize_to) * (2 // len(resize_to)), size))


def _check_cut(manifest: m.Manifest, cut: m.Cut, where: str) -> None:
    needs_device = cut.mode != "cloud-jpeg"
    needs_cloud = cut.mode != "device-only"
    for side, path, needed in (("device", cut.device, needs_device), ("cloud", cut.cloud, needs_cloud)):
        if (path is not None) != needed:
            raise f.wrong(f"{where}.{side}", "a path" if needed else "null for mode " + cut.mode, path)
    _check_artefacts(manifest, cut, where)
    made = list(cut.device_outputs + cut.cloud_outputs)
    if sorted(made) != sorted(spec.name for spec in manifest.model.outputs):
        raise f.wrong(where + ".device_outputs", "each model output on exactly one side", made)
    _unique(where + ".values", [value.codes for value in cut.values])
    if bool(cut.values) != needs_cloud:
        raise f.wrong(where + ".values", "values exactly where there is a cloud half", len(cut.values))
    if cut.mode == "cloud-jpeg" and (manifest.preprocess is None or len(cut.values) != 1):
        raise f.wrong(where, "a preprocess and one value for mode cloud-jpeg", cut.name)
    _check_batch(manifest, cut, where)
    _unique(where + ".features", list(cut.features))
    for index, name in enumerate(cut.features):
        if cut.device is None or name in made or name in [value.codes for value in cut.values]:
            raise f.wrong(f"{where}.features[{index}]", "an output of the device half that is nothing else", name)
    for index, value in enumerate(cut.values):
        _check_value(value, cut.mode, f"{where}.values[{index}]")


def _check_artefacts(manifest: m.Manifest, cut: m.Cut, where: str) -> None:
    roles = {artefact.path: artefact.role for artefact in manifest.artefacts}
    halves = [("device", cut.device), ("cloud", cut.cloud)]
    for side, paths in (("before", cut.before), ("after", cut.after)):
        halves += [(f"{side}[{index}]", path) for index, path in enumerate(paths)]
    for field, path in halves + [("policy", cut.policy)]:
        if path is None:
            continue
        if path not in roles:
            raise f.wrong(f"{where}.{field}", "the path of a listed artefact", path)
        if roles[path] not in (("policy",) if field == "policy" else m.MODEL_ROLES):
            wanted = "an artefact of role policy" if field == "policy" else "a model"
            raise f.wrong(f"{where}.{field}", wanted, f"{path}, of role {roles[path]}")
    for side, paths, half in (("before", cut.before, cut.device), ("after", cut.after, cut.cloud)):
        if paths and half is None:
            raise f.wrong(f"{where}.{side}", "no segments on a side that computes nothing", list(paths))
        _unique(f"{where}.{side}", list(paths + (half,) if half is not None else paths))
    for index, path in enumerate(cut.before):
        if path in cut.on_cloud:
            raise f.wrong(f"{where}.before[{index}]", "an artefact that does not run on the cloud too", path)


def _check_value(value: m.CutValue, mode: str, where: str) -> None:
    if value.jpeg != (mode == "cloud-jpeg"):
        raise f.wrong(where + ".codec", "jpeg exactly in mode cloud-jpeg", value.codec)
    if value.jpeg and value.codes != value.name:
        raise f.wrong(where + ".codes", "the value's own name for codec jpeg", value.codes)
    _check_layout(value, where + ".layout")
    if not value.jpeg and value.quality is not None:
        raise f.wrong(where + ".quality", f"null for codec {value.codec}", value.quality)
    if value.packed:
        _check_levels(value, where)
        return
    if value.levels:
        raise f.wrong(where + ".levels", f"no levels for codec {value.codec}", list(value.levels))
    if value.raw:
        _check_raw(value, where)
    else:
        _check_jpeg(value, where)


def _check_layout(value: m.CutValue, where: str) -> None:
    layout = value.layout
    if not 1 <= layout.memory_level <= 9:
        raise f.wrong(where + ".memory_level", "1 to 9", layout.memory_level)
    if not value.packed:
        for field, plain in (("form", "dense"), ("coding", "none")):
            if getattr(layout, field) != plain:
                raise f.wrong(f"{where}.{field}", f"{plain} for codec {value.codec}", getattr(layout, field))
    if not layout.order:
        return
    if not value.packed or len(value.shape) < 2:
        raise f.wrong(where + ".order", "no order but for a packed value with channels", list(layout.order))
    if sorted(layout.order) != list(range(value.shape[1])):
        raise f.wrong(where + ".order", f"each of the {value.shape[1]} channels once", list(layout.order))


def _check_levels(value: m.CutValue, where: str) -> None:
    known = [level.bits for level in value.levels]
    if known != sorted(set(known)):
        raise f.wrong(where + ".levels", "levels by ascending bits, each once", known)
    if value.bits not in known:
        raise f.wrong(where + ".bits", "the bits of one of its levels", value.bits)
    for index, level in enumerate(value.levels):
        _check_level(level, value.shape, f"{where}.levels[{index}]")


def _check_level(level: m.Level, shape: Sequence[int], where: str) -> None:
    if not m.MIN_BITS <= level.bits <= m.MAX_BITS:
        raise f.wrong(where + ".bits", f"{m.MIN_BITS} to {m.MAX_BITS}", level.bits)
    counts = {1, *shape[1:2]} - {0}
    if len(level.scale) not in counts:
        raise f.wrong(where + ".scale", " or ".join(map(str, sorted(counts))) + " numbers", list(level.scale))
    if len(level.zero_point) != len(level.scale):
        raise f.wrong(where + ".zero_point", "as many as scales", list(level.zero_point))
    for place, scale in enumerate(level.scale):
        if not _positive_float32(scale):
            raise f.wrong(f"{where}.scale[{place}]", "a positive number, in float32 too", scale)
    for place, zero_point in enumerate(level.zero_point):
        if zero_point >= 1 << level.bits:
            raise f.wrong(f"{where}.zero_point[{place}]", f"0 to {(1 << level.bits) - 1}", zero_point)


def _check_raw(value: m.CutValue, where: str) -> None:
    width = 8 if value.dtype == "bool" else int(re.sub("[a-z]", "", value.dtype))
    if value.bits != width:
        raise f.wrong(where + ".bits", f"{width}, the width of {value.dtype}", value.bits)


def _check_jpeg(value: m.CutValue, where: str) -> None:
    if value.bits != 8 or value.shape[:1] != (1,):
        raise f.wrong(where, "8 bits and a batch of 1 for codec jpeg", value.name)
    if value.quality is None or not 1 <= value.quality <= 95:
        raise f.wrong(where + ".quality", "a JPEG quality, 1 to 95", value.quality)


def _positive_float32(number: float) -> bool:
    """Whether a quantizer's scale is still positive and finite where it is used, in float32."""
    try:
        return bool(struct.unpack("<f", struct.pack("<f", number))[0] > 0)
    except OverflowError:
        return False


def _unique(where: str, names: Any) -> None:
    for name in sorted(set(names)):
        if names.count(name) > 1:
            raise BundleError(f"manifest field '{where}': '{name}' appears twice")
