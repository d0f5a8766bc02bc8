"""Lower what is emitted for the TensorRT that is to build it, and prove by a run that it computes the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from coachc.cost.device import DeviceSpec
from coachc.errors import ModelError
from coachc.frontend import ort, walk
from coachc.frontend.opset import newest_opset, opset_of
from coachc.frontend.pass_driver import Observer
from coachc.frontend.rounding import admissible
from coachc.passes.lower.agree import TOLERANCE, difference
from coachc.passes.lower.limits import Limits, Lowered, common
from coachc.passes.lower.rewrite_model import lower
from coachc.passes.lower.schema import schema_of
from coachc.passes.lower.take_apart import can_be_taken_apart
from coachc.targets.rules import violations
from coachc.targets.target import target_of

#: A node that is refused for a reason of its own may be taken apart into one that is, too.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Lowering:
    """What was done to one artefact for its targets.

    Attributes
    ----------
    path : str
    target : str
        Such as "TensorRT 8.2.1 on tx2".
    source_opset, opset : int
    applied : tuple of (str, int)
        What was rewritten and how many nodes of it.
    difference : float
        Of its outputs from those before, relative to their largest magnitude; NaN where ONNX Runtime is missing.
    failure : str
        Why it is left as it was; empty where it was lowered.
    hint : str
        The remedy then.
    """

    path: str
    target: str
    source_opset: int
    opset: int
    applied: tuple[tuple[str, int], ...] = ()
    difference: float = 0.0
    failure: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the manifest; without the difference, whose last digits are the machine's."""
        opsets = {"source_opset": self.source_opset, "opset": self.opset}
        said = {"failure": self.failure, "hint": self.hint} if self.failure else {}
        return {"path": self.path, "target": self.target, **opsets, "applied": dict(self.applied), **said}

    def describe(self) -> str:
        """One line without the path."""
        if self.failure:
            return f"not lowered: {self.failure}" + (f"; {self.hint}" if self.hint else "")
        return Lowered(onnx.ModelProto(), self.applied, self.source_opset, self.opset).describe()


def limits_of(spec: DeviceSpec, model: onnx.ModelProto) -> Limits:
    """What a target takes, as lowering asks for it.

    An operator that the target lacks and that nothing replaces is left to the rules of `coachc.targets`, which name it
    and what to do: one such node on the cloud's side must not keep a model from being split.
    """
    target = target_of(spec)
    rules = target.rules
    if rules is None:
        return Limits(name=target.title, opset=newest_opset())
    opset = opset_of(model)
    used = {node.op_type for node in walk.nodes(model.graph) if not node.domain}
    ceiling = min(spec.max_opset, rules.newest_opset)
    hopeless = {op for op in used if schema_of(op, ceiling) is not None and not can_be_taken_apart(op, opset)}
    return Limits(
        name=f"TensorRT {spec.tensorrt} on {spec.name}",
        opset=ceiling,
        operators=(target.operators or frozenset()) | hopeless,
        quantization="none" if not target.fast_int8 else "symmetric" if rules.quantize.symmetric else "any",
    )


def lower_for(
    path: str,
    model: onnx.ModelProto,
    specs: Collection[DeviceSpec],
    *,
    feed: Mapping[str, np.ndarray],
    codes: Collection[str] = (),
    observers: Sequence[Observer] = (),
) -> tuple[onnx.ModelProto, Lowering | None]:
    """A model that all its targets take, checked if it is another one; and what was done to it.

    Parameters
    ----------
    path : str
        Of the artefact.
    model : onnx.ModelProto
    specs : collection of DeviceSpec
        Every target that runs it.
    feed : mapping of str to ndarray
        Inputs of its quantizers; the others are random when it is compared.
    codes : collection of str
        Outputs that are codes: rounding in another order may move one by a step.
    observers : sequence of callable
        Told after each pass, for the stage "lower/" and the path.

    Returns
    -------
    model : onnx.ModelProto
        As it was, if nothing had to be done or nothing could be.
    lowering : Lowering or None
        None if nothing had to be done.
    """
    source, name = opset_of(model), _both(model, specs).name
    try:
        lowered = lowered_for(model, specs, stage=f"lower/{path}", observers=observers)
    except ModelError as exc:
        return model, Lowering(path, name, source, source, failure=exc.message, hint=exc.hint)
    if not lowered.changed:
        return model, None
    found = difference(model, lowered.model, feed=feed, codes=codes) if ort.available() else float("nan")
    if found > admissible(model, TOLERANCE):
        why = f"lowered to opset {lowered.opset} it computes something else (relative difference {found:.2g})"
        return model, Lowering(path, name, source, source, failure=why, hint="export it at the older opset")
    return lowered.model, Lowering(path, name, source, lowered.opset, lowered.applied, found)


def _both(model: onnx.ModelProto, specs: Collection[DeviceSpec]) -> Limits:
    """What all targets take."""
    limits, *others = (limits_of(spec, model) for spec in specs)
    for other in others:
        limits = common(limits, other)
    return limits


def lowered_for(
    model: onnx.ModelProto, specs: Collection[DeviceSpec], *, stage: str = "lower", observers: Sequence[Observer] = ()
) -> Lowered:
    """A model as all its targets take it: lowered, then once more without the nodes that their rules still refuse.

    Raises
    ------
    ModelError
        A node cannot be written for them.
    """
    limits, targets = _both(model, specs), [target_of(spec) for spec in specs]
    found = lower(model, limits, stage=stage, observers=observers)
    for _ in range(_ROUNDS):
        refused: dict[str, list[str]] = {}
        for one in (one for target in targets for one in violations(found.model, target)):
            if one.severity == "error" and one.node:
                refused.setdefault(one.node, []).append(one.limit)
        again = found
        if refused:
            again = _mended(found.model, limits, refused, stage, observers)
        if not again.changed or again is found:
            break
        applied = dict(found.applied)
        for name, count in again.applied:
            applied[name] = applied.get(name, 0) + count
        found = Lowered(again.model, tuple(sorted(applied.items())), found.source_opset, again.opset)
    return found


def _mended(
    model: onnx.ModelProto,
    limits: Limits,
    refused: Mapping[str, Sequence[str]],
    stage: str,
    observers: Sequence[Observer],
) -> Lowered:
    """A model without the nodes that a target refuses, as far as that goes: where what takes their place is no valid
    model, each is tried alone, and those stay that cannot be done without.
    """
    try:
        return lower(model, limits, refused=refused, stage=stage, observers=observers)
    except ModelError:
        opset = opset_of(model)
        found = Lowered(model, (), opset, opset)
        if len(refused) == 1:
            return found
        applied: dict[str, int] = {}
        for name, broken in refused.items():
            found = _mended(found.model, limits, {name: broken}, stage, observers)
            for what, count in found.applied:
                applied[what] = applied.get(what, 0) + count
        return Lowered(found.model, tuple(sorted(applied.items())), opset, found.opset)
