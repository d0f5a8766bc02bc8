"""BatchNormalization before opset 14 (training is told by the outputs) and 15 (one type throughout)."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, CannotLower
from coachc.passes.lower.writing import attributes_of


def inference_only(node: onnx.NodeProto, b: Builder) -> None:
    """Parameters in another type than the input: the input is cast to theirs and the result back."""
    if b.attribute("training_mode", 0):
        raise CannotLower("training_mode = 1: it would normalise by the batch at hand", "export in evaluation mode")
    x, parameters = b.input(0), list(node.input[1:])
    element, kinds = b.scope.element(x), {b.scope.element(name) for name in parameters}
    if kinds == {element}:
        b.keep(drop=["training_mode"])
        return
    wide = max(kinds | {element}, key=lambda kind: onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    inputs = [name if b.scope.element(name) == wide else b.cast(name, wide) for name in node.input]
    b.end_cast(b.add("BatchNormalization", inputs, **attributes_of(node, without=["training_mode"])), element)
