"""QuantizeLinear and DequantizeLinear before opset 19 (float32 only), 21 (8 bits, no blocks), 23 (no output type)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from coachc.passes.lower.builder import Builder, CannotLower

_BYTES = frozenset({TensorProto.INT8, TensorProto.UINT8})
_NIBBLES = {TensorProto.INT4: TensorProto.INT8, TensorProto.UINT4: TensorProto.UINT8}
_WORDS = frozenset({TensorProto.INT16, TensorProto.UINT16})
_REMEDY = "quantize to 8 bits, per tensor or per channel"


def quantize(node: onnx.NodeProto, b: Builder) -> None:
    """Halves are widened to float32, once they are divided; the type is that of the zero point."""
    x, scale, zero = (b.input(index) for index in range(3))
    element = b.scope.element(node.output[0])
    halves = b.scope.element(scale) == TensorProto.FLOAT16 and b.attribute("precision", 0) in (0, TensorProto.FLOAT16)
    if b.opset < 23 <= b.source and halves:
        _divided_in_half(node, b)
        return
    if element not in (_BYTES if b.opset < 21 else _BYTES | _WORDS | _NIBBLES.keys()):
        if element in _WORDS:
            _words(node, b)
            return
        raise CannotLower(f"it makes codes of {TensorProto.DataType.Name(element).lower()}", _REMEDY)
    if b.attribute("block_size", 0) and b.opset < 21:
        raise CannotLower("it has a scale for each block", _REMEDY)
    if b.opset < 19:
        x, scale = (b.float_of(name)[0] if b.dtype(name).kind not in "iu" else name for name in (x, scale))
    if not zero:
        sizes = b.shape(scale)
        zero = b.constant(np.zeros(sizes, helper.tensor_dtype_to_np_dtype(element)), "zero_point")
    gone = ["precision", "output_dtype"] + (["block_size"] if b.opset < 21 else [])
    b.keep(inputs=[x, scale, zero], drop=gone + (["saturate"] if b.opset < 19 else []))


def _divided_in_half(node: onnx.NodeProto, b: Builder) -> None:
    """Since opset 23 the division is in the type of the scale: it is a node of its own, the scale behind it one."""
    x, scale = b.input(0), b.input(1)
    element = b.scope.element(node.output[0])
    if element not in _BYTES | _WORDS or b.attribute("block_size", 0):
        raise CannotLower(f"it makes codes of {TensorProto.DataType.Name(element).lower()}, or in blocks", _REMEDY)
    half = x if b.scope.element(x) == TensorProto.FLOAT16 else b.cast(x, TensorProto.FLOAT16)
    # Rounded in half precision: ONNX Runtime 1.32 divides in float32 and drops the two casts to half and back.
    steps = b.add("Round", [b.add("Div", [half, _along(b, scale, x, b.shape(scale))])])
    _limited(b, b.cast(steps, TensorProto.FLOAT), element)


def _words(node: onnx.NodeProto, b: Builder) -> None:
    """16-bit codes by arithmetic."""
    x, scale = (b.float_of(b.input(index))[0] for index in range(2))
    element = b.scope.element(node.output[0])
    if b.attribute("block_size", 0):
        raise CannotLower("it has a scale for each block", _REMEDY)
    steps = b.add("Round", [b.add("Div", [x, _along(b, scale, b.input(0), b.shape(b.input(1)))])])
    _limited(b, steps, element)


def _limited(b: Builder, steps: str, element: int) -> None:
    """The zero point added, limited to what the type holds."""
    if b.input(2):
        steps = b.add("Add", [steps, _along(b, b.cast(b.input(2), TensorProto.FLOAT), b.input(0), b.shape(b.input(2)))])
    limits = np.iinfo(helper.tensor_dtype_to_np_dtype(element))
    bounds = [
        b.constant(np.array(number, np.float32), hint) for number, hint in ((limits.min, "low"), (limits.max, "high"))
    ]
    b.end_cast(b.add("Clip", [steps, *bounds]), element)


def dequantize(node: onnx.NodeProto, b: Builder) -> None:
    """A half is made by float32 and a cast, which is exact; blocks, nibbles and words by arithmetic."""
    x, scale, zero = (b.input(index) for index in range(3))
    element, made = b.scope.element(x), b.scope.element(node.output[0])
    plain = not b.attribute("block_size", 0)
    if b.opset < 21 and (element in _WORDS or not plain or element in _NIBBLES):
        _by_arithmetic(node, b)
        return
    wide = b.float_of(scale)[0] if b.opset < 19 else scale
    gone = ["output_dtype", *(["block_size"] if b.opset < 21 else [])]
    inputs = [x, wide, *([zero] if zero else [])]
    if b.scope.element(scale) == made and wide == scale:
        b.keep(inputs=inputs, drop=gone)
        return
    kept = {"axis": b.attribute("axis", 1)}
    b.end_cast(b.add("DequantizeLinear", inputs, **kept), made)


def _by_arithmetic(node: onnx.NodeProto, b: Builder) -> None:
    x, scale, zero = (b.input(index) for index in range(3))
    made, size = b.scope.element(node.output[0]), b.attribute("block_size", 0)
    codes = _integers(b, x)
    if size:
        axis = b.attribute("axis", 1) % len(b.shape(x))
        length = b.shape(x)[axis]

        def along(name: str) -> np.ndarray:
            return np.take(np.repeat(b.array(name, "scales").astype(np.float32), size, axis), range(length), axis)

        factors, offsets = b.constant(along(scale), "scale"), b.constant(along(zero), "zero_point") if zero else ""
    else:
        wide = b.float_of(scale)[0]
        factors = _along(b, wide, x, b.shape(scale))
        offsets = _along(b, _integers(b, zero), x, b.shape(zero)) if zero else ""
    centred = b.add("Sub", [codes, offsets]) if offsets else codes
    if made == TensorProto.FLOAT:
        b.end("Mul", [centred, factors])
    else:
        b.end_cast(b.add("Mul", [centred, factors]), made)


def _integers(b: Builder, name: str) -> str:
    """Integers as float32; those of less than a byte have to be constants."""
    if b.scope.element(name) in _NIBBLES:
        return b.constant(b.array(name, "codes").astype(np.float32), "codes")
    return b.cast(name, TensorProto.FLOAT)


def _along(b: Builder, name: str, x: str, sizes: tuple[int, ...]) -> str:
    """A vector of one number for each channel, shaped so that it broadcasts."""
    if len(sizes) != 1 or sizes[0] == 1:
        return name if not sizes else b.reshape(name, [])
    rank = len(b.shape(x))
    axis = b.attribute("axis", 1) % rank
    return b.reshape(name, [-1 if index == axis else 1 for index in range(rank)])
