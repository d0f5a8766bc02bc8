"""Gemm, MatMul and Einsum as a parser takes them that refuses how they are written.

Each is exact but for the order of sums, and is called only for nodes that break the limit it is listed by.
"""

from __future__ import annotations

import string

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower import einsum
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite, elements
from coachc.passes.lower.writing import numbers, through

#: Numbers that a product of integer matrices may have before its sum.
_MOST_PRODUCTS = 1 << 24


def dense(node: onnx.NodeProto, b: Builder) -> None:
    """A Gemm as a fully connected layer has it: A not turned, and a C with a number for each column."""
    x, weight, bias = (b.input(index) for index in range(3))
    columns = b.shape(weight)[0 if b.attribute("transB", 0) else 1]
    if b.attribute("transA", 0):
        x = b.add("Transpose", [x], perm=[1, 0])
    if not bias:
        bias = b.constant(np.zeros(columns, b.dtype(weight)), "bias")
    elif b.shape(bias) != (columns,):
        bias = b.constant(np.broadcast_to(b.array(bias, "bias"), (columns,)), "bias")
    b.keep(inputs=[x, weight, bias], transA=0)


def by_matmul(node: onnx.NodeProto, b: Builder) -> None:
    """alpha A B + beta C, step by step."""
    x, y, bias = (b.input(index) for index in range(3))
    alpha, beta = (b.attribute(name, 1.0) for name in ("alpha", "beta"))
    steps: list[tuple[str, list[str]]] = [("MatMul", [_turned(b, x, "transA"), _turned(b, y, "transB")])]
    if alpha != 1:
        steps.append(("Mul", [b.number(alpha, x, "alpha")]))
    if bias:
        if beta != 1:
            bias = b.add("Mul", [bias, b.number(beta, x, "beta")])
        steps.append(("Add", [bias]))
    made = ""
    for op, inputs in steps[:-1]:
        made = b.add(op, [*([made] if made else []), *inputs])
    op, inputs = steps[-1]
    b.end(op, [*([made] if made else []), *inputs])


def of_integers(node: onnx.NodeProto, b: Builder) -> None:
    """All products, then their sums along the shared axis."""
    x, y = b.input(0), b.input(1)
    one, other = b.shape(x), b.shape(y)
    rank = max(len(one), len(other)) + 1
    products = elements(np.broadcast_shapes(one[:-2], other[:-2])) * elements(one[-2:]) * (elements(other[-1:]))
    if rank > 8 or products > _MOST_PRODUCTS:
        raise CannotLower(f"it is a product of integers, {products} of them", "cast to float32 before it")
    if len(other) == 1:
        _summed(b, b.add("Mul", [x, y]), -1)
        return
    column = b.add("Unsqueeze", [x, numbers(b, [-1], "axes")])
    row = y if len(one) == 1 else b.add("Unsqueeze", [y, numbers(b, [-3], "axes")])
    _summed(b, b.add("Mul", [column, row]), -2)


def vector_by_batch(node: onnx.NodeProto, b: Builder) -> None:
    """The vector as a matrix of one row, which goes again afterwards."""
    x, y = b.input(0), b.input(1)
    product = b.add("MatMul", [b.add("Unsqueeze", [x, numbers(b, [0], "axes")]), y])
    b.end("Squeeze", [product, numbers(b, [len(b.shape(y)) - 2], "axes")])


def small_letters(node: onnx.NodeProto, b: Builder) -> None:
    """Other letters, and the right side written: what it is by default hangs on the letters."""
    terms, out = _equation(b)
    used = {letter for letter in "".join(terms) if letter.isalpha()}
    free = [letter for letter in string.ascii_lowercase if letter not in used]
    large = sorted(used - set(string.ascii_lowercase))
    if len(large) > len(free):
        raise CannotLower(f"its equation has {len(used)} letters", "use 26 at most")
    renamed = str.maketrans(dict(zip(large, free, strict=False)))
    b.keep(equation=f"{','.join(terms)}->{out}".translate(renamed))


def in_pairs(node: onnx.NodeProto, b: Builder) -> None:
    """The first two operands, then what they make with the next; letters stay as long as they are read."""
    terms, out = _equation(b)
    if any("." in term for term in terms):
        raise CannotLower("its equation has an ellipsis", "write it with matmul and permute, then export again")
    made, letters = node.input[0], terms[0]
    for index in range(1, len(terms) - 1):
        read = set(out).union(*terms[index + 1 :])
        kept = "".join(letter for letter in dict.fromkeys(letters + terms[index]) if letter in read)
        made = b.add("Einsum", [made, node.input[index]], equation=f"{letters},{terms[index]}->{kept}")
        letters = kept
    b.end("Einsum", [made, node.input[-1]], equation=f"{letters},{terms[-1]}->{out}")


def _equation(b: Builder) -> tuple[list[str], str]:
    """The terms of the left side, and the right side, which is sorted by letter where it is not written."""
    left, arrow, out = b.attribute("equation").replace(" ", "").partition("->")
    if not arrow:
        named = left.replace(".", "").replace(",", "")
        dots = "..." if "." in left else ""
        out = dots + "".join(sorted(letter for letter in set(named) if named.count(letter) == 1))
    return left.split(","), out


def _turned(b: Builder, name: str, attribute: str) -> str:
    if not b.attribute(attribute, 0):
        return name
    array = b.scope.array(name)
    return b.add("Transpose", [name], perm=[1, 0]) if array is None else b.constant(array.T.copy(), "turned")


def _summed(b: Builder, name: str, axis: int) -> None:
    b.end("ReduceSum", [name, numbers(b, [axis], "axes")], keepdims=0)


MENDS: dict[str, Rewrite] = {
    "Einsum/einsum-integers": einsum.as_matmul,
    "Einsum/einsum-letters": small_letters,
    "Einsum/einsum-operands": in_pairs,
    "Gemm/gemm-bias-size": dense,
    "Gemm/gemm-column": by_matmul,
    "Gemm/gemm-half-alpha": through(TensorProto.FLOAT),
    "Gemm/gemm-half-beta": through(TensorProto.FLOAT),
    "Gemm/gemm-no-bias": dense,
    "Gemm/gemm-transposed-input": dense,
    "MatMul/matmul-integers": of_integers,
    "MatMul/vector-by-batch": vector_by_batch,
}
