"""What a target takes, in plain values, and what lowering made of a model. Knows no target by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx

#: The floor: imported models have opset 13 at least, and every TensorRT here parses it.
LOWEST_OPSET = 13

#: Which QuantizeLinear and DequantizeLinear a target takes: every one, int8 with zero point 0, or none.
Quantization = Literal["any", "symmetric", "none"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a target takes.

    Attributes
    ----------
    name : str
        For messages, such as "TensorRT 8.2.1 on tx2".
    opset : int
        Newest ai.onnx opset, 13 at least.
    operators : frozenset of str or None
        Operators of ai.onnx that it has; None for all.
    quantization : {"any", "symmetric", "none"}
    float64 : bool
        Whether it computes in double precision.
    negative_indices : bool
        Whether Gather counts negative indices from the end.
    """

    name: str = "the target"
    opset: int = 27
    operators: frozenset[str] | None = None
    quantization: Quantization = "any"
    float64: bool = True
    negative_indices: bool = True


def common(one: Limits, other: Limits) -> Limits:
    """What both targets take: for models that run on either side."""
    if one == other:
        return one
    both = None if one.operators is None or other.operators is None else one.operators & other.operators
    order: tuple[Quantization, ...] = ("none", "symmetric", "any")
    return Limits(
        name=f"{one.name} and {other.name}",
        opset=min(one.opset, other.opset),
        operators=both if both is not None else one.operators or other.operators,
        quantization=order[min(order.index(one.quantization), order.index(other.quantization))],
        float64=one.float64 and other.float64,
        negative_indices=one.negative_indices and other.negative_indices,
    )


@dataclass(frozen=True)
class Lowered:
    """A model that its target takes.

    Attributes
    ----------
    model : onnx.ModelProto
        The very model given, where nothing had to be done.
    applied : tuple of (str, int)
        What was rewritten and how many nodes of it, by name.
    source_opset, opset : int
        Before and after.
    """

    model: onnx.ModelProto
    applied: tuple[tuple[str, int], ...]
    source_opset: int
    opset: int

    @property
    def changed(self) -> bool:
        return bool(self.applied) or self.opset != self.source_opset

    def describe(self) -> str:
        """Such as "opset 20 -> 13: LayerNormalization 2, ReduceMean 4"; empty where nothing was done."""
        if not self.changed:
            return ""
        head = f"opset {self.source_opset}" + (f" -> {self.opset}" if self.opset != self.source_opset else "")
        return ": ".join(filter(None, [head, ", ".join(f"{name} {count}" for name, count in self.applied)]))
