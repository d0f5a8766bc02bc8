"""Einsum of one or two operands as Transpose, ReduceSum and MatMul."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from coachc.passes.lower.builder import Builder, CannotLower, elements

_REMEDY = "write it with matmul and permute, then export again"


def as_matmul(node: onnx.NodeProto, b: Builder) -> None:
    """Letters in both operands and the result are batches, those in both operands only are summed by MatMul."""
    equation = re.sub(r"\s", "", b.attribute("equation"))
    if "." in equation:
        raise CannotLower(f"its equation '{equation}' has an ellipsis", _REMEDY)
    left, _, out = equation.partition("->")
    terms = left.split(",")
    if "->" not in equation:
        out = "".join(sorted(letter for letter in set("".join(terms)) if "".join(terms).count(letter) == 1))
    if len(terms) > 2 or any(len(set(term)) < len(term) for term in (*terms, out)):
        raise CannotLower(f"its equation '{equation}' repeats a letter or has more than two operands", _REMEDY)
    sizes = {
        letter: size
        for term, name in zip(terms, node.input, strict=True)
        for letter, size in zip(term, b.shape(name), strict=True)
        if size != 1
    }
    for term in terms:
        for letter in term:
            sizes.setdefault(letter, 1)
    operands = [
        _summed(b, name, term, set(out).union(*[t for t in terms if t is not term]))
        for name, term in zip(node.input, terms, strict=True)
    ]
    if len(operands) == 1:
        name, term = operands[0]
        _end_in_order(b, name, term, out)
        return
    (x, one), (y, other) = operands
    for name, term in zip(node.input, terms, strict=True):
        if any(size != sizes[letter] for letter, size in zip(term, b.shape(name), strict=True)):
            raise CannotLower(f"its equation '{equation}' broadcasts a size of 1", _REMEDY)
    batch = [letter for letter in out if letter in one and letter in other]
    summed = [letter for letter in one if letter in other and letter not in out]
    rows = [letter for letter in out if letter in one and letter not in other]
    columns = [letter for letter in out if letter in other and letter not in one]

    def folded(name: str, term: str, groups: Sequence[Sequence[str]]) -> str:
        order = [letter for group in groups for letter in group]
        turned = name if order == list(term) else b.add("Transpose", [name], perm=[term.index(i) for i in order])
        return b.reshape(turned, [elements([sizes[i] for i in group]) for group in groups])

    product = b.add("MatMul", [folded(x, one, (batch, rows, summed)), folded(y, other, (batch, summed, columns))])
    made = [*batch, *rows, *columns]
    shaped = b.reshape(product, [sizes[letter] for letter in made])
    _end_in_order(b, shaped, made, out)


def _summed(b: Builder, name: str, term: str, needed: set[str]) -> tuple[str, str]:
    """The operand without the letters that appear nowhere else."""
    axes = [index for index, letter in enumerate(term) if letter not in needed]
    if not axes:
        return name, term
    return b.reduce("ReduceSum", name, axes, keepdims=0), "".join(letter for letter in term if letter in needed)


def _end_in_order(b: Builder, name: str, letters: Sequence[str], out: Sequence[str]) -> None:
    """The axes as the equation has them; a number has none, and no perm can be written for it."""
    if out:
        b.end("Transpose", [name], perm=[letters.index(letter) for letter in out])
    else:
        b.end("Identity", [name])
