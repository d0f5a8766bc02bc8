"""Rewrite a model until its target takes it: first what the target lacks, then the forms of the older opset.

Operators are taken apart in the model's own opset, so the model is valid after every pass; only then is each remaining
node written as the older opset has it. ONNX's own converter is not used: from 18 to 17 it leaves attributes that make
the model invalid, and from 18 to 13 it stops at Relu (onnx 1.23.2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx

from coachc.errors import ModelError
from coachc.frontend.check_model import check
from coachc.frontend.conditions import (
    CHECKED,
    LOWEST_IR,
    NAMED,
    NO_FUNCTIONS,
    OPSET_13,
    SORTED,
    STATIC_INPUTS,
    WEIGHTS_INLINE,
)
from coachc.frontend.opset import opset_of, stamp_ir
from coachc.frontend.order import order
from coachc.frontend.pass_driver import Condition, Observer, Pass, held_after, refusing, rewriting, run_passes
from coachc.passes.lower import doubles, mend_models
from coachc.passes.lower.limits import LOWEST_OPSET, Limits, Lowered
from coachc.passes.lower.older_forms import write_older
from coachc.passes.lower.refused_qdq import refused_quantizers, without_refused_qdq
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.scope import Scope
from coachc.passes.lower.take_apart import missing, take_apart

#: What holds of a model that is to be lowered.
GIVEN = (WEIGHTS_INLINE, NO_FUNCTIONS, SORTED, NAMED, STATIC_INPUTS, OPSET_13)


def lower(
    model: onnx.ModelProto,
    limits: Limits,
    *,
    refused: Mapping[str, Collection[str]] | None = None,
    stage: str = "lower",
    observers: Sequence[Observer] = (),
) -> Lowered:
    """Rewrite a model until its target takes it.

    Parameters
    ----------
    model : onnx.ModelProto
        Valid, static shapes, opset 13 at least, every node named.
    limits : Limits
        What the target takes.
    refused : mapping of str to collection of str, optional
        Nodes by name that the target refuses for limits of its own ("Pad/negative"): they are taken apart too where
        that is possible, and stay as they are where it is not. Limits of the whole model are there by their ids alone.
    stage : str
        What observers are told the passes are run for.
    observers : sequence of callable
        Told after each pass. What is to hold between passes is verified then, which takes time.

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
    passes = rewriting_passes(target, limits, refused or {}, tally)
    found = run_passes(passes, model, given=GIVEN, stage=stage, observers=observers)
    if not tally.touched and target == source:
        return Lowered(model, (), source, source)
    given = held_after(passes, GIVEN)
    result = run_passes(CLOSING_PASSES, found.model, given=given, stage=stage, observers=observers).model
    return Lowered(result, tally.counts(), source, target)


def rewriting_passes(
    target: int, limits: Limits, refused: Mapping[str, Collection[str]], tally: Tally
) -> tuple[Pass, ...]:
    """The passes that rewrite nodes.

    Parameters
    ----------
    target : int
        The opset that the model is to have.
    limits : Limits
    refused : mapping of str to collection of str
        As `lower` takes them.
    tally : Tally
        Where what is rewritten is counted.
    """
    no_doubles = Condition("float64 where the target has it", lambda m: "" if limits.float64 else doubles.doubles_in(m))
    quantizers = Condition("quantizers of the target", lambda m: ", ".join(sorted(refused_quantizers(m, limits))))
    operators = Condition("operators of the target", lambda m: ", ".join(sorted(missing(m, target, limits))))
    opset = Condition("opset of the target", lambda m: "" if opset_of(m) <= target else f"it has opset {opset_of(m)}")
    of_models = {limit for found in refused.values() for limit in found if limit in mend_models.MODEL_MENDS}
    of_nodes = {
        name: [limit for limit in found if limit not in of_models]
        for name, found in refused.items()
        if not found or set(found) - of_models
    }
    return (
        Pass(
            "mend-model",
            rewriting(lambda m: mend_models.mend(m, of_models, tally)),
            requires=(WEIGHTS_INLINE, NAMED),
        ),
        Pass(
            "narrow-float64",
            rewriting(lambda m: m if limits.float64 else doubles.narrow(m, limits, tally)),
            requires=(WEIGHTS_INLINE,),
            ensures=(no_doubles,),
        ),
        Pass(
            "write-quantizers",
            rewriting(lambda m: without_refused_qdq(m, limits, tally)),
            requires=(SORTED, NAMED, STATIC_INPUTS),
            ensures=(quantizers,),
        ),
        Pass(
            "take-apart",
            lambda m: take_apart(m, target, limits, of_nodes, tally),
            requires=(SORTED, NAMED, STATIC_INPUTS, OPSET_13, no_doubles, quantizers),
            ensures=(operators,),
        ),
        Pass(
            "write-older-opset",
            rewriting(lambda m: write_older(m, target, limits, tally)),
            requires=(SORTED, NAMED, STATIC_INPUTS, operators),
            ensures=(opset,),
        ),
    )


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


#: What follows where anything was rewritten.
CLOSING_PASSES = (
    Pass("finish", rewriting(_finished), requires=(NO_FUNCTIONS, OPSET_13), ensures=(SORTED, NAMED, LOWEST_IR)),
    Pass("check-lowered", refusing(check), requires=(SORTED, NAMED, LOWEST_IR), ensures=(CHECKED,)),
)


def lowering_pass_names() -> tuple[str, ...]:
    """What observers of lowering are told of, in order."""
    passes = rewriting_passes(LOWEST_OPSET, Limits(), {}, Tally(onnx.ModelProto()))
    return tuple(one.name for one in (*passes, *CLOSING_PASSES))
