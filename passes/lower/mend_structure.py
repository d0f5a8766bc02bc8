"""Views, slices and constants as a parser takes them that refuses how they are written.

Each is exact, and is called only for nodes that break the limit it is listed by. Names, control flow and recurrent
layers have files of their own.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from coachc.passes.lower import mend_conditionals, mend_loops, mend_names, mend_recurrent, views
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite


def integers_as_tensor(node: onnx.NodeProto, b: Builder) -> None:
    """A constant of integers as a tensor."""
    single = b.attribute("value_int")
    value = np.array(b.attribute("value_ints") if single is None else single, np.int64)
    b.end("Constant", [], value=numpy_helper.from_array(value))


def reshaped(node: onnx.NodeProto, b: Builder) -> None:
    """A Reshape to the shape that is made."""
    b.end_reshape(b.input(0), b.shape(node.output[0]))


def handed_on(node: onnx.NodeProto, b: Builder) -> None:
    """What changes nothing, as a node that makes a value of its own."""
    b.end("Identity", [b.input(0)])


def dropout_handed_on(node: onnx.NodeProto, b: Builder) -> None:
    """A Dropout that drops nothing: its input, and a mask of trues."""
    b.nodes.append(onnx.helper.make_node("Identity", [b.input(0)], [node.output[0]], name=b.value("Identity")))
    if len(node.output) > 1 and node.output[1]:
        mask = b.constant(np.ones(b.shape(b.input(0)), np.bool_), "mask")
        b.nodes.append(onnx.helper.make_node("Identity", [mask], [node.output[1]], name=b.value("Identity")))
    b.nodes[-1].name = node.name


def slice_of_nothing(node: onnx.NodeProto, b: Builder) -> None:
    """Bounds that lie the wrong way round end where they start: either way nothing is left."""
    made, shape = b.shape(node.output[0]), b.shape(b.input(0))
    starts = b.array(b.input(1), "starts")
    axes = b.array(b.input(3), "axes") if b.input(3) else np.arange(starts.size)
    steps = b.array(b.input(4), "steps") if b.input(4) else np.ones(starts.size, np.int64)
    ends = b.array(b.input(2), "ends").copy()
    first = starts.copy()
    for place, axis in enumerate(axes):
        if made[int(axis)] == 0 and shape[int(axis)] != 0:
            first[place], ends[place] = 0, 0
            steps = np.where(np.arange(steps.size) == place, 1, steps).astype(steps.dtype)
    written = [b.constant(values, hint) for values, hint in ((first, "starts"), (ends, "ends"))]
    tail = [b.constant(np.asarray(axes, starts.dtype), "axes"), b.constant(steps.astype(starts.dtype), "steps")]
    b.end("Slice", [b.input(0), *written, *tail])


def concat_of_some(node: onnx.NodeProto, b: Builder) -> None:
    """A Concat without what has no elements."""
    axis = b.attribute("axis")
    kept = [name for name in node.input if not _is_empty(name, b)]
    if not kept:
        raise CannotLower("all that it puts together is empty", "leave the node out")
    if len(kept) == 1:
        b.end("Identity", kept)
    else:
        b.end("Concat", kept, axis=axis)


def _is_empty(name: str, b: Builder) -> bool:
    array = b.scope.array(name)
    return array is not None and not array.size


def number_of_shape(node: onnx.NodeProto, b: Builder) -> None:
    """A ConstantOfShape of no axes: a number."""
    if b.shape(node.output[0]):
        raise CannotLower("its shape has elements after all", "fold constants before export")
    value = b.attribute("value")
    b.become(np.zeros((), np.float32) if value is None else numpy_helper.to_array(value).reshape(()))


def transposed(node: onnx.NodeProto, b: Builder) -> None:
    """A constant as it is transposed."""
    array = b.array(b.input(0), "elements")
    b.become(np.ascontiguousarray(np.transpose(array, b.attribute("perm"))))


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    **mend_names.MENDS,
    **mend_conditionals.MENDS,
    **mend_loops.MENDS,
    **mend_recurrent.MENDS,
    "Concat/empty-constants": concat_of_some,
    "Constant/constant-integers": integers_as_tensor,
    "ConstantOfShape/empty-constants": number_of_shape,
    "Dropout/passed-on": dropout_handed_on,
    "Expand/expand-rank": handed_on,
    "Flatten/flatten-kept": reshaped,
    "Flatten/passed-on": reshaped,
    "Shape/shape-window": views.shape_without_window,
    "Slice/slice-order": slice_of_nothing,
    "Slice/slice-starts": mend_names.slice_axes_written,
    "Transpose/passed-on": handed_on,
    "Transpose/transposed-constant": transposed,
    "Unsqueeze/unsqueeze-axes-empty": handed_on,
}
