"""Activations spelled out: GELU, HardSwish, HardSigmoid, Mish, Swish, Celu."""

from __future__ import annotations

import math

import onnx

from coachc.passes.lower.builder import Builder


def gelu(node: onnx.NodeProto, b: Builder) -> None:
    """x/2 (1 + erf(x / sqrt 2)), or tanh(sqrt(2 / pi) (x + 0.044715 x^3)) for the erf, as ONNX defines Gelu."""
    x = b.input(0)
    one, half = b.number(1, x, "one"), b.number(0.5, x, "half")
    if b.attribute("approximate", "none") == "tanh":
        cube = b.add("Mul", [b.add("Mul", [x, x]), x])
        inner = b.add("Add", [x, b.add("Mul", [cube, b.number(0.044715, x, "cubic")])])
        bent = b.add("Tanh", [b.add("Mul", [inner, b.number(math.sqrt(2 / math.pi), x, "slope")])])
    else:
        bent = b.add("Erf", [b.add("Div", [x, b.number(math.sqrt(2), x, "root2")])])
    b.end("Mul", [b.add("Mul", [x, half]), b.add("Add", [bent, one])])


def hard_swish(node: onnx.NodeProto, b: Builder) -> None:
    """x times HardSigmoid of slope 1/6."""
    b.end("Mul", [b.input(0), b.add("HardSigmoid", [b.input(0)], alpha=1 / 6, beta=0.5)])


def hard_sigmoid(node: onnx.NodeProto, b: Builder) -> None:
    """alpha x + beta, limited to [0, 1]."""
    x = b.input(0)
    line = b.add("Mul", [x, b.number(b.attribute("alpha", 0.2), x, "alpha")])
    line = b.add("Add", [line, b.number(b.attribute("beta", 0.5), x, "beta")])
    b.end("Clip", [line, b.number(0, x, "low"), b.number(1, x, "high")])


def mish(node: onnx.NodeProto, b: Builder) -> None:
    """x tanh(softplus(x))."""
    b.end("Mul", [b.input(0), b.add("Tanh", [b.add("Softplus", [b.input(0)])])])


def swish(node: onnx.NodeProto, b: Builder) -> None:
    """x sigmoid(alpha x)."""
    x, alpha = b.input(0), b.attribute("alpha", 1.0)
    inner = x if alpha == 1 else b.add("Mul", [x, b.number(alpha, x, "alpha")])
    b.end("Mul", [x, b.add("Sigmoid", [inner])])


def celu(node: onnx.NodeProto, b: Builder) -> None:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    x, alpha = b.input(0), b.attribute("alpha", 1.0)
    zero, steep = b.number(0, x, "zero"), b.number(alpha, x, "alpha")
    below = b.add("Sub", [b.add("Exp", [b.add("Div", [x, steep])]), b.number(1, x, "one")])
    b.end("Add", [b.add("Max", [x, zero]), b.add("Min", [b.add("Mul", [below, steep]), zero])])
