"""Whether a bundle still is its model: every file loads by itself, and the halves of every cut together give what the
whole gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from coachc.checks.bundle_half import Half
from coachc.checks.engines import check_carried, check_half_precision
from coachc.checks.manifest_match import check_description, check_ends, device_mask
from coachc.checks.quantized import check_quantized, was_rewritten
from coachc.checks.recompose import TOLERANCE, Feed, Finding, Whole, compare, run_halves, says_nothing
from coachc.checks.storing_session import StoringSession
from coachc.core.graph import GraphView
from coachc.emit.two_halves import MODEL_PATH
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.frontend.rounding import admissible
from coachc.passes.batch.two_sizes import TASKS
from coachc.passes.cut import boundary_name, split
from coachc.runtime.bundle.manifest_types import MODEL_ROLES, Cut
from coachc.runtime.bundle.read_outputs import decoder_in
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import Bundle, open_bundle

#: Inputs tried by default.
SAMPLES = 4


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
    check_description(manifest, model)
    for artefact in manifest.artefacts:
        if artefact.role not in MODEL_ROLES:
            continue
        proto = _load(bundle, artefact.path)
        check(proto)
        opset = next(entry.version for entry in proto.opset_import if entry.domain == "")
        detail = f"opset {opset}, IR {proto.ir_version}: checker, strict shapes and ONNX Runtime load pass"
        findings.append(Finding(artefact.path, detail))
    decoder = decoder_in(manifest)
    if decoder is not None:
        said = f"{decoder.kind} of {len(decoder.classes)} classes, head {manifest.decode['head']}"
        findings.append(Finding("decode", f"{said}, from {', '.join(name for name, _ in decoder.expected)}"))
    findings += check_carried(bundle)
    findings += check_half_precision(bundle, seed=seed)
    feeds = _feeds(bundle, model, source, samples, seed)
    kind = "real" if source else f"seeded (seed {seed})"
    for cut in manifest.cuts:
        if cut.mode in ("split", "cloud-raw"):
            findings += _check_cut(bundle, cut, model, graph, feeds, kind)
        elif {*cut.on_device, *cut.on_cloud} != {MODEL_PATH}:
            findings.append(_check_whole(bundle, cut, model, feeds, kind))
    return findings + list(_check_batches(bundle, seed))


def _check_batches(bundle: Bundle, seed: int) -> Iterable[Finding]:
    """Whether every cut that takes several tasks in one run gives for three, and for the most, what the whole gives."""
    open_cuts = [cut for cut in bundle.manifest.cuts if cut.max_batch > 1]
    for tasks in sorted({min(TASKS, cut.max_batch) for cut in open_cuts} | {cut.max_batch for cut in open_cuts}):
        model = import_model(f"{bundle.path}/{MODEL_PATH}", batch=tasks)
        graph, feeds = fuse(model), [ort.runnable_inputs(model.proto, seed)]
        kind = f"seeded (seed {seed})"
        for cut in open_cuts:
            if tasks > cut.max_batch:
                continue
            if cut.mode in ("split", "cloud-raw"):
                found = list(_check_cut(bundle, cut, model, graph, feeds, kind))
                yield Finding(f"batch of {tasks}", f"cut {cut.name}: {'; '.join(one.detail for one in found[1:])}")
            elif {*cut.on_device, *cut.on_cloud} != {MODEL_PATH}:
                yield Finding(
                    f"batch of {tasks}", f"cut {cut.name}: {_check_whole(bundle, cut, model, feeds, kind).detail}"
                )


def _check_whole(bundle: Bundle, cut: Cut, model: Model, feeds: Sequence[Feed], kind: str) -> Finding:
    """Whether the segments of a cut that has the whole model on one side are the whole model."""
    side = _half(bundle, cut.on_device or cut.on_cloud)
    if set(side.inputs) - set(model.inputs) or not side.outputs >= set(model.outputs) - set(model.inputs):
        raise CheckFailure(
            f"the segments of cut '{cut.name}' do not take and give what the model does",
            context=[f"expected {sorted(model.inputs)} -> {sorted(model.outputs)}", f"found    {sorted(side.inputs)}"],
            hint="recompile the bundle",
        )
    whole, segments = Whole(model), side.load()
    # Operators written in another way round in other places.
    tolerance = admissible(model.proto, TOLERANCE) if was_rewritten(side, model) else TOLERANCE
    where = f"cut '{cut.name}'"
    worst = max(compare(whole.run(feed), {**feed, **segments.run(feed)}, where, tolerance) for feed in feeds)
    detail = f"{len(side.models)} segments in order, {len(feeds)} {kind} inputs, against the whole model: "
    return Finding(f"cut {cut.name}", f"{detail}relative difference {worst:.1e}")


def _check_cut(
    bundle: Bundle, cut: Cut, model: Model, graph: GraphView, feeds: Sequence[Feed], kind: str
) -> Iterable[Finding]:
    halves = _half(bundle, cut.on_device), _half(bundle, cut.on_cloud)
    mask = device_mask(graph, halves, cut)
    check_ends(graph, mask, halves, cut)
    whole = Whole(model)
    head, tail = (StoringSession(half) for half in split(model, graph, mask))
    worst, floats, outputs = 0.0, [], []
    for feed in feeds:
        together = run_halves(head, tail, feed)
        outputs.append(whole.run(feed))
        worst = max(worst, compare(outputs[-1], together, f"cut '{cut.name}', unquantized"))
        floats.append({value.name: together[boundary_name(graph, value.name)] for value in cut.values})
    bits = ", ".join(f"{value.name} at {value.bits} bits" for value in cut.values)
    yield Finding(f"cut {cut.name}", f"every path from input to output crosses it once: {bits}")
    yield Finding(
        "recomposed",
        f"{len(feeds)} {kind} inputs, float halves against the whole model: relative difference {worst:.1e}"
        + whole.said
        + says_nothing(outputs),
    )
    yield from check_quantized(cut, halves, model, graph.members_outside(mask), feeds, floats, kind=kind)


def _half(bundle: Bundle, paths: Sequence[str]) -> Half:
    return Half(tuple(_load(bundle, path) for path in paths))


def _load(bundle: Bundle, path: str) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(bundle.read(path))
    except DecodeError as exc:
        raise CheckFailure(f"{path} is not an ONNX model", hint="recompile the bundle") from exc


def _feeds(bundle: Bundle, model: Model, source: str | None, samples: int, seed: int) -> list[Feed]:
    if source is None:
        return [ort.runnable_inputs(model.proto, seed + i) for i in range(samples)]
    return list(open_source(source, bundle.manifest.model.inputs, bundle.manifest.preprocess, limit=samples))
