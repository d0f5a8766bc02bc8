"""Convolutions as a parser takes them that wants constants, pads and sizes written out.

A transposed convolution makes (size - 1) stride + reach positions along an axis, of which ONNX takes a stretch: pads
say how many are left out at either end, output_padding and output_shape how many are added that hold the bias alone.
"""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, Rewrite
from coachc.passes.lower.writing import attributes_of, cut, finish, numbers, pad_spatial


def kernel_shape(node: onnx.NodeProto, b: Builder) -> None:
    """The size of the kernel is written out."""
    b.keep(kernel_shape=list(b.shape(b.input(1))[2:]))


def _biased(b: Builder, made: str, bias: str) -> str:
    """The bias of each channel added after a convolution, if there is one."""
    if not bias:
        return made
    axes = len(b.shape(b.input(0))) - 2
    return b.add("Add", [made, b.reshape(bias, [1, -1, *[1] * axes])])


def bias_apart(node: onnx.NodeProto, b: Builder) -> None:
    """A Conv without bias, and an Add."""
    made = b.add("Conv", list(node.input[:2]), **attributes_of(node))
    finish(b, _biased(b, made, b.input(2)))


def _stretches(b: Builder) -> list[tuple[int, int, int]]:
    """Along every axis: positions that are made, how many are left out at the beginning, and how many are taken.

    As ONNX Runtime does: of an odd number that is to be left out, the larger half is at the beginning, unless auto_pad
    is SAME_UPPER.
    """
    sizes, kernel = b.shape(b.input(0))[2:], b.shape(b.input(1))[2:]
    count, auto = len(sizes), b.attribute("auto_pad", "NOTSET")
    strides, dilations = (b.attribute(name, [1] * count) for name in ("strides", "dilations"))
    beyond = b.attribute("output_padding", [0] * count)
    pads = b.attribute("pads", [0] * 2 * count) if auto == "NOTSET" else [0] * 2 * count
    wanted = b.attribute("output_shape", [])[-count:]
    found = []
    for i, size in enumerate(sizes):
        made = (size - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        if wanted or auto.startswith("SAME"):
            out = wanted[i] if wanted else size * strides[i]
            left_out = max(0, made + beyond[i] - out)
            found.append((made, left_out // 2 if auto == "SAME_UPPER" else left_out - left_out // 2, out))
        else:
            found.append((made, pads[i], made + beyond[i] - pads[i] - pads[count + i]))
    return found


def written_out(node: onnx.NodeProto, b: Builder) -> None:
    """A ConvTranspose with pads alone; what it adds beyond is padded after it, and a bias then too."""
    along = _stretches(b)
    begin, end = [start for _, start, _ in along], [max(0, made - start - out) for made, start, out in along]
    more = [max(0, start + out - made) for made, start, out in along]
    given = attributes_of(node, without=("auto_pad", "output_shape", "output_padding", "pads"))
    bias = b.input(2)
    uneven = len(along) == 3 and begin != end
    if not uneven and not any(more) and (not bias or b.scope.array(bias) is not None):
        b.end("ConvTranspose", [name for name in node.input if name], **given, pads=[*begin, *end])
        return
    pads = [0] * 6 if uneven else [*begin, *end]
    made = b.add("ConvTranspose", list(node.input[:2]), **given, pads=pads)
    if uneven:
        stops = [start + min(out, size - start) for size, start, out in along]
        made = cut(b, made, list(range(2, 5)), begin, stops)
    finish(b, _biased(b, pad_spatial(b, made, [0] * len(more), more), bias))


def padded_before(node: onnx.NodeProto, b: Builder) -> None:
    """A DeformConv over a padded input: what lies outside is 0 to it in either case."""
    pads = b.attribute("pads")
    half = len(pads) // 2
    padded = b.add("Pad", [b.input(0), numbers(b, [0, 0, *pads[:half], 0, 0, *pads[half:]], "pads")])
    b.keep(inputs=[padded, *node.input[1:]], pads=[0] * len(pads))


_TRANSPOSED = (
    "bias",
    "output-shape-odd",
    "output-shape-reach",
    "output-shape-auto",
    "output-shape-1d",
    "output-padding-1d",
    "output-padding-auto",
    "output-padding-bias",
    "transposed-3d-pads",
)

#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    "Conv/kernel-shape": kernel_shape,
    "Conv/bias": bias_apart,
    "DeformConv/deformconv-pads": padded_before,
    **{f"ConvTranspose/{limit}": written_out for limit in _TRANSPOSED},
}
