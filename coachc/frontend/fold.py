"""Constants computed once. Shapes are static here, so exporters' Shape-Gather-Concat chains are constant.

Not folded: QuantizeLinear and DequantizeLinear, since a weight behind them is what marks a model as quantized;
results above a size cap, since a model may hold its weights as ConstantOfShape; and nodes that make a graph output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from coachc.core.graph import ITEM_BYTES
from coachc.frontend import ort, walk
from coachc.frontend.normalize import constant_of
from coachc.frontend.order import order
from coachc.frontend.shape_hints import shape_hints
from coachc.frontend.shapes import Shape, infer, known_values, static_shape
from coachc.frontend.take_branch import take_branch

_KEPT = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
    # onnx 1.23.2's reference evaluator computes BatchNormalization 9 to 13 in training mode.
    | {"BatchNormalization"}
    | {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def fold_constants(
    model: onnx.ModelProto, *, max_bytes: int = 1 << 20, hints: Sequence[onnx.ValueInfoProto] = ()
) -> onnx.ModelProto:
    """Evaluate what does not depend on the inputs, inferring shapes again until nothing changes.

    Parameters
    ----------
    model : ModelProto
        Normalised, static input shapes, opset 13 or newer.
    max_bytes : int
        Largest result that replaces its node.
    hints : sequence of ValueInfoProto
        Passed on to `shapes.infer`.

    Returns
    -------
    ModelProto
        A copy, inferred. Constant nodes of the main graph are initializers, whatever their size; an If whose
        condition is constant is replaced by the branch taken.

    Raises
    ------
    ModelError
        The model contradicts itself (`shapes.infer`).

    Notes
    -----
    Evaluated by ONNX Runtime, which later runs the model too, or where it is missing by onnx's reference evaluator.
    A node that cannot be evaluated stays.
    """
    stated = {hint.name for hint in hints}
    hints = [*hints, *(hint for hint in shape_hints(model) if hint.name not in stated)]
    result = infer(model, hints)
    while True:
        constants = {tensor.name for tensor in result.graph.initializer}
        if not (_fold_once(result, constants, max_bytes) or _take_branches(result)):
            return result
        result = infer(order(result), hints)


def _fold_once(model: onnx.ModelProto, constants: set[str], max_bytes: int) -> bool:
    """Replace nodes by initializers in place; whether there were any."""
    graph = model.graph
    known = known_values(model)
    outputs = {value.name for value in graph.output}
    made: dict[str, onnx.TensorProto] = {}
    to_run: list[onnx.NodeProto] = []
    folded: list[int] = []
    for index, node in enumerate(graph.node):
        if node.domain or outputs.intersection(node.output):
            continue
        tensor = constant_of(node) or _shape_of(node, known)
        if tensor is not None:
            made[tensor.name] = tensor
        elif _foldable(node, constants, known, max_bytes):
            to_run.append(node)
        else:
            continue
        folded.append(index)
        constants.update(name for name in node.output if name)
    made.update(_evaluate(model, to_run, made))
    done = [index for index in folded if all(name in made for name in graph.node[index].output if name)]
    needed = {name for index, node in enumerate(graph.node) if index not in set(done) for name in walk.reads(node)}
    graph.initializer.extend(tensor for name, tensor in made.items() if name in needed)
    for index in reversed(done):
        del graph.node[index]
    return bool(done)


def _shape_of(node: onnx.NodeProto, known: dict[str, onnx.ValueInfoProto]) -> onnx.TensorProto | None:
    """The result of Shape or Size on a value whose shape is known."""
    if node.op_type not in ("Shape", "Size") or node.input[0] not in known:
        return None
    shape = static_shape(known[node.input[0]])
    if shape is None:
        return None
    if node.op_type == "Size":
        return onnx.numpy_helper.from_array(np.array(math.prod(shape), np.int64), node.output[0])
    # Python clamps a slice the way Shape-15 clamps start and end.
    window = shape[walk.attribute(node, "start", 0) : walk.attribute(node, "end", len(shape))]
    return onnx.numpy_helper.from_array(np.array(window, np.int64), node.output[0])


def _foldable(node: onnx.NodeProto, constants: set[str], known: dict[str, onnx.ValueInfoProto], max_bytes: int) -> bool:
    if node.op_type in _KEPT or not any(node.input) or any(True for _ in walk.bodies(node)):
        return False
    if not all(name in constants for name in node.input if name):
        return False
    return all(name in known and _size(known[name]) <= max_bytes for name in node.output if name)


def _size(value: onnx.ValueInfoProto) -> float:
    """Bytes; infinite when unknown or of a type that NumPy and ONNX Runtime do not exchange."""
    shape: Shape | None = static_shape(value)
    if shape is None:
        return math.inf
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    if dtype not in ITEM_BYTES or dtype == "bfloat16":
        return math.inf
    return math.prod(shape) * ITEM_BYTES[dtype]


def _evaluate(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], made: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TensorProto]:
    """Results of constant nodes by name; all in one run, or one by one if that fails."""
    if not nodes:
        return {}
    weights = {tensor.name: tensor for tensor in model.graph.initializer} | made
    try:
        return _run(model, nodes, weights)
    except Exception:  # either evaluator may fail in its own way on one node; the others are still worth folding
        if len(nodes) == 1:
            return {}
    results: dict[str, onnx.TensorProto] = {}
    for node in nodes:
        if all(name in weights for name in node.input if name):
            found = _evaluate(model, [node], weights)
            weights |= found
            results |= found
    return results


def _run(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], weights: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TensorProto]:
    known = known_values(model)
    names = [name for node in nodes for name in node.output if name]
    used = dict.fromkeys(name for node in nodes for name in node.input if name in weights)
    graph = onnx.helper.make_graph(
        nodes, "constants", [], [known[name] for name in names], [weights[name] for name in used]
    )
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    if ort.available():
        results = ort.run(part, {}, names)
    else:
        from onnx.reference import ReferenceEvaluator

        found: Any = ReferenceEvaluator(part).run(names, {})
        results = dict(zip(names, found, strict=True))
    return {name: onnx.numpy_helper.from_array(np.asarray(results[name]), name) for name in names}


def _take_branches(model: onnx.ModelProto) -> bool:
    """Replace each If whose condition is an initializer by the nodes of its branch, in place."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    taken = [node for node in graph.node if node.op_type == "If" and not node.domain and node.input[0] in weights]
    for node in taken:
        take_branch(graph, node, then=bool(onnx.numpy_helper.to_array(weights[node.input[0]]).all()))
    return bool(taken)
