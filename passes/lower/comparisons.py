"""IsNaN, IsInf, Xor and the like by comparisons and arithmetic that every target has."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder


def not_equal_to_itself(node: onnx.NodeProto, b: Builder) -> None:
    """Only a NaN differs from itself."""
    b.end("Not", [b.add("Equal", [b.input(0), b.input(0)])])


def equal_to_infinity(node: onnx.NodeProto, b: Builder) -> None:
    """Either infinity, or the one asked for."""
    x = b.input(0)
    up, down = b.attribute("detect_positive", 1), b.attribute("detect_negative", 1)
    if up and down:
        b.end("Equal", [b.add("Abs", [x]), b.number(float("inf"), x, "infinity")])
    elif up or down:
        b.end("Equal", [x, b.number(float("inf") if up else float("-inf"), x, "infinity")])
    else:
        b.end("Less", [b.add("Abs", [x]), b.number(0, x, "zero")])


def either_but_not_both(node: onnx.NodeProto, b: Builder) -> None:
    """Or without And."""
    both = b.add("Not", [b.add("And", list(node.input))])
    b.end("And", [b.add("Or", list(node.input)), both])


def or_equal(node: onnx.NodeProto, b: Builder) -> None:
    """GreaterOrEqual and LessOrEqual as Or of two comparisons, which is false for NaN too."""
    strict = b.add(node.op_type.removesuffix("OrEqual"), list(node.input))
    b.end("Or", [strict, b.add("Equal", list(node.input))])


def one_divided(node: onnx.NodeProto, b: Builder) -> None:
    """Reciprocal is 1 / x."""
    b.end("Div", [b.number(1, b.input(0), "one"), b.input(0)])
