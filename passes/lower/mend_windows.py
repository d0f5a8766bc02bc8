"""Pools as a parser takes them that knows no dilations, no uneven pads, no other powers than 1 and 2.

Windows are taken one axis after the other: the largest of the largest is the largest, the sum of the sums the sum. An
average is a sum over what lies in the picture: where windows hang over, it is set right by a constant.
Last windows that ONNX Runtime drops are seen at import, which leaves `ceil_mode` out then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.writing import attributes_of, cut, numbers, pad_spatial, through_float


@dataclass(frozen=True)
class Windows:
    """Those along one axis.

    Attributes
    ----------
    size, out : int
        Of the axis, before and after.
    kernel, stride, dilation : int
    begin, end : int
        Padding as the node states it.
    """

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int

    @property
    def read(self) -> int:
        """Elements up to the end of the last window, from the beginning of the padding on."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def filled(self) -> int:
        """Padding at the end that the last window reads."""
        return max(0, self.read - self.size - self.begin)

    def counts(self, padding: bool) -> np.ndarray:
        """How many elements each window has, of the picture or of its padding too."""
        first = np.arange(self.out)[:, None] * self.stride + np.arange(self.kernel)[None] * self.dilation
        low, high = (0, self.begin + self.size + self.end) if padding else (self.begin, self.begin + self.size)
        return np.maximum(((first >= low) & (first < high)).sum(axis=1), 1)


def windows(b: Builder) -> list[Windows]:
    """Along every spatial axis of a pool, as ONNX Runtime has them."""
    sizes, kernel = b.shape(b.input(0))[2:], b.attribute("kernel_shape")
    count, auto = len(sizes), b.attribute("auto_pad", "NOTSET")
    strides, dilations = (b.attribute(name, [1] * count) for name in ("strides", "dilations"))
    pads = b.attribute("pads", [0] * 2 * count) if auto == "NOTSET" else [0] * 2 * count
    found = []
    for i, size in enumerate(sizes):
        begin, end, reach = pads[i], pads[count + i], (kernel[i] - 1) * dilations[i] + 1
        if auto.startswith("SAME"):
            out = -(-size // strides[i])
            # ONNX Runtime leaves the dilation out of it.
            total = (out - 1) * strides[i] + kernel[i] - size
            if total < -1 or (total < 0 and dilations[i] > 1):
                raise CannotLower(
                    f"auto_pad {auto} leaves {-total} elements out, which runtimes do at different ends",
                    "write pads out, and slice before it",
                )
            begin = max(0, total // 2 if auto == "SAME_UPPER" else total - total // 2)
            end = max(0, total - begin)
        else:
            room = size + begin + end - reach
            out = (-(-room // strides[i]) if b.attribute("ceil_mode", 0) else room // strides[i]) + 1
            if (out - 1) * strides[i] >= size + begin:
                out -= 1
        found.append(Windows(size, out, kernel[i], strides[i], dilations[i], begin, end))
    return found


def _gathered(b: Builder, x: str, along: list[Windows], op: str) -> str:
    """Max or Sum of every window of a padded value, one axis after the other."""
    for axis, one in enumerate(along, 2):
        parts = []
        for tap in range(one.kernel):
            start = tap * one.dilation
            parts.append(cut(b, x, [axis], [start], [start + (one.out - 1) * one.stride + 1], [one.stride]))
        x = b.add(op, parts) if len(parts) > 1 else parts[0]
    return x


def _padded(b: Builder, x: str, along: list[Windows], fill: float = 0.0) -> str:
    return pad_spatial(b, x, [one.begin for one in along], [one.filled for one in along], fill)


def _summed(b: Builder, x: str, along: list[Windows]) -> tuple[str, int]:
    """Sums of every window, and what they have to be multiplied by."""
    if any(one.dilation != 1 for one in along):
        return _gathered(b, _padded(b, x, along), along, "Sum"), 1
    kernel = [one.kernel for one in along]
    strides = [one.stride for one in along]
    made = b.add("AveragePool", [_padded(b, x, along)], kernel_shape=kernel, strides=strides)
    return made, int(np.prod(kernel))


def _largest(b: Builder, x: str) -> str:
    along = windows(b)
    return _gathered(b, _padded(b, x, along, float("-inf")), along, "Max")


def _average(b: Builder, x: str) -> str:
    along = windows(b)
    made, factor = _summed(b, x, along)
    counts = np.ones((1, 1), np.float64)
    for one in along:
        counts = counts[..., None] * one.counts(bool(b.attribute("count_include_pad", 0)))
    weights = (factor / counts).astype(np.float32)
    return made if (weights == 1).all() else b.add("Mul", [made, b.constant(weights, "shares")])


def _power(b: Builder, x: str) -> str:
    power, along = b.attribute("p", 2), windows(b)
    raised = b.add("Mul", [x, x]) if power == 2 else b.add("Abs", [x])
    if power > 2:
        raised = b.add("Pow", [raised, b.number(power, x, "power")])
    made, factor = _summed(b, raised, along)
    if factor != 1:
        made = b.add("Mul", [made, b.number(factor, x, "factor")])
    return made if power == 1 else b.add("Pow", [made, b.number(1 / power, x, "root")])


def _global_power(b: Builder, x: str) -> str:
    axes, power = list(range(2, len(b.shape(b.input(0))))), b.attribute("p", 2)
    if power == 1:
        return b.reduce("ReduceL1", x, axes)
    raised = b.add("Pow", [b.add("Abs", [x]), b.number(power, x, "power")])
    return b.add("Pow", [b.reduce("ReduceSum", raised, axes), b.number(1 / power, x, "root")])


def without_pads(node: onnx.NodeProto, b: Builder) -> None:
    """Pads that auto_pad makes meaningless are left out."""
    b.keep(drop=["pads"])


def of_two_axes(node: onnx.NodeProto, b: Builder) -> None:
    """A pool along one axis beside an axis of size 1."""
    given = attributes_of(node)
    for name in ("kernel_shape", "strides", "dilations"):
        if name in given:
            given[name] = [*given[name], 1]
    if "pads" in given:
        given["pads"] = [given["pads"][0], 0, given["pads"][1], 0]
    axis = numbers(b, [3], "axis")
    b.end("Squeeze", [b.add(node.op_type, [b.add("Unsqueeze", [b.input(0), axis])], **given), axis])


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    "MaxPool/dilations": through_float(_largest),
    "AveragePool/dilations": through_float(_average),
    "LpPool/dilations": through_float(_power),
    "LpPool/lppool-power": through_float(_power),
    "LpPool/lppool-axes": of_two_axes,
    "GlobalLpPool/globallppool-odd": through_float(_global_power),
    "AveragePool/asymmetric-pads": through_float(_average),
    "AveragePool/same-pads": without_pads,
    "LpPool/same-pads": without_pads,
    "MaxPool/same-pads": without_pads,
}
