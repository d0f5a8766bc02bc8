"""Half precision written into models, for TensorRT 11 and TensorRT-RTX, which compute in the types a graph states.

Older releases choose precisions themselves and get the graph in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from coachc.cost.device import DeviceSpec
from coachc.errors import ToolchainError
from coachc.frontend import ort
from coachc.passes.lower.agree import difference
from coachc.passes.lower.half import Halved, to_fp16
from coachc.runtime.bundle.manifest_types import Cut, HalfPrecision
from coachc.runtime.bundle.quantizer_inputs import artefact_feed
from coachc.targets.target import target_of

#: Half precision rounds at 5e-4 in every node: 0.07 after the 101 layers of an untrained ResNet, on noise. A result
#: that is off by more than this, in proportion to its largest, is another model.
HALF_LIMIT = 0.2


@dataclass(frozen=True)
class HalfPrecisionModel:
    """A model in half precision and what the manifest says of it."""

    facts: HalfPrecision
    model: onnx.ModelProto


def half_precision_models(
    models: Mapping[str, onnx.ModelProto], cuts: Iterable[Cut], sides: Mapping[str, tuple[DeviceSpec, str]]
) -> tuple[HalfPrecisionModel, ...]:
    """What strongly typed targets build in place of the models that they run in half precision.

    Parameters
    ----------
    models : mapping
        Path in the bundle -> model, as it will be written.
    cuts : iterable of Cut
    sides : mapping of str to (DeviceSpec, str)
        "device" and "cloud": target, and the precision of its profile.

    Raises
    ------
    ToolchainError
        As `in_half_precision` does.
    """
    cuts, made = tuple(cuts), dict[str, HalfPrecisionModel]()
    for side, (spec, precision) in sides.items():
        if not target_of(spec).typed or precision != "fp16":
            continue
        run = {path for cut in cuts for path in cut.run_by(side)}
        for path in sorted(run - made.keys() - {path for cut in cuts for path in cut.quantizers}):
            proto, _ = in_half_precision(models[path], path, artefact_feed(cuts, path), option=f"--{side}-precision")
            digest = hashlib.sha256(models[path].SerializeToString(deterministic=True)).hexdigest()
            made[path] = HalfPrecisionModel(HalfPrecision(f"{path.removesuffix('.onnx')}.fp16.onnx", digest), proto)
    return tuple(made.values())


def in_half_precision(
    model: onnx.ModelProto, where: str, feed: Mapping[str, np.ndarray], *, option: str = "--cloud-precision"
) -> tuple[onnx.ModelProto, list[str]]:
    """A model in half precision, and what to say of that. Its quantizers stay float32: a scale may be tiny.

    Parameters
    ----------
    model : onnx.ModelProto
    where, option : str
        For messages: what the model is, and what the user gives another precision with.
    feed : mapping of str to ndarray
        Inputs of its quantizers, where half precision is tried; the others are random.

    Raises
    ------
    ToolchainError
        It computes something else then.
    """
    quantizers = quantizer_names(model)
    # Of values at the edge of this model: `passes.quantizer_nodes` names their nodes.
    own = tuple(f"{name.rpartition('/')[0]}/quantizer/" for name in quantizers)
    keep = {node.name for node in model.graph.node if node.name.startswith(own) or quantizers & set(node.input)}
    halved = to_fp16(model, keep=keep)
    if not ort.available():
        return halved.model, [_said(halved)]
    large = _too_large(model, halved.model, feed)
    if large:
        halved = to_fp16(model, keep=keep | large)
    found = difference(model, halved.model, feed=feed)
    if not found <= HALF_LIMIT:
        raise ToolchainError(
            f"{where} computes something else in half precision: relative difference {found:.2g}",
            context=[f"expected  at most {HALF_LIMIT}"],
            hint=f"{option} fp32 builds it in float32",
        )
    # ONNX Runtime's CPU kernels round between nodes only where they cannot help it: this is a lower bound.
    notes = [_said(halved), f"fp16    relative difference from float32 at least {found:.1e}, seeded inputs"]
    if large:
        notes.append(
            "fp16    kept in float32, since it leaves the range of half precision: " + ", ".join(sorted(large))
        )
    return halved.model, notes


def _said(halved: Halved) -> str:
    kept = ", ".join(f"{count} {operator}" for operator, count in halved.kept) or "nothing"
    return f"fp16    {halved.halved} nodes in half precision; kept in float32: {kept}"


def _too_large(model: onnx.ModelProto, half: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> set[str]:
    """Nodes of `model` that `half` computes in float16 and that make a number beyond its range.

    Looked for in float32: where the CPU has no kernel for float16, ONNX Runtime computes on in float32.
    """
    kind = onnx.TensorProto.FLOAT16
    floats = {item.name for item in half.graph.value_info if item.type.tensor_type.elem_type == kind}
    floats |= {item.name for item in half.graph.initializer if item.data_type == kind}
    floats |= {
        name
        for node in half.graph.node
        for attribute in node.attribute
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == kind
        for name in node.output
    }
    # A model output is made under another name there, so nodes are told by what they read too.
    there = {node.name for node in half.graph.node if floats.intersection((*node.input, *node.output))}
    typed = onnx.shape_inference.infer_shapes(model).graph
    known = {item.name: item.type.tensor_type.elem_type for item in (*typed.value_info, *typed.output)}
    halves = [
        (name, node.name)
        for node in model.graph.node
        if node.name in there
        for name in node.output
        if known.get(name) == onnx.TensorProto.FLOAT
    ]
    if not halves:
        return set()
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    given = {item.name for item in shown.graph.output}
    shown.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name, _ in halves
        if name not in given
    )
    inputs = {**ort.seeded_inputs(model, 0), **{name: feed[name] for name in quantizer_names(model) & set(feed)}}
    values = ort.run_session(ort.session(shown), inputs)
    limit = float(np.finfo(np.float16).max)
    return {node for name, node in halves if float(np.max(np.abs(values[name]), initial=0.0)) > limit}


def quantizer_names(model: onnx.ModelProto) -> set[str]:
    """Inputs that are a quantizer's."""
    return {item.name for item in model.graph.input if item.name.endswith(("/scale", "/zero_point"))}
