"""Ifs whose branch is known before anything else is asked of the model.

Exporters guard layers with conditions on shapes and modes; with static shapes these are constants, and the other branch
often cannot be computed at all: its reshape or matrix product does not fit. Inference, checkers and ONNX Runtime refuse
the model for it. So an If is decided first, by its condition where that follows from shapes and constants, else by
which branch fits: a branch that never can run is never taken by an input on which the model runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.fold import fold_constants
from coachc.frontend.order import order
from coachc.frontend.shapes import infer
from coachc.frontend.take_branch import take_branch


def decide_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Ifs of the main graph by the branch taken, where that is known.

    Parameters
    ----------
    model : ModelProto
        Normalised, with static input shapes.

    Returns
    -------
    ModelProto
        `model` itself if it has no such If.

    Raises
    ------
    ModelError
        A branch taken makes the graph inconsistent (`order.order`).
    """
    while True:
        decided = dict(_by_condition(model)) or dict(_by_what_fits(model))
        if not decided:
            return model
        result = onnx.ModelProto()
        result.CopyFrom(model)
        for node in [node for node in result.graph.node if node.name in decided]:
            take_branch(result.graph, node, then=decided[node.name])
        model = order(result)


def _ifs(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "If" and not node.domain]


def _by_condition(model: onnx.ModelProto) -> Iterator[tuple[str, bool]]:
    """Names of Ifs whose condition is constant, with its value."""
    undecided = _ifs(model)
    if not undecided:
        return
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in undecided:
        needed = _ancestors(makers, node.input[0])
        if any(maker.op_type == "If" and not maker.domain for maker in needed):
            continue
        condition = _constant(model, node.input[0], needed)
        if condition is not None:
            yield node.name, condition


def _ancestors(makers: dict[str, onnx.NodeProto], name: str) -> list[onnx.NodeProto]:
    """Every node that a value is computed from."""
    found: dict[str, onnx.NodeProto] = {}
    waiting = [name]
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is not None and maker.name not in found:
            found[maker.name] = maker
            waiting += walk.reads(maker)
    return list(found.values())


def _constant(model: onnx.ModelProto, name: str, needed: list[onnx.NodeProto]) -> bool | None:
    """The value of a condition, or None where it depends on what the inputs hold."""
    tensor = next((item for item in model.graph.initializer if item.name == name), None)
    if tensor is None and needed:
        part = onnx.ModelProto()
        part.CopyFrom(model)
        names = {node.name for node in needed}
        kept = [node for node in model.graph.node if node.name in names]
        del part.graph.node[:], part.graph.output[:], part.graph.value_info[:]
        # What makes a graph output is not folded.
        part.graph.node.extend([*kept, onnx.helper.make_node("Identity", [name], [f"{name}/condition"])])
        part.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}/condition", onnx.TensorProto.BOOL, None))
        try:
            folded = fold_constants(order(part))
        except ModelError:  # what does not fit together here is reported where the whole model is inferred
            return None
        tensor = next((item for item in folded.graph.initializer if item.name == name), None)
    return None if tensor is None else bool(onnx.numpy_helper.to_array(tensor).all())


def _by_what_fits(model: onnx.ModelProto) -> Iterator[tuple[str, bool]]:
    """The first If of which one branch alone can be computed, in a model that cannot be inferred as it is."""
    if not _ifs(model) or _fits(model):
        return
    for node in _ifs(model):
        fitting = []
        for then in (True, False):
            tried = onnx.ModelProto()
            tried.CopyFrom(model)
            same = next(one for one in tried.graph.node if one.name == node.name)
            take_branch(tried.graph, same, then=then)
            if _fits(tried, until=node):
                fitting.append(then)
        if len(fitting) == 1:
            yield node.name, fitting[0]
            return


def _fits(model: onnx.ModelProto, until: onnx.NodeProto | None = None) -> bool:
    """Whether shapes can be inferred; up to the outputs of a node, where one is given."""
    work = model
    if until is not None:
        work = onnx.ModelProto()
        work.CopyFrom(model)
        del work.graph.output[:]
        work.graph.output.extend(onnx.ValueInfoProto(name=name) for name in until.output if name)
    try:
        infer(order(work))
    except ModelError:
        return False
    return True
