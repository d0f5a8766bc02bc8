"""What a target says of one QuantizeLinear or DequantizeLinear: which of them build is a table of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts, type_name
from coachc.targets.generation import Generation, Source
from coachc.targets.violation import Broken

OPERATORS = ("QuantizeLinear", "DequantizeLinear")

#: Said of what `passes.lower` rewrites.
_COMPILED = "`coachc compile` writes it with Div, Round, Add, Clip and Mul"
#: Codes that it can be written for; the others have no more than 4 bits, or are no integers.
_WRITTEN = ("int8", "uint8", "int16", "uint16")


def is_codes(node: onnx.NodeProto, name: str) -> bool:
    """Whether a value of a quantizer is on its integer side."""
    codes = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    return node.op_type in OPERATORS and name in (codes, *node.input[2:])


def broken(
    node: onnx.NodeProto, model: onnx.ModelProto, facts: Facts, rules: Generation, *, device: str, fast_int8: bool
) -> Iterator[Broken]:
    """What keeps a quantizer from building.

    Parameters
    ----------
    node : NodeProto
    model : ModelProto
        That it is in.
    facts : Facts
    rules : Generation
    device : str
        For messages.
    fast_int8 : bool
        Whether the GPU has INT8 arithmetic. Where it has none, nothing else is said: no quantizer builds.
    """
    wanted, quantizes = rules.quantize, node.op_type == "QuantizeLinear"
    codes, constant = _codes(node, facts, quantizes=quantizes), node.input[0] in facts.initializers
    compiled = _COMPILED if codes in _WRITTEN or (codes == "int32" and constant) else "quantize to 8 bits"
    if not fast_int8:
        reason = f"{device} has no INT8 arithmetic, so no Q/DQ node builds"
        yield Broken("quantize/hardware", reason, f"{compiled}; or export without quantization", rules.sources["int8"])
        return
    if codes == "int32" and not quantizes and constant:
        remedy = "`coachc compile` makes floats of it; or leave biases in float " + _option("QuantizeBias", False)
        reason = f"'{node.input[0]}' is int32, as biases are; taken: {', '.join(wanted.codes)}"
        yield Broken("quantize/bias", reason, remedy, wanted.source)
        return
    if codes == "uint8" and wanted.uint8:
        yield Broken(
            "quantize/uint8", wanted.uint8, f"{compiled}; or quantize to int8 with zero point 0", wanted.source
        )
    elif codes and codes not in wanted.codes:
        reason = f"codes are {codes}; taken: {', '.join(wanted.codes)}"
        yield Broken("quantize/codes", reason, f"{compiled}; or quantize to int8 with zero point 0", wanted.source)
    elif not quantizes and constant and wanted.float_weights:
        reason = f"'{node.input[0]}' is an int8 constant; weights must be float and quantized by a QuantizeLinear"
        remedy = "`coachc compile` does that; or keep weights in float " + _option("AddQDQPairToWeight", True)
        yield Broken("quantize/weights", reason, remedy, wanted.float_weights)
    real = facts.input_type(node, 0) if quantizes else ""
    if wanted.input and real and real not in wanted.input:
        reason = f"quantizes {real}; taken: {', '.join(wanted.input)}"
        yield Broken("quantize/input", reason, f"cast to {wanted.input[0]} before it", wanted.source)
    if wanted.symmetric and len(node.input) > 2 and node.input[2]:
        yield from _zero_point(node.input[2], facts, wanted.source, compiled)
    scale = facts.constant(node.input[1])
    if scale is None and wanted.constant_parameters and node.input[1] not in facts.initializers:
        reason = f"scale '{node.input[1]}' is computed; it must be an initializer"
        yield Broken("quantize/constant", reason, "quantize with Div, Round, Add, Clip and Cast", wanted.source)
    if scale is not None:
        if scale.size and not np.all(scale.astype(np.float64) > 0):
            reason = f"scale '{node.input[1]}' is not positive everywhere"
            yield Broken("quantize/scale", reason, "calibrate again", wanted.source)
        weights = constant or (not quantizes and _of_constant(node, model, facts))
        if scale.size > 1 and wanted.per_channel == "weights" and not weights:
            reason = "a scale per channel is for weights only"
            yield Broken("quantize/per-channel", reason, "take one scale for the tensor", wanted.source)


def _zero_point(name: str, facts: Facts, source: Source, compiled: str) -> Iterator[Broken]:
    value = facts.constant(name)
    if name not in facts.initializers:
        yield Broken(
            "quantize/zero-point", f"zero point '{name}' is computed; it must be 0", "fold it to a constant 0", source
        )
    elif value is not None and np.any(value.astype(np.float64) != 0):
        found = value.astype(np.float64).ravel()
        worst = found[np.flatnonzero(found)[0]]
        reason = f"zero point '{name}' must be 0; found {worst:g}"
        yield Broken("quantize/zero-point", reason, f"{compiled}; or quantize symmetrically (zero point 0)", source)


def _codes(node: onnx.NodeProto, facts: Facts, *, quantizes: bool) -> str:
    if not quantizes:
        return facts.input_type(node, 0)
    found = facts.types.get(node.output[0], "") or facts.input_type(node, 2)
    given = walk.attribute(node, "output_dtype")
    return found or (type_name(given) if given else "uint8" if len(node.input) < 3 or not node.input[2] else "")


def _of_constant(node: onnx.NodeProto, model: onnx.ModelProto, facts: Facts) -> bool:
    """Whether what is dequantized is a constant that was quantized just before."""
    makers = (maker for maker in walk.nodes(model.graph) if node.input[0] in maker.output)
    return any(maker.input and maker.input[0] in facts.initializers for maker in makers)


def _option(name: str, value: bool) -> str:
    return f"(onnxruntime: extra_options={{'{name}': {value}}})"
