"""The nodes of one quantizer, in the forms that targets take; `passes.insert_qdq` decides where they go.

Two forms give the same codes:

- "qdq": QuantizeLinear, then Clip to the codes of so many bits, and DequantizeLinear; for engines that take unsigned
  codes with a zero point (ONNX Runtime).
- "arithmetic": Div, Round, Add, Max, Min and Cast, and Cast, Sub and Mul back; for TensorRT, which takes neither
  unsigned codes nor zero points in QuantizeLinear, and no Q/DQ at all on TX2.

Scale, zero point and largest code are graph inputs in the halves of a bundle, so that a task can take another precision
without another engine, and constants where the precision is fixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from coachc.core.plan import Quantizer

FORMS = ("qdq", "arithmetic")


def codes_name(value: str) -> str:
    """Name of the codes of a boundary value in both halves."""
    return f"{value}/codes"


def feature_name(value: str) -> str:
    """Name of the device half's pooled copy of a boundary value."""
    return f"{value}/feature"


def parameter_name(value: str, parameter: str) -> str:
    """Name of the graph input that takes "scale", "zero_point" or "qmax" of a boundary value."""
    return f"{value}/{parameter}"


def has_feature(shape: Sequence[int]) -> bool:
    """Whether a value has one vector per row of the batch: pooled where it has positions, itself where it has none."""
    return len(shape) >= 2 and 0 not in shape


@dataclass(frozen=True)
class Parameters:
    """The tensors that a quantizer's nodes read.

    Attributes
    ----------
    scale, zero_point, qmax : gs.Tensor
        In the type and shape of the form, see `parameter_array`.
    per_channel : bool
        Whether there is one scale per channel (axis 1).
    """

    scale: gs.Tensor
    zero_point: gs.Tensor
    qmax: gs.Tensor
    per_channel: bool

    @property
    def axis(self) -> dict[str, int]:
        """Attributes of QuantizeLinear and DequantizeLinear."""
        return {"axis": 1} if self.per_channel else {}


def input_parameters(value: str, shape: Sequence[int], form: str, *, per_channel: bool) -> Parameters:
    """Parameters as graph inputs; the caller adds to its graph those that it uses."""
    count = shape[1] if per_channel else 1
    made = {}
    for parameter in ("scale", "zero_point", "qmax"):
        array = parameter_array(parameter, (0,) * (1 if parameter == "qmax" else count), len(shape), form)
        made[parameter] = gs.Variable(parameter_name(value, parameter), array.dtype, array.shape)
    return Parameters(**made, per_channel=per_channel)


def constant_parameters(quantizer: Quantizer, rank: int, form: str) -> Parameters:
    """Parameters fixed at one precision."""
    given = {"scale": quantizer.scale, "zero_point": quantizer.zero_point, "qmax": (quantizer.qmax,)}
    made = {
        parameter: gs.Constant(
            f"{quantizer.name}/quantizer/{parameter}", parameter_array(parameter, numbers, rank, form)
        )
        for parameter, numbers in given.items()
    }
    return Parameters(**made, per_channel=len(quantizer.scale) > 1)


def parameter_array(parameter: str, numbers: Sequence[float], rank: int, form: str) -> np.ndarray:
    """One parameter as the nodes of a form read it.

    Parameters
    ----------
    parameter : str
        "scale", "zero_point" or "qmax".
    numbers : sequence of float
        One for the whole tensor, or one per channel.
    rank : int
        Of the value.
    form : str

    Returns
    -------
    ndarray
        "qdq": float32 or uint8 of shape () or (C,), as the operators ask. "arithmetic": float32 of shape (1,) or, per
        channel, (1, C, 1, ...) of the value's rank, which broadcast.
    """
    if form == "qdq":
        dtype = np.float32 if parameter == "scale" else np.uint8
        return np.array(numbers[0] if len(numbers) == 1 else numbers, dtype)
    array = np.array(numbers, np.float32)
    return array if len(numbers) == 1 else array.reshape([1, -1, *[1] * (rank - 2)])


