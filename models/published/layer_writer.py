"""Write networks layer by layer, with shapes but no weights: what costs are made of, in milliseconds and no memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from coachc.core.graph import Value
from coachc.frontend.model import Model

Size = int | tuple[int, int]
SAME, VALID = "same", "valid"


class Layers:
    """A network as it grows: each method adds an operator and returns the name of what it makes.

    Weights have dimensions and no data, so the model can be fused and costed, but neither run nor saved.

    Parameters
    ----------
    name : str
    shape : sequence of int
        Of the input "x", channels first, batch included.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[TensorProto] = []
        self._values = {"x": Value("x", "float32", tuple(shape))}

    def shape(self, value: str) -> tuple[int, ...]:
        return self._values[value].shape

    def conv(
        self,
        x: str,
        width: int,
        kernel: Size = 1,
        stride: int = 1,
        padding: str = SAME,
        *,
        groups: int = 1,
        norm: bool = True,
        relu: bool = True,
    ) -> str:
        """A convolution with its batch normalization (a bias where there is none) and activation."""
        batch, channels, *spatial = self.shape(x)
        kernel = _pair(kernel)
        pads, size = _window(spatial, kernel, stride, padding)
        made = self._add(
            "Conv", [x], (batch, width, *size), (width, channels // groups, *kernel), *([] if norm else [(width,)]),
            pads=pads, strides=[stride] * 2, group=groups,
        )  # fmt: skip
        if norm:
            made = self._add("BatchNormalization", [made], self.shape(made), *[(width,)] * 4)
        return self.relu(made) if relu else made

    def depthwise(self, x: str, stride: int = 1, kernel: Size = 3) -> str:
        channels = self.shape(x)[1]
        return self.conv(x, channels, kernel, stride, groups=channels)

    def pool(self, x: str, kernel: Size, stride: int, padding: str = SAME, *, mean: bool = False) -> str:
        """The maximum, or the mean, of a window."""
        batch, channels, *spatial = self.shape(x)
        pads, size = _window(spatial, _pair(kernel), stride, padding)
        return self._add(
            "AveragePool" if mean else "MaxPool", [x], (batch, channels, *size),
            kernel_shape=list(_pair(kernel)), pads=pads, strides=[stride] * 2,
        )  # fmt: skip

    def global_pool(self, x: str) -> str:
        return self._add("GlobalAveragePool", [x], (*self.shape(x)[:2], 1, 1))

    def norm_relu(self, x: str) -> str:
        """Batch normalization and activation ahead of a convolution, which cannot take them."""
        return self.relu(self._add("BatchNormalization", [x], self.shape(x), *[(self.shape(x)[1],)] * 4))

    def relu(self, x: str) -> str:
        return self._add("Relu", [x], self.shape(x))

    def add(self, *values: str) -> str:
        return self._add("Add", list(values), self.shape(values[0]))

    def concat(self, *values: str) -> str:
        batch, _, *spatial = self.shape(values[0])
        return self._add("Concat", list(values), (batch, sum(self.shape(v)[1] for v in values), *spatial), axis=1)

    def enlarge(self, x: str) -> str:
        """Twice as high and wide, by repeating pixels."""
        batch, channels, height, width = self.shape(x)
        return self._add("Resize", [x], (batch, channels, 2 * height, 2 * width), mode="nearest")

    def dense(self, x: str, width: int, *, relu: bool = False) -> str:
        """A fully connected layer on all of a value."""
        batch, *rest = self.shape(x)
        depth = math.prod(rest)
        if len(rest) > 1:
            x = self._add("Flatten", [x], (batch, depth))
        made = self._add("Gemm", [x], (batch, width), (width, depth), (width,), transB=1)
        return self.relu(made) if relu else made

    def model(self, *outputs: str) -> Model:
        """What was written."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape("x"))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, self.shape(output)) for output in outputs],
            self._weights,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        return Model(proto, dict(self._values), "", self._name)

    def _add(
        self, op_type: str, reads: list[str], shape: Sequence[int], *parameters: Sequence[int], **attributes: Any
    ) -> str:
        made = f"v{len(self._values)}"
        names = [f"{made}.{place}" for place in range(len(parameters))]
        for name, dims in zip(names, parameters, strict=True):
            self._weights.append(TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT))
        self._nodes.append(helper.make_node(op_type, [*reads, *names], [made], f"{op_type}.{made}", **attributes))
        self._values[made] = Value(made, "float32", tuple(shape))
        return made


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _window(spatial: Sequence[int], kernel: Sequence[int], stride: int, padding: str) -> tuple[list[int], list[int]]:
    """Padding of both ends of each axis, and the size that is left."""
    if padding == VALID:
        return [0] * 4, [(size - width) // stride + 1 for size, width in zip(spatial, kernel, strict=True)]
    made = [-(-size // stride) for size in spatial]
    over = [max((out - 1) * stride + width - size, 0) for out, width, size in zip(made, kernel, spatial, strict=True)]
    before = [total // 2 for total in over]
    return [*before, *(total - first for total, first in zip(over, before, strict=True))], made
