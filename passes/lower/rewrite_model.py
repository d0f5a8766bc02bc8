"""Rewrite a model until its target takes it: first what the target lacks, then the forms of the older opset.

Operators are taken apart in the model's own opset, so the model is valid after every step; only then is each remaining
node written as the older opset has it. ONNX's own converter is not used: from 18 to 17 it leaves attributes that make
the model invalid, and from 18 to 13 it stops at Relu (onnx 1.23.2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx
import onnx.inliner

from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.check_model import check
from coachc.frontend.fold import fold_constants
from coachc.frontend.opset import newest_opset, opset_of, stamp_ir
from coachc.frontend.order import order
from coachc.passes.lower import doubles, gather_indices, qdq_arithmetic
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.limits import LOWEST_OPSET, Limits, Lowered
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.schema import changed_between, defined_in_terms_of_others, fit, schema_of
from coachc.passes.lower.scope import Scope
from coachc.passes.lower.table import OLDER, PARTS

#: How deep a definition may lead to operators that have to be taken apart themselves.
_ROUNDS = 8

Choose = Callable[[onnx.NodeProto], Rewrite | None]


def lower(model: onnx.ModelProto, limits: Limits, *, refused: Collection[str] = ()) -> Lowered:
    """Rewrite a model until its target takes it.

    Parameters
    ----------
    model : onnx.ModelProto
        Valid, static shapes, opset 13 at least, every node named.
    limits : Limits
        What the target takes.
    refused : collection of str
        Names of nodes that the target refuses for reasons of its own: they are taken apart too where that is possible,
        and stay as they are where it is not.

    Returns
    -------
    Lowered
        Its model computes what `model` does, up to float rounding where an operator was taken apart. Inputs and outputs
        keep names, types and shapes, and so do nodes: the last of those that replace one has its name. Checked by onnx
        and loaded by ONNX Runtime, if it was changed. Lowering it again changes nothing.

    Raises
    ------
    coachc.errors.ModelError
        A node has no form that the target takes: names it, what the target takes, and a remedy.
    """
    source = opset_of(model)
    target = min(source, limits.opset)
    if limits.opset < LOWEST_OPSET:
        raise ModelError(
            f"{limits.name} takes opset {limits.opset}; coachc writes opset {LOWEST_OPSET} at least",
            hint="choose a target with a newer TensorRT",
        )
    tally = Tally(model)
    work = onnx.ModelProto()
    work.CopyFrom(model)
    if not limits.float64:
        work = doubles.narrow(work, limits, tally)
    work = _without_refused_qdq(work, limits, tally)
    work = _taken_apart(work, target, limits, frozenset(refused), tally)
    if target < source:
        work = _older(work, source, target, limits, tally)
    if not tally.touched and target == source:
        return Lowered(model, (), source, source)
    result = _finished(work)
    check(result)
    return Lowered(result, tally.counts(), source, target)


def _taken_apart(
    work: onnx.ModelProto, target: int, limits: Limits, refused: frozenset[str], tally: Tally
) -> onnx.ModelProto:
    """Replace what the target does not have, in the opset that the model has."""
    source = opset_of(work)
    for _ in range(_ROUNDS):
        missing = {n.op_type for n in walk.nodes(work.graph) if not n.domain and _lacks(n.op_type, target, limits)}
        wanted = [n for n in walk.nodes(work.graph) if not n.domain and (n.op_type in missing or n.name in refused)]
        gathers = [n for n in walk.nodes(work.graph) if n.op_type == "Gather" and not limits.negative_indices]
        if not wanted and not gathers:
            return work
        scope = Scope(work)
        backwards = {node.name for node in gathers if gather_indices.counts_from_the_end(node, scope)}
        # A node that is refused for itself and has no parts stays: whoever refused it says so better.
        parted = [n for n in wanted if n.op_type in PARTS and n.op_type != "Gather"]
        functions = [n for n in wanted if n.op_type not in PARTS and defined_in_terms_of_others(n.op_type, source)]
        for node in wanted:
            if node.op_type in missing and node not in parted and node not in functions:
                raise _error(node, limits, target, CannotLower(_why_missing(node.op_type, target)))
        if not parted and not functions and not backwards:
            return work
        names = {node.name for node in parted} | backwards
        may_stay = {node.name for node in parted if node.op_type not in missing}

        def choose(node: onnx.NodeProto, names: set[str] = names) -> Rewrite | None:
            return PARTS.get(node.op_type) if node.name in names and not node.domain else None

        _rewrite(work, choose, scope, source, limits, target, tally, may_stay=may_stay)
        if functions:
            work = _expanded(work, functions, tally)
        refused = frozenset()
    remaining = next(n for n in walk.nodes(work.graph) if not n.domain and _lacks(n.op_type, target, limits))
    raise _error(remaining, limits, target, CannotLower("its own definition leads back to it"))


def can_be_taken_apart(op: str, opset: int) -> bool:
    """Whether there is a way, for some nodes at least, to do without an operator of ai.onnx."""
    return op in PARTS or defined_in_terms_of_others(op, opset)


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


def _older(work: onnx.ModelProto, source: int, target: int, limits: Limits, tally: Tally) -> onnx.ModelProto:
    """Write every node as the older opset has it."""
    scope = Scope(work)

    def choose(node: onnx.NodeProto) -> Rewrite | None:
        if node.domain or not changed_between(node.op_type, target, source):
            return None
        return OLDER.get(node.op_type, _as_it_is)

    def fitted(node: onnx.NodeProto) -> None:
        if not node.domain and changed_between(node.op_type, target, source):
            fit(node, scope, target, source)

    _rewrite(work, choose, scope, target, limits, target, tally, fitted)
    for entry in work.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = target
    return work


def _as_it_is(node: onnx.NodeProto, b: Builder) -> None:
    b.keep()


def _without_refused_qdq(work: onnx.ModelProto, limits: Limits, tally: Tally) -> onnx.ModelProto:
    if limits.quantization == "any" or not any(n.op_type in qdq_arithmetic.OPERATORS for n in walk.nodes(work.graph)):
        return work
    scope = Scope(work)
    names = {n.name for n in walk.nodes(work.graph) if qdq_arithmetic.refused(n, scope, limits.quantization)}
    unread = qdq_arithmetic.codes_as_numbers(work.graph, names)

    def choose(node: onnx.NodeProto) -> Rewrite | None:
        if node.name not in names:
            return None
        write = qdq_arithmetic.quantize if node.op_type == "QuantizeLinear" else qdq_arithmetic.dequantize
        return lambda n, b: write(n, b, unread)

    _rewrite(work, choose, scope, opset_of(work), limits, limits.opset, tally)
    return work


def _rewrite(
    work: onnx.ModelProto,
    choose: Choose,
    scope: Scope,
    opset: int,
    limits: Limits,
    target: int,
    tally: Tally,
    fitted: Callable[[onnx.NodeProto], None] = lambda node: None,
    may_stay: Collection[str] = (),
) -> None:
    """Put what `choose` says in the place of nodes, bodies first, in place; what only sheds defaults is not counted."""
    made: list[onnx.TensorProto] = []

    def within(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for body in walk.bodies(node):
                within(body)
        nodes: list[onnx.NodeProto] = []
        touched = False
        for node in graph.node:
            rewrite = choose(node)
            if rewrite is None:
                nodes.append(node)
                continue
            b = Builder(node, scope, opset, opset_of(work))
            try:
                rewrite(node, b)
                for written in b.nodes:
                    fitted(written)
            except CannotLower as exc:
                if node.name in may_stay:
                    nodes.append(node)
                    continue
                raise _error(node, limits, target, exc) from exc
            touched = True
            same = len(b.nodes) == 1 and b.nodes[0].op_type == node.op_type and not b.initializers
            if not same or list(b.nodes[0].input) != [name for name in node.input if name or not same]:
                tally.node(node.name)
            nodes += b.nodes
            made.extend(b.initializers)
        if touched:
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            del graph.node[:]
            graph.node.extend(copies)

    within(work.graph)
    work.graph.initializer.extend(made)


def _finished(work: onnx.ModelProto) -> onnx.ModelProto:
    """Sorted, without constants that nothing reads, with the shapes of what is there now."""
    result = stamp_ir(order(work))
    scope = Scope(result)
    named = {value.name for value in (*result.graph.input, *result.graph.output)}
    del result.graph.value_info[:]
    made = (name for node in result.graph.node for name in node.output if name and name not in named)
    result.graph.value_info.extend(scope.values[name] for name in made if name in scope.values)
    result.producer_name = "coachc"
    return result


def _error(node: onnx.NodeProto, limits: Limits, target: int, exc: CannotLower) -> ModelError:
    return ModelError(
        f"{walk.label(node)} cannot be written for {limits.name}: {exc.reason}",
        context=(f"expected     operators of opset {target}, the newest that {limits.name} takes",),
        hint=exc.remedy or f"export the model with opset {target}, or replace the operator",
    )
