"""Insert the quantizer of each boundary value: codes leave the device half and enter the cloud half.

Two forms give the same codes. "qdq" is Clip, QuantizeLinear and DequantizeLinear, for engines that take unsigned
codes with a zero point. "arithmetic" is Div, Round, Add, Clip and Cast, and Sub and Mul back, for TensorRT, which takes
neither (and on TX2 has no INT8 at all: its codes leave as int32).

What crosses is quantized, nothing else: readers on the device keep the float value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from coachc.core.plan import Quantizer
from coachc.frontend.model import Model
from passes.surgery import Tensors, export, import_graph

FORMS = ("qdq", "arithmetic")


def codes_name(value: str) -> str:
    """Name of the codes of a boundary value in both halves."""
    return f"{value}/codes"


def quantize_outputs(
    half: onnx.ModelProto,
    boundary: Sequence[tuple[Quantizer, str]],
    model: Model,
    *,
    keep: Sequence[str] = (),
    form: str = "qdq",
    int32_codes: bool = False,
) -> onnx.ModelProto:
    """Replace packed boundary values among the device half's outputs by their codes.

    Parameters
    ----------
    half : onnx.ModelProto
        Device half as `passes.cut.split` gives it.
    boundary : sequence of (Quantizer, str)
        Each boundary value with its name in the halves.
    model : Model
        The half's origin.
    keep : sequence of str
        Model outputs that the device makes: they stay outputs even where they cross as codes too.
    form : str
        "qdq" or "arithmetic".
    int32_codes : bool
        Arithmetic form only: codes leave as int32 instead of uint8.
    """
    graph = import_graph(half)
    tensors = Tensors(graph)
    outputs = list(graph.outputs)
    for quantizer, name in boundary:
        if quantizer.codec != "packed":
            continue
        codes = _quantize(_Emitter(graph, quantizer.name), tensors[name], quantizer, form, int32_codes)
        outputs[next(i for i, tensor in enumerate(outputs) if tensor.name == name)] = codes
    graph.outputs = outputs + [tensors[name] for name in keep if all(tensor.name != name for tensor in outputs)]
    return export(graph, model)


def dequantize_inputs(
    half: onnx.ModelProto, boundary: Sequence[tuple[Quantizer, str]], model: Model, *, form: str = "qdq"
) -> onnx.ModelProto:
    """Replace packed boundary values among the cloud half's inputs by their uint8 codes."""
    graph = import_graph(half)
    tensors = Tensors(graph)
    for quantizer, name in boundary:
        if quantizer.codec != "packed":
            continue
        value = tensors[name]
        codes = gs.Variable(codes_name(quantizer.name), dtype=np.dtype(np.uint8), shape=value.shape)
        graph.inputs[next(i for i, tensor in enumerate(graph.inputs) if tensor.name == name)] = codes
        _dequantize(_Emitter(graph, quantizer.name), codes, value, quantizer, form)
    graph.toposort()
    return export(graph, model)


def insert_reference(model: Model, quantizers: Sequence[Quantizer], cloud_nodes: AbstractSet[str]) -> onnx.ModelProto:
    """The whole model with QuantizeLinear and DequantizeLinear where packed values cross.

    What both halves are checked against, and what the accuracy of a cut means.

    Parameters
    ----------
    model : Model
    quantizers : sequence of Quantizer
    cloud_nodes : set of str
        Names of the ONNX nodes on the cloud: they read the rounded value.

    Returns
    -------
    onnx.ModelProto
        Its outputs are the model's, then the codes of each packed value.
    """
    graph = import_graph(model.proto)
    tensors = Tensors(graph)
    for quantizer in quantizers:
        if quantizer.codec != "packed":
            continue
        value = tensors[quantizer.name]
        rounded = gs.Variable(f"{quantizer.name}/rounded", dtype=value.dtype, shape=value.shape)
        for node in graph.nodes:
            if node.name in cloud_nodes:
                _replace_input(node, value, rounded)
        emit = _Emitter(graph, quantizer.name)
        codes = _quantize(emit, value, quantizer, "qdq")
        _dequantize(emit, codes, rounded, quantizer, "qdq")
        graph.outputs.append(codes)
    graph.toposort()
    return export(graph, model)


