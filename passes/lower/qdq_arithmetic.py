"""QuantizeLinear and DequantizeLinear as Div, Round, Add, Clip and Sub, Mul, where a target does not take them.

Codes stay float32 between the two, so the target needs no integer type for them; a reader of the codes that is no
DequantizeLinear gets a Cast. A quantized weight becomes a float one, whether its codes are constant or made of a
constant.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper

from coachc.frontend import walk
from coachc.passes.lower.builder import Builder, CannotLower
from coachc.passes.lower.limits import Quantization
from coachc.passes.lower.scope import Scope

OPERATORS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_FLOAT_CODES = "/float_codes"


def refused(node: onnx.NodeProto, scope: Scope, takes: Quantization) -> bool:
    """Whether a target does not take this node."""
    if node.domain or node.op_type not in OPERATORS or takes == "any":
        return False
    if takes == "none":
        return True
    codes = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    if scope.element(codes) != TensorProto.INT8:
        return True
    if len(node.input) < 3 or not node.input[2]:
        return False
    zero = scope.array(node.input[2])
    return zero is None or bool(zero.any())


def codes_as_numbers(graph: onnx.GraphProto, refused_nodes: Collection[str]) -> frozenset[str]:
    """Codes that only DequantizeLinear nodes read which are replaced too: nothing needs them as integers."""
    outputs = {value.name for value in graph.output}
    readers: dict[str, set[str]] = {}
    for node in walk.nodes(graph):
        for name in walk.reads(node):
            readers.setdefault(name, set()).add(node.name if node.op_type == "DequantizeLinear" else "")
    return frozenset(
        node.output[0]
        for node in walk.nodes(graph)
        if node.op_type == "QuantizeLinear"
        and node.name in refused_nodes
        and node.output[0] not in outputs
        and readers.get(node.output[0], set()) <= set(refused_nodes)
    )


def quantize(node: onnx.NodeProto, b: Builder, unread: Collection[str]) -> None:
    """round(x / scale) + zero point, limited to what the type holds.

    Parameters
    ----------
    unread : collection of str
        As `codes_as_numbers` gives them: they are made under a name of their own, as float32.
    """
    x, scale, zero = (b.input(index) for index in range(3))
    codes = node.output[0]
    element = b.scope.element(codes)
    kind = helper.tensor_dtype_to_np_dtype(element)
    if kind.name not in ("int8", "uint8", "int16", "uint16") or b.attribute("block_size", 0):
        raise CannotLower(f"it makes codes of {kind.name}, or in blocks", "quantize to 8 bits per tensor or channel")
    codes_of_constant = _quantized(b, kind)
    if codes_of_constant is not None:
        b.become(codes_of_constant)
        return
    real = b.float_of(x)[0] if b.dtype(x).kind == "f" else b.cast(x, TensorProto.FLOAT)
    made = b.add("Round", [b.add("Div", [real, _spread(b, scale, x)])])
    if zero:
        array = b.scope.array(zero)
        if array is None or array.any():
            made = b.add("Add", [made, _spread(b, zero, x)])
    limits = np.iinfo(kind)
    bounds = [b.constant(np.array(v, np.float32), hint) for v, hint in ((limits.min, "low"), (limits.max, "high"))]
    if codes in unread:
        # The name of the codes is not used: whoever reads them is rewritten too.
        b.nodes.append(helper.make_node("Clip", [made, *bounds], [codes + _FLOAT_CODES], name=node.name))
    else:
        b.end_cast(b.add("Clip", [made, *bounds]), element)


def dequantize(node: onnx.NodeProto, b: Builder, unread: Collection[str]) -> None:
    """(codes - zero point) scale; computed once where the codes are constant."""
    x, scale, zero = (b.input(index) for index in range(3))
    made = b.scope.element(node.output[0])
    if b.attribute("block_size", 0):
        raise CannotLower("it has a scale for each block", "quantize per tensor or per channel")
    arrays = [b.scope.array(name) if name else np.zeros((), np.float32) for name in (x, scale, zero)]
    if all(array is not None for array in arrays):
        values, factors, offsets = (np.asarray(array) for array in arrays)
        shape = _broadcast(b, factors.shape, x)
        offsets = offsets.astype(np.float32).reshape(_broadcast(b, offsets.shape, x))
        with np.errstate(over="ignore", invalid="ignore"):
            real = (values.astype(np.float32) - offsets) * factors.astype(np.float32).reshape(shape)
        b.become(real.astype(helper.tensor_dtype_to_np_dtype(made)))
        return
    if arrays[0] is not None:
        codes = b.constant(arrays[0].astype(np.float32), "codes")
    else:
        codes = x + _FLOAT_CODES if x in unread else b.cast(x, TensorProto.FLOAT)
    offset = b.scope.array(zero) if zero else None
    if zero and (offset is None or offset.any()):
        codes = b.add("Sub", [codes, _spread(b, zero, x)])
    factor = _spread(b, scale, x)
    if made == TensorProto.FLOAT:
        b.end("Mul", [codes, factor])
    else:
        b.end_cast(b.add("Mul", [codes, factor]), made)


def _quantized(b: Builder, kind: np.dtype) -> np.ndarray | None:
    """The codes of a constant; None where what is quantized, or how, is computed."""
    x = b.input(0)
    arrays = [b.scope.array(name) if name else np.zeros((), kind) for name in (x, b.input(1), b.input(2))]
    if any(array is None for array in arrays):
        return None
    values, scale, zero = (np.asarray(array) for array in arrays)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        steps = values.astype(np.float32) / scale.astype(np.float32).reshape(_broadcast(b, scale.shape, x))
    moved = np.round(steps) + zero.astype(np.float32).reshape(_broadcast(b, zero.shape, x))
    limits = np.iinfo(kind)
    return np.clip(moved, limits.min, limits.max).astype(kind)


def _broadcast(b: Builder, sizes: tuple[int, ...], x: str) -> list[int]:
    if int(np.prod(sizes)) == 1:
        return []
    rank = len(b.shape(x))
    axis = b.attribute("axis", 1) % rank
    return [-1 if index == axis else 1 for index in range(rank)]


def _spread(b: Builder, name: str, x: str) -> str:
    """A scale or zero point in float32, shaped so that it broadcasts along the axis."""
    array = b.scope.array(name)
    shape = _broadcast(b, b.shape(name), x)
    if array is not None:
        return b.constant(array.astype(np.float32).reshape(shape), "factor")
    real = name if b.scope.element(name) == TensorProto.FLOAT else b.cast(name, TensorProto.FLOAT)
    return real if not b.shape(name) else b.reshape(real, shape)
