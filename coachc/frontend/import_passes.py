"""The passes of import, in their order, and what holds between them.

Reading the file comes before them (`frontend.read`). Each pass is a function of a file of its own; folding and the
table of values are one pass, because a shape that only a run tells may be what more constants follow from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import onnx

from coachc.core.graph import Value
from coachc.core.plan import Rejected
from coachc.frontend import walk
from coachc.frontend.as_qdq import as_qdq
from coachc.frontend.check_model import check
from coachc.frontend.conditions import (
    CHECKED,
    FOLDED,
    KNOWN_OPERATORS,
    LOWEST_IR,
    NAMED,
    NO_FUNCTIONS,
    ONE_FORM,
    OPSET_13,
    REPEATABLE,
    SORTED,
    STATIC_INPUTS,
    STATIC_VALUES,
    SUPPORTED_OPSET,
    TENSORS,
    WEIGHTS_INLINE,
)
from coachc.frontend.decide_branches import decide_branches
from coachc.frontend.fold import fold_constants
from coachc.frontend.legacy_operators import write_legacy
from coachc.frontend.normalize import normalize
from coachc.frontend.opset import check_opset, lift, stamp_ir
from coachc.frontend.order import order
from coachc.frontend.pass_driver import Pass, PassResult, differ, refusing, rewriting
from coachc.frontend.qoperators import FORMS
from coachc.frontend.refuse import refuse_non_tensors, refuse_random, refuse_unknown
from coachc.frontend.shapes import bind_inputs, known_values, static_shape
from coachc.frontend.traced_shapes import hold_shapes
from coachc.frontend.value_table import trace_values

#: What observers are told reading is called.
READ = "read"


def import_passes(
    *, batch: int | None = None, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[Pass, ...]:
    """The passes from a model with its weights inline to the one form that the rest of the compiler handles.

    Parameters
    ----------
    batch, input_shapes
        As `onnx_import.import_model` takes them.
    """
    bind = functools.partial(bind_inputs, batch=batch, input_shapes=input_shapes)
    return (
        Pass("check-opset", refusing(check_opset), requires=(WEIGHTS_INLINE,), ensures=(SUPPORTED_OPSET,)),
        Pass(
            "normalize",
            rewriting(normalize),
            requires=(SUPPORTED_OPSET, WEIGHTS_INLINE),
            ensures=(NO_FUNCTIONS, ONE_FORM, SORTED, NAMED),
        ),
        Pass("write-legacy", rewriting(write_legacy), requires=(SORTED, NAMED, NO_FUNCTIONS)),
        Pass("refuse-types", refusing(refuse_non_tensors), requires=(NO_FUNCTIONS, ONE_FORM), ensures=(TENSORS,)),
        Pass("bind-inputs", rewriting(bind), requires=(ONE_FORM, TENSORS), ensures=(STATIC_INPUTS,)),
        Pass("decide-branches", rewriting(decide_branches), requires=(SORTED, NAMED, STATIC_INPUTS)),
        Pass(
            "refuse-operators",
            refusing(refuse_unknown, refuse_random),
            requires=(NO_FUNCTIONS, ONE_FORM),
            ensures=(KNOWN_OPERATORS, REPEATABLE),
        ),
        Pass(
            "lift",
            rewriting(lift),
            requires=(SUPPORTED_OPSET, ONE_FORM, SORTED, STATIC_INPUTS),
            ensures=(OPSET_13,),
            breaks=(NAMED,),
        ),
        Pass("as-qdq", _as_qdq, requires=(ONE_FORM, SORTED, OPSET_13), breaks=(SORTED, NAMED)),
        Pass("order", rewriting(order), requires=(NO_FUNCTIONS, ONE_FORM), ensures=(SORTED, NAMED)),
        Pass("stamp-ir", rewriting(stamp_ir), requires=(OPSET_13,), ensures=(LOWEST_IR,)),
        Pass(
            "fold",
            _fold,
            requires=(ONE_FORM, SORTED, NAMED, STATIC_INPUTS, OPSET_13),
            ensures=(FOLDED, STATIC_VALUES),
        ),
        Pass(
            "refuse-folded",
            refusing(functools.partial(refuse_random, final=True), refuse_non_tensors),
            requires=(FOLDED,),
            ensures=(REPEATABLE, TENSORS),
        ),
        Pass("check", refusing(check), requires=(SORTED, NAMED, LOWEST_IR, STATIC_VALUES), ensures=(CHECKED,)),
    )


def import_pass_names() -> tuple[str, ...]:
    """What observers of import are told of, in order."""
    return (READ, *(one.name for one in import_passes()))


def fold_and_trace(proto: onnx.ModelProto) -> tuple[dict[str, Value], onnx.ModelProto]:
    """Fold and tabulate; where only a run could tell a shape, fold again what follows from it."""
    hints: list[onnx.ValueInfoProto] = []
    while True:
        folded = order(fold_constants(proto, hints=hints))
        values, traced = trace_values(folded)
        known = known_values(folded)
        found = [
            value
            for name, value in known_values(traced).items()
            if static_shape(value) is not None and (name not in known or static_shape(known[name]) is None)
        ]
        if not found or not any(node.op_type in ("Shape", "Size") for node in folded.graph.node):
            return values, traced
        hints.extend(found)


def _fold(model: onnx.ModelProto) -> PassResult:
    held = model
    while True:
        values, made = fold_and_trace(held)
        held = hold_shapes(made, values)
        if held is made:
            break
    return PassResult(made, differ(made, model), values=values)


def _as_qdq(model: onnx.ModelProto) -> PassResult:
    made = as_qdq(model)
    left = [node for node in made.graph.node if (node.domain, node.op_type) in FORMS]
    rejected = tuple(Rejected(walk.label(node), "it has no form of operators on real numbers") for node in left)
    return PassResult(made, differ(made, model), rejected)
