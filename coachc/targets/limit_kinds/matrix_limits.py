"""Checks of matrix products: Gemm, MatMul and Einsum."""

from __future__ import annotations

import onnx

from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check


def _is_dense(node: onnx.NodeProto, facts: Facts) -> bool:
    """Whether TensorRT 8.2 takes a Gemm for a fully connected layer: a constant B, no factors, C a constant vector."""
    constant = [name in facts.initializers for name in node.input]
    factors = [facts.attribute(node, name) for name in ("alpha", "beta")]
    if constant[0] or not constant[1] or factors != [1.0, 1.0]:
        return False
    return len(constant) < 3 or (constant[2] and len(facts.shapes.get(node.input[2], ())) == 1)


def _dense_bias(node: onnx.NodeProto, facts: Facts) -> str:
    return "no C" if _is_dense(node, facts) and len(node.input) < 3 else ""


def _dense_transposed(node: onnx.NodeProto, facts: Facts) -> str:
    return "transA 1" if facts.attribute(node, "transA") and _is_dense(node, facts) else ""


def _dense_bias_size(node: onnx.NodeProto, facts: Facts) -> str:
    if len(node.input) < 3 or not _is_dense(node, facts):
        return ""
    columns = facts.shapes[node.input[1]][0 if facts.attribute(node, "transB") else 1]
    found = facts.shapes[node.input[2]][0]
    return "" if found == columns else f"{found} for {columns} columns"


def _column(node: onnx.NodeProto, facts: Facts) -> str:
    """A of one column where a matrix product is made of the node."""
    shape = facts.shapes.get(node.input[0], ())
    return "" if not shape or shape[-1] != 1 or _is_dense(node, facts) else f"A of sizes {list(shape)}"


def _vector_by_batch(node: onnx.NodeProto, facts: Facts) -> str:
    one, other = (facts.shapes.get(node.input[index], ()) for index in (0, 1))
    return f"a vector by {list(other)}" if len(one) == 1 and any(size != 1 for size in other[:-2]) else ""


def _operands(node: onnx.NodeProto, facts: Facts, at_most: int) -> str:
    return f"{len(node.input)} operands" if len(node.input) > at_most else ""


def _distinct_letters(node: onnx.NodeProto, facts: Facts) -> str:
    """No letter twice in a term, and of one size wherever it is; an ellipsis may be."""
    equation = facts.attribute(node, "equation")
    if not isinstance(equation, str):
        return ""
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=False):
        shape = facts.shapes.get(name, ())
        before, _, after = term.partition("...")
        named = [*zip(before, shape, strict=False), *zip(after[::-1], shape[::-1], strict=False)]
        if len(set(before + after)) < len(before + after):
            return f"'{equation}'"
        if any(size is not None and sizes.setdefault(letter, size) != size for letter, size in named):
            return f"'{equation}'"
    return ""


def _small_letters(node: onnx.NodeProto, facts: Facts) -> str:
    equation = facts.attribute(node, "equation")
    return f"'{equation}'" if isinstance(equation, str) and equation != equation.lower() else ""


#: By the name that TOML gives it.
CHECKS: dict[str, Check] = {
    "dense_bias": Check(_dense_bias, {}),
    "dense_transposed": Check(_dense_transposed, {}),
    "dense_bias_size": Check(_dense_bias_size, {}),
    "column": Check(_column, {}),
    "vector_by_batch": Check(_vector_by_batch, {}),
    "distinct_letters": Check(_distinct_letters, {}),
    "operands": Check(_operands, {"at_most": int}),
    "small_letters": Check(_small_letters, {}),
}
