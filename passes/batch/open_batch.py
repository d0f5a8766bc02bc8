"""Open the first axis of a model again, from the same model made for one task and for several.

Import makes every size a number, and what followed from the number of tasks a constant: the target of a Reshape, the
rows of a class token. The constants in which both models differ are just those; each is written as what it was before,
or the node that reads it keeps the model from being opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from coachc.frontend import walk
from coachc.frontend.shapes import Shape
from coachc.passes.batch.two_sizes import TASKS, FixedBatch, Growth, growths, same_nodes, shapes_of

#: The open axis, in inputs, outputs and what is known of values between.
AXIS_NAME = "batch"

#: Operators that repeat an input of one row by themselves.
_BROADCASTING = frozenset({
    "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "MatMul", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
})  # fmt: skip
#: Operator -> the input that says a shape or a size along each axis.
_SIZES = {"Expand": 1, "Resize": 3, "Upsample": 1, "Tile": 1, "ConstantOfShape": 0, "Slice": 2}
_END = np.iinfo(np.int64).max


def open_batch(one: onnx.ModelProto, many: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Growth | None]]:
    """A model for any number of tasks.

    Parameters
    ----------
    one, many : onnx.ModelProto
        The same model, static, for one task and for `TASKS`.

    Returns
    -------
    model : onnx.ModelProto
        `one` with constants that followed from the number of tasks written as what they follow from. Axes that grow
        from one row are called `AXIS_NAME`, other sizes that grow are open and have no name.
    growths : dict of str to Growth or None
        How each value of `one` grows; see `two_sizes.growths`.

    Raises
    ------
    FixedBatch
        Something depends on the number of tasks in another way; names the node.
    """
    same_nodes(one, many)
    shapes = shapes_of(one)
    grown = growths(one.graph, shapes, shapes_of(many))
    changed = _changed_constants(one.graph, many.graph)
    result = onnx.ModelProto()
    result.CopyFrom(one)
    del result.graph.node[:]
    for node in one.graph.node:
        captured = [name for name in walk.reads(node) if name in changed and name not in node.input]
        if captured:
            raise FixedBatch(walk.label(node), f"constant '{captured[0]}' in its body follows from the number of tasks")
        written = onnx.NodeProto()
        written.CopyFrom(node)
        for place, name in enumerate(node.input):
            if name in changed:
                opened = _Opened(result.graph, node, place, shapes, grown)
                written.input[place] = opened.constant(*changed[name])
        result.graph.node.append(written)
    read = {name for node in result.graph.node for name in walk.reads(node)}
    kept = [tensor for tensor in result.graph.initializer if tensor.name not in changed or tensor.name in read]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    for value in (*result.graph.input, *result.graph.value_info, *result.graph.output):
        _open_axis(value, grown.get(value.name))
    return result, grown


def _changed_constants(one: onnx.GraphProto, many: onnx.GraphProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    others = {tensor.name: tensor for tensor in many.initializer}
    changed = {}
    for tensor in one.initializer:
        other = others.get(tensor.name)
        if other is None:
            raise FixedBatch("", f"constant '{tensor.name}' is not there for {TASKS} tasks")
        if tensor.SerializeToString(deterministic=True) != other.SerializeToString(deterministic=True):
            changed[tensor.name] = numpy_helper.to_array(tensor), numpy_helper.to_array(other)
    return changed


def _open_axis(value: onnx.ValueInfoProto, growth: Growth | None) -> None:
    if growth is None or not value.type.tensor_type.HasField("shape"):
        return
    dim = value.type.tensor_type.shape.dim[growth.axis]
    dim.Clear()
    if growth.size == 1:
        dim.dim_param = AXIS_NAME


class _Opened:
    """Writes one constant input of one node as what it follows from; nodes and constants are added to `graph`."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        node: onnx.NodeProto,
        place: int,
        shapes: Mapping[str, Shape],
        grown: Mapping[str, Growth | None],
    ) -> None:
        self._graph = graph
        self._node = node
        self._place = place
        self._shapes = shapes
        self._grown = grown

    def constant(self, one: np.ndarray, many: np.ndarray) -> str:
        """The name of the input that takes the place of a constant that is `one` for one task."""
        if self._node.op_type == "Reshape" and self._place == 1:
            return self._reshape(one)
        if _SIZES.get(self._node.op_type) == self._place and one.ndim == 1 and one.shape == many.shape:
            return self._sizes(one, many)
        return self._rows(one, many)

    def _reshape(self, one: np.ndarray) -> str:
        """The target with -1 along the axis that grows."""
        made = self._node.output[0]
        growth, shape = self._grown.get(made), self._shapes.get(made)
        if growth is None or shape is None or 0 in shape:
            raise self._fixed("its target shape follows from the number of tasks")
        target = np.array(shape, one.dtype)
        target[growth.axis] = -1
        return self._add("shape", target)

    def _sizes(self, one: np.ndarray, many: np.ndarray) -> str:
        """A vector with one number that grows: 1 or the end where that says the same, else computed."""
        (places,) = np.nonzero(one != many)
        if len(places) != 1 or many[places[0]] != TASKS * one[places[0]]:
            raise self._fixed(f"it reads {one.tolist()} for one task and {many.tolist()} for {TASKS}")
        place, given = int(places[0]), one.copy()
        of_input = self._grown.get(self._node.input[0])
        if self._node.op_type == "Expand" and of_input is not None:
            given[place] = 1
            return self._add("shape", given)
        if self._node.op_type == "Slice":
            if of_input is None or of_input.size != one[place]:
                raise self._fixed(f"it takes {one.tolist()} of one task and {many.tolist()} of {TASKS}")
            given[place] = _END
            return self._add("ends", given)
        return self._vector(given, place)

    def _rows(self, one: np.ndarray, many: np.ndarray) -> str:
        """A constant that is repeated for each task: one row where the operator broadcasts, else repeated."""
        axes = [axis for axis, (size, other) in enumerate(zip(one.shape, many.shape, strict=False)) if size != other]
        repeated = (
            one.ndim == many.ndim
            and len(axes) == 1
            and one.shape[axes[0]] == 1
            and many.shape[axes[0]] == TASKS
            and np.array_equal(np.repeat(one, TASKS, axes[0]), many, equal_nan=one.dtype.kind == "f")
        )
        if not repeated:
            raise self._fixed("one of its constants follows from the number of tasks")
        row = self._add("row", one)
        if self._node.op_type in _BROADCASTING:
            return row
        shape = self._vector(np.array(one.shape, np.int64), axes[0])
        return self._call("Expand", [row, shape], "rows")

    def _vector(self, sizes: np.ndarray, place: int) -> str:
        """`sizes` with its number at `place` times the number of tasks, read from another input of the node."""
        for name in self._node.input:
            growth = self._grown.get(name)
            if growth is not None and growth.size == sizes[place]:
                break
        else:
            raise self._fixed("none of its inputs tells the number of tasks")
        shape = self._call("Shape", [name], "shape_of")
        ends = [self._add(what, np.array([growth.axis + more])) for what, more in (("from", 0), ("to", 1))]
        parts = [
            self._add(what, part)
            for what, part in (("before", sizes[:place]), ("after", sizes[place + 1 :]))
            if len(part)
        ]
        parts.insert(int(place > 0), self._call("Slice", [shape, *ends], "tasks"))
        return self._call("Concat", parts, "sizes", axis=0) if len(parts) > 1 else parts[0]

    def _add(self, what: str, array: np.ndarray) -> str:
        name = self._name(what)
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _call(self, operator: str, inputs: Sequence[str], what: str, **attributes: Any) -> str:
        name = self._name(what)
        self._graph.node.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def _name(self, what: str) -> str:
        return f"{self._node.name}/{AXIS_NAME}/{self._place}/{what}"

    def _fixed(self, reason: str) -> FixedBatch:
        return FixedBatch(walk.label(self._node), reason)
