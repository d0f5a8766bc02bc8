"""A bundle's models for any number of tasks up to a limit, made from the same bundle written for several tasks.

Whatever is decided is decided for one task. Then the model is imported, cut and lowered once more for three tasks, and
each artefact is opened by what both have in common (`passes.batch.open_batch`). It is opened only where no task changes
another one's result, and where what is opened gives what the model gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from coachc.core.graph import GraphView
from coachc.core.plan import Way
from coachc.cost.device import DeviceSpec
from coachc.emit.cuts import emit_cuts
from coachc.emit.two_halves import MODEL_PATH, Emitted
from coachc.errors import CoachError
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.frontend.rounding import admissible
from coachc.frontend.shapes import Shape, batched_shapes
from coachc.passes.batch.open_batch import open_batch
from coachc.passes.batch.rows import first_mixing
from coachc.passes.batch.two_sizes import TASKS, FixedBatch, Growth, maker
from coachc.passes.lower.agree import TOLERANCE, difference
from coachc.runtime.bundle.manifest_types import Cut
from coachc.runtime.bundle.quantizer_inputs import artefact_feed
from coachc.targets.rules import errors
from coachc.targets.target import target_of


@dataclasses.dataclass(frozen=True)
class Opened:
    """What a bundle holds once its batch is open as far as it can be.

    Attributes
    ----------
    model : Model
        Its graph open, where it can be; its values are those of one task.
    emitted : Emitted
        Cuts with their `max_batch`, and artefacts.
    fixed : mapping of str to str
        Cut -> why it takes one task at a time: the node and the reason.
    """

    model: Model
    emitted: Emitted
    fixed: Mapping[str, str]


#: A model's file, and the shapes of inputs that it leaves open, for one task.
Source = tuple[str, Mapping[str, Shape]]


def open_batches(
    source: Source,
    model: Model,
    graph: GraphView,
    ways: Sequence[Way],
    emitted: Emitted,
    *,
    sides: tuple[DeviceSpec, DeviceSpec],
    max_batch: int,
) -> Opened:
    """Open the batch of what a bundle is to hold.

    Parameters
    ----------
    source : (str, mapping)
    model, graph
        Imported for one task.
    ways, emitted
        The cuts, and what was emitted of them for one task.
    sides : (DeviceSpec, DeviceSpec)
        Device and cloud.
    max_batch : int
        Most tasks in one run; with 1 everything stays as it is.
    """
    if max_batch == 1:
        return Opened(model, emitted, {})
    try:
        many = _import(source, TASKS)
        opened, grown = _open_whole(model, many)
        _refuse_other(_import(source, max_batch).proto, opened, {}, max_batch)
        others = fuse(many)
        if [node.members for node in others.nodes] != [node.members for node in graph.nodes]:
            raise FixedBatch("", f"the model has other operators for {TASKS} tasks than for one")
        alone = any(cut.mode == "device-only" for cut in emitted.cuts)
        again = _emit(many, others, ways, sides, alone)
    except FixedBatch as exc:
        return Opened(model, emitted, {cut.name: str(exc) for cut in emitted.cuts})
    made, reasons = {MODEL_PATH: opened}, dict[str, str]()
    for name, one in emitted.models.items():
        targets = [
            spec for spec, side in zip(sides, ("device", "cloud"), strict=True) if _runs(emitted.cuts, side, name)
        ]
        try:
            made[name] = _open_artefact(name, one, again.models[name], emitted.cuts, targets)
        except FixedBatch as exc:
            reasons[name] = str(exc)
    fixed = {}
    for cut in emitted.cuts:
        paths = [*cut.on_device, *cut.on_cloud]
        reason = _crossing(cut, model.proto.graph, grown) or next(
            (reasons[each] for each in paths if each in reasons), ""
        )
        if reason:
            fixed[cut.name] = reason
    open_paths = {each for cut in emitted.cuts if cut.name not in fixed for each in (*cut.on_device, *cut.on_cloud)}
    return Opened(
        dataclasses.replace(model, proto=opened),
        dataclasses.replace(
            emitted,
            cuts=tuple(cut if cut.name in fixed else cut._replace(max_batch=max_batch) for cut in emitted.cuts),
            models={each: made[each] if each in open_paths else one for each, one in emitted.models.items()},
        ),
        fixed,
    )


def _import(source: Source, tasks: int) -> Model:
    path, input_shapes = source
    try:
        return import_model(path, batch=tasks, input_shapes=batched_shapes(path, input_shapes, tasks))
    except CoachError as exc:
        raise FixedBatch("", f"for {tasks} tasks, {'; '.join((exc.message, *exc.context[:1]))}") from exc


def _emit(
    many: Model, graph: GraphView, ways: Sequence[Way], sides: tuple[DeviceSpec, DeviceSpec], alone: bool
) -> Emitted:
    try:
        return emit_cuts(many, graph, ways, *sides, alone=alone)
    except CoachError as exc:
        raise FixedBatch("", f"for {TASKS} tasks, {exc.message}") from exc


def _open_whole(model: Model, many: Model) -> tuple[onnx.ModelProto, dict[str, Growth | None]]:
    """The whole model, open, if each of its inputs and outputs has one row a task, and tasks leave each other alone."""
    opened, grown = open_batch(model.proto, many.proto)
    for kind, names in (("input", model.inputs), ("output", model.outputs)):
        for name in names:
            _check_rows(f"{kind} '{name}'", maker(model.proto.graph, name), model.values[name].shape, grown.get(name))
    mixing = first_mixing(many.proto, grown)
    if mixing:
        raise FixedBatch(mixing, "one task's result depends on the others in its batch")
    _refuse_other(many.proto, opened, {}, TASKS)
    return opened, grown


def _open_artefact(
    name: str, one: onnx.ModelProto, many: onnx.ModelProto, cuts: Sequence[Cut], targets: Sequence[DeviceSpec]
) -> onnx.ModelProto:
    """One artefact, open, if it gives what it gives for several tasks, and its targets take what was written."""
    opened, grown = open_batch(one, many)
    for value in one.graph.input:
        growth = grown.get(value.name)
        if growth is not None and growth.size > 1:
            raise FixedBatch(f"input '{value.name}'", f"it has {growth.size} rows for one task, an engine's has one")
    _refuse_other(many, opened, artefact_feed(cuts, name), TASKS)
    for spec in targets:
        before = {(found.rule, found.node) for found in errors(one, target_of(spec))}
        new = [found for found in errors(opened, target_of(spec)) if (found.rule, found.node) not in before]
        if new:
            raise FixedBatch(f"'{new[0].node}'", f"{target_of(spec).title} takes it for one size only: {new[0].reason}")
    return opened


def _refuse_other(many: onnx.ModelProto, opened: onnx.ModelProto, feed: Mapping[str, np.ndarray], tasks: int) -> None:
    if not ort.available():
        return
    found = difference(many, opened, feed=feed)
    if not found <= admissible(many, TOLERANCE):
        raise FixedBatch("", f"opened, it computes something else for {tasks} tasks (relative difference {found:.2g})")


def _crossing(cut: Cut, graph: onnx.GraphProto, grown: Mapping[str, Growth | None]) -> str:
    """Why what crosses cannot be taken apart into tasks; empty if it can."""
    try:
        for value in cut.values:
            _check_rows(f"'{value.name}'", maker(graph, value.name), value.shape, grown.get(value.name))
    except FixedBatch as exc:
        return str(exc)
    return ""


def _check_rows(what: str, node: str, shape: Shape, growth: Growth | None) -> None:
    """Raise unless a value has one row for each task, along its first axis."""
    if growth is not None and growth.axis == 0 and growth.size == 1:
        return
    sizes = "x".join(map(str, shape)) or "a scalar"
    if growth is None:
        raise FixedBatch(node, f"{what} ({sizes}) does not grow with the number of tasks")
    raise FixedBatch(node, f"{what} ({sizes} for one task) does not have one row for each task along its first axis")


def _runs(cuts: Sequence[Cut], side: str, path: str) -> bool:
    return any(path in cut.run_by(side) for cut in cuts)
