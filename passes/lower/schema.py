"""ONNX's own table of operators, asked one question: does this node mean the same at an older opset?"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from coachc.frontend import walk
from coachc.passes.lower.builder import CannotLower
from coachc.passes.lower.scope import Scope

_KINDS = {entry.number: entry.name.lower() for entry in TensorProto.DataType.DESCRIPTOR.values}


def schema_of(op: str, opset: int) -> onnx.defs.OpSchema | None:
    """The definition of an operator of ai.onnx in force at an opset; None if there is none."""
    try:
        found = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None
    return None if found.deprecated else found


def since(op: str, opset: int) -> int:
    """The opset that brought the definition in force; 0 if there is none."""
    found = schema_of(op, opset)
    return found.since_version if found is not None else 0


def changed_between(op: str, low: int, high: int) -> bool:
    """Whether an operator has another definition at opset `high` than at `low`."""
    return since(op, low) != since(op, high)


def fit(node: onnx.NodeProto, scope: Scope, low: int, high: int) -> None:
    """Drop attributes that the older definition lacks, in place, where they say what it does anyway.

    Parameters
    ----------
    node : onnx.NodeProto
        Of opset `high`.
    scope : Scope
    low, high : int

    Raises
    ------
    CannotLower
        An attribute, an input or a type has no counterpart at opset `low`.
    """
    old, new = schema_of(node.op_type, low), schema_of(node.op_type, high)
    assert old is not None, node.op_type
    defaults = new.attributes if new is not None else {}
    for index in reversed(range(len(node.attribute))):
        entry = node.attribute[index]
        if entry.name in old.attributes:
            continue
        default = defaults[entry.name].default_value if entry.name in defaults else None
        value = helper.get_attribute_value(entry)
        plain = default is not None and default.name and helper.get_attribute_value(default) == value
        if not plain and value not in (0, b"", [], None):
            shown = value.decode() if isinstance(value, bytes) else value
            raise CannotLower(f"attribute {entry.name} = {shown} has no counterpart at opset {low}")
        if not plain and default is not None and default.name:
            raise CannotLower(f"attribute {entry.name} = {value} has no counterpart at opset {low}")
        del node.attribute[index]
    _check_ends(node, scope, old, low)


def _check_ends(node: onnx.NodeProto, scope: Scope, old: onnx.defs.OpSchema, low: int) -> None:
    while node.input and not node.input[-1]:
        del node.input[-1]
    while node.output and not node.output[-1]:
        del node.output[-1]
    if not old.min_input <= len(node.input) <= old.max_input:
        raise CannotLower(f"it has {len(node.input)} inputs, of which opset {low} takes up to {old.max_input}")
    if len(node.output) > old.max_output:
        raise CannotLower(f"it has {len(node.output)} outputs, of which opset {low} gives up to {old.max_output}")
    allowed = {item.type_param_str: frozenset(item.allowed_type_strs) for item in old.type_constraints}
    bound: dict[str, int] = {}
    for names, formals in ((node.input, old.inputs), (node.output, old.outputs)):
        for index, name in enumerate(names):
            element = scope.element(name) if name else TensorProto.UNDEFINED
            if element == TensorProto.UNDEFINED:  # absent, or no tensor: ONNX's checker has the last word
                continue
            formal = formals[min(index, len(formals) - 1)]
            kinds = allowed.get(formal.type_str, frozenset([formal.type_str]))
            if f"tensor({_KINDS[element]})" not in kinds:
                raise CannotLower(
                    f"'{name}' is {_KINDS[element]}, which {node.op_type} does not take at opset {low}",
                    "export the model with float32 numbers",
                )
            one_type = formal.type_str in allowed and formal.is_homogeneous
            if one_type and bound.setdefault(formal.type_str, element) != element:
                raise CannotLower(f"'{name}' has another type than the input it must equal at opset {low}")


def defined_in_terms_of_others(op: str, opset: int) -> bool:
    """Whether ONNX defines the operator as a function of others."""
    # onnx's stubs do not list these two.
    found: Any = schema_of(op, opset)
    return found is not None and bool(found.has_function or found.has_context_dependent_function)


def label(node: onnx.NodeProto) -> str:
    return walk.label(node)
