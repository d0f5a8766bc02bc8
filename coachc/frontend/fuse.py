"""Group ONNX nodes into the fused operators an engine would execute.

A convolution or matrix product takes the batch normalization, bias, activation, residual addition and reshape that
follow it; chains of element-wise operators become one; an activation written as several nodes (SiLU is Sigmoid and
Mul) is one. Every group has a single way out until its last node, so groups are convex: no path leaves one and comes
back. Nodes that do not depend on a graph input are weights, not operators.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import onnx

from coachc.core.graph import GraphView, Node, Value, Work
from coachc.frontend.model import Model
from coachc.frontend.work import FREE, Shape, node_flops, work_kind

ANCHORS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"}
)
ELEMENTWISE = frozenset(
    {
        "Add", "Sum", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Sqrt", "Exp", "Log", "Erf", "Abs", "Neg", "Reciprocal",
        "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus",
        "Softsign", "Gelu", "Mish", "Clip", "ThresholdedRelu", "BatchNormalization", "Cast", "Dropout", "Identity",
        "Floor", "Ceil", "Round", "QuantizeLinear", "DequantizeLinear",
    }
)  # fmt: skip
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
#: An activation spelled out takes at most this many nodes (GELU by Erf takes five).
MAX_ACTIVATION_NODES = 10
#: What torch's TorchScript exporter calls the weight of a convolution into which it has folded a batch normalization;
#: it keeps the names of all other parameters. The bare number was written before torch had the prefix.
FOLDED_WEIGHT = re.compile(r"(onnx::Conv_)?\d+")
#: What torch's newer exporter adds to a weight's name for the bias it makes when folding.
FOLDED_BIAS_SUFFIX = "_bias"


def fuse(model: Model) -> GraphView:
    """Build the graph of fused operators.

    Parameters
    ----------
    model : Model
        As imported: sorted, named, static shapes.

    Returns
    -------
    GraphView
    """
    nodes = [node for node in model.proto.graph.node if any(name in model.values for name in node.output)]
    inputs_of = [dynamic_inputs(node, model.values) for node in nodes]
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    consumers: dict[str, list[int]] = {}
    for index, names in enumerate(inputs_of):
        for name in names:
            consumers.setdefault(name, []).append(index)
    outputs = set(model.outputs)

    group = list(range(len(nodes)))
    activation = _activations(nodes, inputs_of, consumers, outputs)
    kinds: dict[int, set[str]] = {}
    for index, node in enumerate(nodes):
        if index in activation:
            source = producer.get(activation[index])
            first = min(i for i in activation if activation[i] == activation[index])
            joins = source is not None and _is_host(nodes[source], kinds[group[source]])
            group[index] = group[source] if source is not None and joins else group[first]
        else:
            alone = [
                producer[name]
                for name in inputs_of[index]
                if name in producer and len(consumers[name]) == 1 and name not in outputs
            ]
            hosts = [i for i in alone if _may_join(node, kinds[group[i]]) and len(nodes[i].output) == 1]
            if hosts:
                group[index] = group[max(hosts)]
        kinds.setdefault(group[index], set()).add(node.op_type)

    return _view(model, nodes, inputs_of, consumers, group)


def dynamic_inputs(node: onnx.NodeProto, values: Mapping[str, Value]) -> tuple[str, ...]:
    """Distinct inputs of a node that depend on a graph input, those its bodies capture included."""
    return tuple(dict.fromkeys(name for name in captured_and_own_inputs(node) if name in values))


def captured_and_own_inputs(node: onnx.NodeProto) -> Iterable[str]:
    """Every name a node reads, from its own inputs and from inside If, Loop and Scan bodies."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else []:
            made = {i.name for i in body.input} | {i.name for i in body.initializer}
            for inner in body.node:
                yield from (name for name in captured_and_own_inputs(inner) if name not in made)
                made.update(inner.output)
            yield from (o.name for o in body.output if o.name not in made)


def _is_host(last: onnx.NodeProto, kinds: set[str]) -> bool:
    """Whether an activation may join the group that ends in `last`; a second output would be a second way out."""
    return len(last.output) == 1 and _takes_elementwise(kinds)


def _takes_elementwise(kinds: set[str]) -> bool:
    return bool(kinds & ANCHORS) or kinds <= ELEMENTWISE


def _may_join(node: onnx.NodeProto, host: set[str]) -> bool:
    if node.op_type in VIEWS:
        return True
    return node.op_type in ELEMENTWISE and _takes_elementwise(host)