class QuantizerNodes:
    """Adds the nodes of one boundary value to a graph, each with a name of its own.

    Parameters
    ----------
    graph : gs.Graph
    value : str
        The boundary value's name in the model.
    opset : int
        Of ai.onnx.
    """

    def __init__(self, graph: gs.Graph, value: str, opset: int) -> None:
        self._graph = graph
        self._value = value
        self._opset = opset
        self._count: Counter[str] = Counter()

    def as_float(self, value: gs.Tensor) -> gs.Tensor:
        """The value in float32, in which everything here is computed."""
        return self._cast(value, np.float32) if value.dtype == np.float16 else value

    def quantize(self, real: gs.Tensor, parameters: Parameters, form: str, *, int32_codes: bool = False) -> gs.Tensor:
        """The codes of a float32 value: uint8, or int32 in arithmetic form where that is asked for."""
        p = parameters
        if form == "qdq":
            # Saturates at 0 and 255 whatever the value is. Clip, because ONNX Runtime 1.23 has no Min of uint8.
            wide = self._add("QuantizeLinear", [real, p.scale, p.zero_point], np.uint8, **p.axis)
            codes = self._add("Clip", [wide, gs.Variable.empty(), p.qmax], np.uint8)
        else:
            steps = self._add("Round", [self._add("Div", [real, p.scale], np.float32)], np.float32)
            shifted = self._add("Add", [steps, p.zero_point], np.float32)
            # Max and Min rather than Clip, whose limits have to be of rank 0.
            limited = self._add(
                "Min", [self._add("Max", [shifted, self._zero(np.float32)], np.float32), p.qmax], np.float32
            )
            if int32_codes:
                # A NaN passes Max and Min. Cast to int32 it is the smallest integer on x86, hence Max again; cast to
                # uint8 it is 0 by itself.
                codes = self._add("Max", [self._cast(limited, np.int32), self._zero(np.int32)], np.int32)
                codes = self._without_axes(codes, real)
            else:
                # Before the cast: TensorRT has uint8 at the ends of a network only, where nothing else reads it.
                codes = self._cast(self._without_axes(limited, real), np.uint8)
        codes.name = codes_name(self._value)
        return codes

    def dequantize(self, codes: gs.Tensor, value: gs.Tensor, parameters: Parameters, form: str) -> None:
        """Make `value`, which nothing else makes, of its codes."""
        p = parameters
        if form == "qdq":
            real = self._add("DequantizeLinear", [codes, p.scale, p.zero_point], np.float32, **p.axis)
        else:
            centred = self._add("Sub", [self._cast(codes, np.float32), p.zero_point], np.float32)
            real = self._without_axes(self._add("Mul", [centred, p.scale], np.float32), value)
        if value.dtype == np.float16:
            real = self._cast(real, np.float16)
        real.inputs[0].outputs = [value]

    def pool(self, real: gs.Tensor) -> gs.Tensor:
        """The mean over every axis from 2 on, of shape (N, C); a value of rank 2 as it is."""
        axes = list(range(2, len(real.shape)))
        if not axes:
            feature = self._add("Identity", [real], np.float32)
        # TensorRT makes the same Reduce layer of ReduceMean as of GlobalAveragePool, which would leave the axes behind.
        elif self._opset < 18:
            feature = self._add("ReduceMean", [real], np.float32, axes=axes, keepdims=0)
        else:
            given = gs.Constant(f"{self._value}/quantizer/axes", np.array(axes, np.int64))
            feature = self._add("ReduceMean", [real, given], np.float32, keepdims=0)
        feature.name, feature.shape = feature_name(self._value), list(real.shape[:2])
        return feature

    def _add(self, op: str, inputs: list[gs.Tensor], dtype: type, **attributes: Any) -> gs.Tensor:
        """One node; its output has the shape of its first input, or of its last where the first has rank 0."""
        self._count[op] += 1
        name = f"{self._value}/quantizer/{op}" + (f"_{self._count[op]}" if self._count[op] > 1 else "")
        made = gs.Variable(name, np.dtype(dtype), inputs[0].shape or inputs[-1].shape)
        self._graph.nodes.append(gs.Node(op, name=name, attrs=attributes, inputs=inputs, outputs=[made]))
        return made

    def _cast(self, tensor: gs.Tensor, dtype: type) -> gs.Tensor:
        return self._add("Cast", [tensor], dtype, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _zero(self, dtype: type) -> gs.Tensor:
        return gs.Constant(f"{self._value}/quantizer/zero_{np.dtype(dtype).name}", np.zeros(1, dtype))

    def _without_axes(self, tensor: gs.Tensor, like: gs.Tensor) -> gs.Tensor:
        """Rank 0 again for a value of rank 0: parameters of shape (1,) gave it an axis."""
        if like.shape:
            return tensor
        shape = gs.Constant(f"{self._value}/quantizer/shape", np.zeros(0, np.int64))
        made = self._add("Reshape", [tensor, shape], tensor.dtype.type)
        made.shape = []
        return made
