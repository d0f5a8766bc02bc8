"""Whether two halves still are the model: each loads by itself, and together they give what the whole gives.

Halves are compared with optimizations off, where the same operators run in the same order and only a wrong cut can
make a difference. Models that hold quantized operators are compared at the basic level, because ONNX Runtime runs
Q/DQ groups as integers only there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from coachc.core.graph import GraphView
from coachc.core.plan import Quantizer
from coachc.emit.halves import MODEL_PATH
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.frontend.check import check
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from passes.cut import outputs_on_cloud, outputs_on_device, split
from passes.ideals import all_ideals
from passes.insert_qdq import codes_name, insert_reference
from runtime.bundle.manifest_types import Cut, Manifest
from runtime.bundle.source import open_source
from runtime.bundle.store import Bundle, open_bundle

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Feed = Mapping[str, np.ndarray]
Halves = tuple[onnx.ModelProto, onnx.ModelProto]

#: Largest admissible difference, relative to the largest magnitude of the output: float32 rounding of a sum taken in
#: another order. Equality is what is found in practice.
TOLERANCE = 1e-5
#: Inputs tried by default.
SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One check that held.

    Attributes
    ----------
    what : str
    detail : str
        With the figures seen.
    """

    what: str
    detail: str


def check_bundle(path: str, source: str | None = None, *, samples: int = SAMPLES, seed: int = 0) -> list[Finding]:
    """Check every file and every cut of a bundle.

    Parameters
    ----------
    path : str
    source : str, optional
        Real inputs, as `coachc run --source` takes them; seeded noise if not given.
    samples : int
        Inputs compared.
    seed : int

    Raises
    ------
    CheckFailure
        Something differs; says what, where, expected and found.
    runtime.errors.BundleError
        A file is damaged.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    findings = [Finding("files", f"{len(manifest.artefacts)} artefacts match their size and sha256")]
    model = import_model(f"{path}/{MODEL_PATH}")
    graph = fuse(model)
    _check_description(manifest, model)
    for artefact in manifest.artefacts:
        proto = _load(bundle, artefact.path)
        check(proto)
        opset = next(entry.version for entry in proto.opset_import if entry.domain == "")
        detail = f"opset {opset}, IR {proto.ir_version}: checker, strict shapes and ONNX Runtime load pass"
        findings.append(Finding(artefact.path, detail))
    feeds = _feeds(bundle, model, source, samples, seed)
    kind = "real" if source else f"seeded (seed {seed})"
    for cut in manifest.cuts:
        if cut.mode in ("split", "cloud-raw"):
            findings += _check_cut(bundle, cut, model, graph, feeds, kind)
    return findings


def check_all_cuts(
    model: Model,
    *,
    seed: int = 0,
    limit: int | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Finding]:
    """Cut the model at every partition there is, and compare the halves with the whole model.

    Parameters
    ----------
    model : Model
    seed : int
        Of the inputs.
    limit : int, optional
        Overrides `passes.ideals.MAX_IDEALS`.
    advance : callable
        (partitions checked, all).

    Raises
    ------
    CheckFailure
        A half does not load, or an output differs.
    """
    graph = fuse(model)
    masks, complete = all_ideals(graph) if limit is None else all_ideals(graph, limit=limit)
    feed = ort.seeded_inputs(model.proto, seed)
    level = comparison_level(model.proto)
    whole = ort.run(model.proto, feed, level=level)
    if any(not np.all(np.isfinite(a)) for a in whole.values() if a.dtype.kind == "f"):
        raise CheckFailure(f"{model.name} gives values that are not finite on seeded inputs (seed {seed})")
    worst, cut_count, tensors, skipped = 0.0, 0, 0, 0
    for index, mask in enumerate(masks):
        advance(index, len(masks))
        if mask == graph.full_mask:
            continue
        cut = graph.cut_values(mask)
        if not all(graph.values[name].cuttable for name in cut):
            skipped += 1
            continue
        # Written once for the checker and the engine: with large weights, writing takes longer than either.
        device, cloud = (half.SerializeToString() for half in split(model, graph, mask))
        for half in (device, cloud):
            try:
                onnx.checker.check_model(half, full_check=True)
            except Exception as exc:  # ValidationError and InferenceError share no base but Exception
                where = "cut at " + ", ".join(cut)
                raise CheckFailure(f"onnx's checker refuses a half, {where}", context=[str(exc)[:500]]) from exc
        together = _run_halves(ort.session(device, level), ort.session(cloud, level), feed)
        worst = max(worst, _compare(whole, together, "cut at " + ", ".join(cut)))
        cut_count += 1
        tensors = max(tensors, len(cut))
    found = "all partitions" if complete else f"more than {len(masks)} partitions: the prefixes of the node order"
    detail = (
        f"{found}: {cut_count} cut and recomposed, up to {tensors} tensors, largest relative difference {worst:.1e}"
    )
    if skipped:
        detail += f"; {skipped} not cut because a boundary value has no static shape"
    return [Finding("cuts", detail)]


def comparison_level(proto: onnx.ModelProto) -> ort.Level:
    """Optimization level at which halves and whole are compared."""
    quantized = ("QuantizeLinear", "DequantizeLinear")
    return "basic" if any(node.op_type in quantized for node in proto.graph.node) else "disabled"


def _check_cut(
    bundle: Bundle, cut: Cut, model: Model, graph: GraphView, feeds: Sequence[Feed], kind: str
) -> Iterable[Finding]:
    assert cut.device is not None
    assert cut.cloud is not None
    halves = _load(bundle, cut.device), _load(bundle, cut.cloud)
    mask = _mask_of(graph, halves, cut)
    _check_ends(graph, mask, halves, cut)
    level = comparison_level(model.proto)
    cloud_nodes = {name for i, node in enumerate(graph.nodes) if not mask >> i & 1 for name in node.members}
    quantizers = [Quantizer(v.name, v.codec, v.bits, v.scale, v.zero_point) for v in cut.values]
    reference = ort.session(insert_reference(model, quantizers, cloud_nodes), level)
    device, cloud = (ort.session(half, level) for half in halves)
    whole = ort.session(model.proto, level)
    head, tail = (ort.session(half, level) for half in split(model, graph, mask))
    packed = [value for value in cut.values if value.codec == "packed"]
    worst, worst_float, codes = 0.0, 0.0, 0
    for feed in feeds:
        expected = ort.run_session(reference, feed)
        made = ort.run_session(device, feed)
        for value in packed:
            found, wanted = made[value.codes].astype(np.uint8), expected[codes_name(value.name)]
            differing = int(np.sum(found != wanted))
            if differing:
                raise CheckFailure(
                    f"codes of '{value.name}' differ from QuantizeLinear",
                    context=[f"{differing} of {wanted.size} codes, cut '{cut.name}', {kind} inputs"],
                    hint="recompile the bundle; report this if it happens again",
                )
            codes += wanted.size
        sent = {v.codes: made[v.codes].astype(np.uint8) if v.codec == "packed" else made[v.codes] for v in cut.values}
        together = {**made, **ort.run_session(cloud, sent)}
        where = f"cut '{cut.name}'"
        worst = max(worst, _compare({n: expected[n] for n in model.outputs}, together, where))
        floats = _run_halves(head, tail, feed)
        worst_float = max(worst_float, _compare(ort.run_session(whole, feed), floats, where + ", unquantized"))
    bits = ", ".join(f"{value.name} at {value.bits} bits" for value in cut.values)
    yield Finding(f"cut {cut.name}", f"every path from input to output crosses it once: {bits}")
    yield Finding(
        "recomposed",
        f"{len(feeds)} {kind} inputs, float halves against the whole model: relative difference {worst_float:.1e}",
    )
    yield Finding(
        "quantized", f"{codes} codes equal QuantizeLinear's, outputs within {worst:.1e} of the Q/DQ reference"
    )


def _mask_of(graph: GraphView, halves: Halves, cut: Cut) -> int:
    """Which operators are on the device, read from the halves themselves: each in exactly one of them."""
    on_device, on_cloud = ({node.name for node in half.graph.node} for half in halves)
    mask = 0
    for index, node in enumerate(graph.nodes):
        device, cloud = set(node.members) <= on_device, set(node.members) <= on_cloud
        if device == cloud:
            raise CheckFailure(
                f"operator '{node.name}' is in {'both halves' if device else 'neither half'} of '{cut.name}'"
            )
        mask |= device << index
    crossing = set(graph.cut_values(mask))
    listed = {value.name for value in cut.values}
    if crossing != listed or not graph.is_ideal(mask):
        raise CheckFailure(
            f"cut '{cut.name}' is not a frontier of the model",
            context=[f"expected {sorted(crossing)}", f"found    {sorted(listed)}"],
        )
    return mask


def _check_ends(graph: GraphView, mask: int, halves: Halves, cut: Cut) -> None:
    """Whether both halves take and give what the manifest says, which is all that `coachc run` goes by."""
    codes = tuple(value.codes for value in cut.values)
    sides = outputs_on_device(graph, mask), outputs_on_cloud(graph, mask)
    names = [({i.name for i in half.graph.input}, {o.name for o in half.graph.output}) for half in halves]
    for what, expected, found in (
        ("device_outputs", sides[0], cut.device_outputs),
        ("cloud_outputs", sides[1], cut.cloud_outputs),
        ("inputs of the device half", set(graph.inputs), names[0][0]),
        ("outputs of the device half", {*codes, *sides[0]}, names[0][1]),
        ("inputs of the cloud half", set(codes), names[1][0]),
        ("outputs of the cloud half", set(sides[1]), names[1][1]),
    ):
        _equal(f"{what} of cut '{cut.name}'", sorted(expected), sorted(found))


def _check_description(manifest: Manifest, model: Model) -> None:
    """Whether the manifest describes the values of the model that is in the bundle."""
    for what, specs, names in (
        ("inputs", manifest.model.inputs, model.inputs),
        ("outputs", manifest.model.outputs, model.outputs),
    ):
        _equal(f"{what} of the model", [_described(model, name) for name in names], [tuple(spec) for spec in specs])
    for cut in manifest.cuts:
        for value in cut.values:
            if value.name not in model.values:
                raise CheckFailure(f"cut '{cut.name}' sends '{value.name}', which is no value of the model")
            expected, found = _described(model, value.name), (value.name, value.dtype, value.shape)
            _equal(f"value '{value.name}' of cut '{cut.name}'", expected, found)


def _described(model: Model, name: str) -> tuple[str, str, tuple[int, ...]]:
    return name, model.values[name].dtype, model.values[name].shape


def _equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise CheckFailure(f"{what}: the manifest differs", context=[f"expected {expected}", f"found    {found}"])


def _load(bundle: Bundle, path: str) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(bundle.read(path))
    except DecodeError as exc:
        raise CheckFailure(f"{path} is not an ONNX model", hint="recompile the bundle") from exc


def _run_halves(device: InferenceSession, cloud: InferenceSession, feed: Feed) -> dict[str, np.ndarray]:
    made = ort.run_session(device, feed)
    return {**made, **ort.run_session(cloud, {item.name: made[item.name] for item in cloud.get_inputs()})}


def _compare(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], where: str) -> float:
    """Largest relative difference over all outputs; CheckFailure above `TOLERANCE`."""
    worst = 0.0
    for name, wanted in expected.items():
        if found[name].shape != wanted.shape or found[name].dtype != wanted.dtype:
            raise CheckFailure(
                f"output '{name}' has another type at {where}",
                context=[
                    f"expected {wanted.dtype} {list(wanted.shape)}",
                    f"found    {found[name].dtype} {list(found[name].shape)}",
                ],
            )
        if wanted.size == 0:
            continue
        if wanted.dtype.kind not in "fc":
            difference = 0.0 if np.array_equal(wanted, found[name]) else float("inf")
        else:
            scale = float(np.max(np.abs(wanted.astype(np.float64)))) or 1.0
            difference = float(np.max(np.abs(wanted.astype(np.float64) - found[name]))) / scale
        if not difference <= TOLERANCE:
            raise CheckFailure(
                f"output '{name}' differs at {where}",
                context=[f"relative difference {difference:.3g}", f"admissible {TOLERANCE:g}"],
            )
        worst = max(worst, difference)
    return worst


def _feeds(bundle: Bundle, model: Model, source: str | None, samples: int, seed: int) -> list[Feed]:
    if source is None:
        return [ort.seeded_inputs(model.proto, seed + i) for i in range(samples)]
    opened = open_source(source, bundle.manifest.model.inputs, bundle.manifest.preprocess)
    return list(itertools.islice(opened, samples))