def _activations(
    nodes: list[onnx.NodeProto],
    inputs_of: list[tuple[str, ...]],
    consumers: Mapping[str, list[int]],
    outputs: set[str],
) -> dict[int, str]:
    """Nodes of activations that fan out and come together again, with the value each starts from."""
    found: dict[int, str] = {}
    for value, readers in consumers.items():
        if len(readers) < 2 or any(i in found for i in readers):
            continue
        region: list[int] = []
        available = {value}
        while len(region) < MAX_ACTIVATION_NODES:
            frontier = sorted({i for name in available for i in consumers.get(name, ())} - set(region))
            ready = [i for i in frontier if nodes[i].op_type in ELEMENTWISE and set(inputs_of[i]) <= available]
            if not ready:
                break
            region.append(ready[0])
            available.update(nodes[ready[0]].output)
            still_open = {
                name for name in available if name in outputs or any(i not in region for i in consumers.get(name, ()))
            }
            if len(still_open) == 1 and value not in still_open:
                found.update(dict.fromkeys(region, value))
                break
    return found


def _view(
    model: Model,
    nodes: list[onnx.NodeProto],
    inputs_of: list[tuple[str, ...]],
    consumers: Mapping[str, list[int]],
    group: list[int],
) -> GraphView:
    shapes = _all_shapes(model)
    members: dict[int, list[int]] = {}
    for index, root in enumerate(group):
        members.setdefault(root, []).append(index)
    outputs = set(model.outputs)
    fused = []
    # A group runs when its last member can: ordering by that keeps the order topological.
    for indices in sorted(members.values(), key=lambda i: i[-1]):
        inside = set(indices)
        made = [name for i in indices for name in nodes[i].output if name in model.values]
        leaves = tuple(n for n in made if n in outputs or any(i not in inside for i in consumers.get(n, ())))
        enters = tuple(dict.fromkeys(n for i in indices for n in inputs_of[i] if n not in made))
        part = [nodes[i] for i in indices]
        main = next((node for node in part if node.op_type in ANCHORS), part[0])
        fused.append(
            Node(
                name=main.name,
                kind="+".join(
                    dict.fromkeys(node.op_type for node in part if node.op_type not in FREE or len(part) == 1)
                )
                or part[0].op_type,
                members=tuple(node.name for node in part),
                inputs=enters,
                outputs=leaves,
                work=_work(part, enters, leaves, shapes, model.values),
                folded=sum(_has_folded_batch_norm(node) for node in part),
            )
        )
    visible = set(model.inputs).union(*(n.outputs for n in fused), *(n.inputs for n in fused))
    return GraphView(
        nodes=tuple(fused),
        values={name: value for name, value in model.values.items() if name in visible},
        inputs=model.inputs,
        outputs=model.outputs,
    )


def _has_folded_batch_norm(node: onnx.NodeProto) -> bool:
    """Whether torch folded a batch normalization into this convolution.

    Arithmetic cannot tell a folded one from a bias of the convolution's own; only names that the exporter made can.
    So a fold by another tool is not seen, nor one by the newer exporter into a convolution that had a bias before.
    """
    if node.op_type != "Conv" or len(node.input) < 3:
        return False
    weight, bias = node.input[1:3]
    return bool(FOLDED_WEIGHT.fullmatch(weight)) or bias == weight + FOLDED_BIAS_SUFFIX


def _work(
    part: list[onnx.NodeProto],
    enters: tuple[str, ...],
    leaves: tuple[str, ...],
    shapes: Mapping[str, Shape],
    values: Mapping[str, Value],
) -> Work:
    weights = {name for node in part for name in node.input if name and name not in values}
    flops = [node_flops(node, shapes) for node in part]
    most = part[flops.index(max(flops))]
    return Work(
        flops=sum(flops),
        kind=work_kind(most, shapes, values) if max(flops) else "memory",
        weight_elements=sum(math.prod(shapes[name]) for name in weights if name in shapes),
        input_elements=sum(values[name].elements for name in enters),
        output_elements=sum(values[name].elements for name in leaves),
        free=all(node.op_type in FREE for node in part),
    )


def _all_shapes(model: Model) -> dict[str, Shape]:
    graph = model.proto.graph
    shapes: dict[str, Shape] = {i.name: tuple(i.dims) for i in graph.initializer}
    for info in graph.value_info:
        dims = info.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dims):
            shapes[info.name] = tuple(d.dim_value for d in dims)
    shapes.update({name: value.shape for name, value in model.values.items()})
    return shapes