def _replace_input(node: gs.Node, old: gs.Tensor, new: gs.Tensor) -> None:
    """Make `node`, and what its bodies capture, read `new` instead of `old`."""
    node.inputs = [new if tensor is old else tensor for tensor in node.inputs]
    for body in (attribute for attribute in node.attrs.values() if isinstance(attribute, gs.Graph)):
        for inner in body.nodes:
            _replace_input(inner, old, new)
        body.outputs = [new if tensor is old else tensor for tensor in body.outputs]


def _quantize(
    emit: _Emitter, value: gs.Tensor, quantizer: Quantizer, form: str, int32_codes: bool = False
) -> gs.Tensor:
    real = emit("Cast", [value], np.float32, to=onnx.TensorProto.FLOAT) if value.dtype == np.float16 else value
    scale = emit.parameter("scale", np.float32(quantizer.scale))
    if form == "qdq":
        low, high = code_range(quantizer)
        clipped = emit("Clip", [real, emit.parameter("low", low), emit.parameter("high", high)], np.float32)
        zero = emit.parameter("zero_point", np.uint8(quantizer.zero_point))
        return emit("QuantizeLinear", [clipped, scale, zero], np.uint8, output=codes_name(quantizer.name))
    steps = emit("Round", [emit("Div", [real, scale], np.float32)], np.float32)
    shifted = emit("Add", [steps, emit.parameter("zero_point", np.float32(quantizer.zero_point))], np.float32)
    limits = [emit.parameter("qmin", np.float32(0)), emit.parameter("qmax", np.float32(quantizer.qmax))]
    clipped = emit("Clip", [shifted, *limits], np.float32)
    to, dtype = (onnx.TensorProto.INT32, np.int32) if int32_codes else (onnx.TensorProto.UINT8, np.uint8)
    return emit("Cast", [clipped], dtype, output=codes_name(quantizer.name), to=to)


def _dequantize(emit: _Emitter, codes: gs.Tensor, value: gs.Tensor, quantizer: Quantizer, form: str) -> None:
    scale = emit.parameter("scale", np.float32(quantizer.scale))
    half = value.dtype == np.float16
    if form == "qdq":
        zero = emit.parameter("zero_point", np.uint8(quantizer.zero_point))
        real = emit("DequantizeLinear", [codes, scale, zero], np.float32, into=None if half else value)
    else:
        steps = emit("Cast", [codes], np.float32, to=onnx.TensorProto.FLOAT)
        centred = emit("Sub", [steps, emit.parameter("zero_point", np.float32(quantizer.zero_point))], np.float32)
        real = emit("Mul", [centred, scale], np.float32, into=None if half else value)
    if half:
        emit("Cast", [real], np.float16, into=value, to=onnx.TensorProto.FLOAT16)


def code_range(quantizer: Quantizer) -> tuple[np.float32, np.float32]:
    """Smallest and largest real number that has a code, as float32."""
    scale = np.float32(quantizer.scale)
    return (
        np.float32(-quantizer.zero_point) * scale,
        np.float32(quantizer.qmax - quantizer.zero_point) * scale,
    )


class _Emitter:
    """Appends named nodes for one boundary value."""

    def __init__(self, graph: gs.Graph, value: str) -> None:
        self.graph = graph
        self.value = value
        self._constants: dict[str, gs.Constant] = {}
        self._count: Counter[str] = Counter()

    def __call__(
        self,
        op: str,
        inputs: list[gs.Tensor],
        dtype: type,
        *,
        output: str = "",
        into: gs.Tensor | None = None,
        **attributes: int,
    ) -> gs.Tensor:
        self._count[op] += 1
        name = f"{self.value}/quantizer/{op}" + (f"_{self._count[op]}" if self._count[op] > 1 else "")
        made = into
        if made is None:
            made = gs.Variable(output or name, np.dtype(dtype), inputs[0].shape)
        node = gs.Node(op, name=name, attrs=attributes, inputs=inputs, outputs=[made])
        self.graph.nodes.append(node)
        return made

    def parameter(self, name: str, value: np.generic) -> gs.Tensor:
        if name not in self._constants:
            self._constants[name] = gs.Constant(f"{self.value}/quantizer/{name}", np.asarray(value))
        return self._constants[name]
