"""Takes operators apart that the target does not have, in the opset that the model has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx
import onnx.inliner

from coachc.core.plan import Rejected
from coachc.frontend import walk
from coachc.frontend.fold import fold_constants
from coachc.frontend.opset import newest_opset, opset_of
from coachc.frontend.order import order
from coachc.frontend.pass_driver import PassResult, differ
from coachc.passes.lower import gather_indices
from coachc.passes.lower.builder import CannotLower, Rewrite
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.replace_nodes import CannotWrite, replace_nodes
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.schema import defined_in_terms_of_others, schema_of
from coachc.passes.lower.scope import Scope
from coachc.passes.lower.table import MENDED, PARTS

#: How deep a definition may lead to operators that have to be taken apart themselves.
_ROUNDS = 8


def take_apart(
    model: onnx.ModelProto, target: int, limits: Limits, refused: Mapping[str, Collection[str]], tally: Tally
) -> PassResult:
    """Replace what the target does not have.

    Parameters
    ----------
    model : onnx.ModelProto
    target : int
        The opset it is to have in the end.
    limits : Limits
    refused : mapping of str to collection of str
        Nodes of the model given to `tally` by name that are taken apart too, where that is possible, and for which
        limits: "Pad/negative".
    tally : Tally

    Returns
    -------
    PassResult
        Nodes that are refused and stay are among its rejections where a rewrite says why.

    Raises
    ------
    coachc.errors.ModelError
        An operator that the target does not have cannot be taken apart.
    """
    work, source = model, opset_of(model)
    rejected: list[Rejected] = []
    for _ in range(_ROUNDS):
        lacking = missing(work, target, limits)
        unwanted = {n.name for n in walk.nodes(work.graph) if n.name in refused and tally.is_as_given(n)}
        wanted = [n for n in walk.nodes(work.graph) if not n.domain and (n.op_type in lacking or n.name in unwanted)]
        gathers = [n for n in walk.nodes(work.graph) if n.op_type == "Gather" and not limits.negative_indices]
        if not wanted and not gathers:
            return _told(model, work, rejected)
        scope = Scope(work)
        backwards = {node.name for node in gathers if gather_indices.counts_from_the_end(node, scope)}
        # A node that is refused for itself and has no parts stays: whoever refused it says so better.
        ways = {n.name: _way(n, refused.get(n.name, ()) if n.name in unwanted else ()) for n in wanted}
        parted = [n for n in wanted if ways[n.name] is not None]
        functions = [n for n in wanted if n not in parted and defined_in_terms_of_others(n.op_type, source)]
        hopeless = [n for n in wanted if n.op_type in lacking and n not in parted and n not in functions]
        if hopeless:
            why = [(node, CannotLower(_why_missing(node.op_type, target))) for node in hopeless]
            raise CannotWrite(why, limits, target)
        if not parted and not functions and not backwards:
            return _told(model, work, rejected)
        ways.update(dict.fromkeys(backwards, PARTS["Gather"]))
        may_stay = {node.name for node in parted if node.op_type not in lacking}

        def choose(node: onnx.NodeProto, ways: Mapping[str, Rewrite | None] = ways) -> Rewrite | None:
            return None if node.domain else ways.get(node.name)

        if work is model:
            work = onnx.ModelProto()
            work.CopyFrom(model)
        rejected += replace_nodes(
            work, choose, scope, source, limits, target, tally, may_stay=may_stay, count_attributes=True
        )
        if functions:
            try:
                work = _expanded(work, functions, tally)
            except RuntimeError as exc:  # onnx's inliner, of nodes that leave optional inputs out
                reason = CannotLower("onnx cannot write its own definition in its place")
                raise CannotWrite([(functions[0], reason)], limits, target) from exc
        refused = {}
    lacking = missing(work, target, limits)
    remaining = next(n for n in walk.nodes(work.graph) if not n.domain and n.op_type in lacking)
    raise CannotWrite([(remaining, CannotLower("its own definition leads back to it"))], limits, target)


def _way(node: onnx.NodeProto, broken: Collection[str]) -> Rewrite | None:
    """What takes a node's place: as the first limit that it breaks says, else what its operator is made of."""
    for limit in broken:
        if limit in MENDED:
            return MENDED[limit]
    return PARTS.get(node.op_type) if node.op_type != "Gather" else None


def _told(model: onnx.ModelProto, work: onnx.ModelProto, rejected: list[Rejected]) -> PassResult:
    return PassResult(work, differ(work, model), tuple(rejected))


def can_be_taken_apart(op: str, opset: int) -> bool:
    """Whether there is a way, for some nodes at least, to do without an operator of ai.onnx."""
    return op in PARTS or defined_in_terms_of_others(op, opset)


def missing(model: onnx.ModelProto, target: int, limits: Limits) -> set[str]:
    """Operators of a model that the target does not have."""
    return {n.op_type for n in walk.nodes(model.graph) if not n.domain and _lacks(n.op_type, target, limits)}


def _lacks(op: str, target: int, limits: Limits) -> bool:
    return schema_of(op, target) is None or (limits.operators is not None and op not in limits.operators)


def _why_missing(op: str, target: int) -> str:
    if schema_of(op, target) is not None:
        return "the target lacks the operator"
    first = next((opset for opset in range(target + 1, newest_opset() + 1) if schema_of(op, opset)), None)
    return "it is no operator of ai.onnx" if first is None else f"the operator came with opset {first}"


def _expanded(work: onnx.ModelProto, nodes: list[onnx.NodeProto], tally: Tally) -> onnx.ModelProto:
    """Replace nodes by ONNX's own definition of their operators; what follows from shapes is computed at once."""
    names = {node.output[0]: node.name for node in nodes}
    for node in nodes:
        tally.node(node.name)
    selected = sorted({("", node.op_type) for node in nodes})
    typed = onnx.shape_inference.infer_shapes(work, strict_mode=True, data_prop=True)
    # The inliner asks for the types of everything a node reads, and finds those of initializers nowhere else.
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in typed.graph.initializer
    )
    inlined = onnx.inliner.inline_selected_functions(typed, selected, inline_schema_functions=True)
    for node in walk.nodes(inlined.graph):
        if node.output[0] in names:
            node.name = names[node.output[0]]
    return fold_constants(order(inlined))
