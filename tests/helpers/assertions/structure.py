"""How values are made, reshaped and cut, on both sides of what is asserted of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.onnx_models import constant, info, op, random_weight

X = info("x", (2, 4))


def made(opset: int = 13, **value: object) -> onnx.ModelProto:
    """`x` and what a Constant node makes, put together."""
    node = helper.make_node("Constant", [], ["c"], name="c", **value)
    kind = onnx.TensorProto.FLOAT if {"value", "sparse_value", "value_float"} & set(value) else onnx.TensorProto.INT64
    return whole([node, op("Cast", "x", "v", to=kind), op("Add", "v c", "y", name="n")], [X], ["y"], opset=opset)


def made_inside(**value: object) -> onnx.ModelProto:
    """The same in a branch of an If."""
    node = helper.make_node("Constant", [], ["k"], name="k", **value)
    nodes = [node, op("Cast", "k", "f", to=onnx.TensorProto.FLOAT), op("Add", "x f", "t")]
    branches = {
        "then_branch": helper.make_graph(nodes, "then", [], [info("t", (2, 4))]),
        "else_branch": helper.make_graph([op("Neg", "x", "e")], "else", [], [info("e", (2, 4))]),
    }
    return whole([op("If", "c", "y", name="n", **branches)], [X, info("c", (), "bool")], ["y"])


def sparse() -> onnx.SparseTensorProto:
    values = helper.make_tensor("", onnx.TensorProto.FLOAT, [2], [1.5, 2.5])
    places = helper.make_tensor("", onnx.TensorProto.INT64, [2], [1, 3])
    return helper.make_sparse_tensor(values, places, [4])


def with_output(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> onnx.ModelProto:
    """A model whose only output is as inference cannot tell."""
    del model.graph.output[:]
    model.graph.output.append(value)
    return model


def flatten(shape: Sequence[int], axis: int, kind: str = "float32") -> onnx.ModelProto:
    nodes = [op("Identity", "x", "v"), op("Flatten", "v", "w", name="n", axis=axis), op("Identity", "w", "y")]
    return whole(nodes, [info("x", shape, kind)], ["y"])


def passed(node: onnx.NodeProto, *, first: bool = True, shown: Sequence[str] = ()) -> onnx.ModelProto:
    """A node that reads the input `x`, or `v` that is made of it; `shown` are outputs beside `y`."""
    nodes = [node] if first else [op("Relu", "x", "v"), node]
    return whole([*nodes, op("Relu", "w", "y")], [X], ["y", *shown])


def cut(
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] = (),
    steps: Sequence[int] = (),
    *,
    shape: Sequence[int] = (4, 3),
    kind: str = "float32",
) -> onnx.ModelProto:
    lists = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    weights = [constant(name, np.array(list(value), np.int64)) for name, value in lists.items() if value]
    inputs = " ".join(["x", *(one.name for one in weights)])
    return one("Slice", inputs, x=(shape, kind), weights=weights)


def reshape_to(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """`x` reshaped by "s", which some nodes make of the input `k` of two integers."""
    weights = [constant("two", np.array([2], np.int64)), constant("half", np.float32(0.5))]
    inputs = [X, info("k", (2,), "int64")]
    model = whole([*nodes, op("Reshape", "x s", "y", name="n")], inputs, [], weights)
    return with_output(model, info("y", ("a", "b")))


def from_shape(op_type: str, size: object = "one") -> onnx.ModelProto:
    """Axes that follow from a shape, which is known if `size` is a number."""
    nodes = [op("Shape", "z", "d"), op("Gather", "d first", "a", axis=0), op(op_type, "x a", "y", name="n")]
    weights = [constant("first", np.array([0], np.int64))]
    given = info("x", (1, 2, 4)), info("z", (size, 4))
    model = whole(nodes, given, [], weights)
    return with_output(model, info("y", ("a", "b") if op_type == "Squeeze" else ("a", "b", "c", "d")))


def with_axes(op_type: str, axes: Sequence[int] | None, shape: Sequence[object] = (1, 2, 1)) -> onnx.ModelProto:
    """Axes that are constant, or the input `a` of one number."""
    weights = [] if axes is None else [constant("a", np.array(list(axes), np.int64))]
    inputs = [info("x", shape)] + ([info("a", (1,), "int64")] if axes is None else [])
    model = whole([op(op_type, "x a", "y", name="n")], inputs, ["y"] if axes is not None else [], weights)
    if axes is None:
        rank = len(shape) + (1 if op_type == "Unsqueeze" else -1)
        return with_output(model, info("y", [f"d{place}" for place in range(rank)]))
    return model


def squeeze(shape: Sequence[object], axes: Sequence[int] = ()) -> onnx.ModelProto:
    weights = [constant("a", np.array(list(axes), np.int64))] if axes else []
    model = whole([op("Squeeze", "x a" if axes else "x", "y", name="n")], [info("x", shape)], [], weights)
    left = [size for place, size in enumerate(shape) if (place not in axes if axes else size != 1)]
    return with_output(model, info("y", left))


def transposed(kind: str, *shape: int) -> onnx.ModelProto:
    """A constant that is transposed in the graph, and added to an input."""
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    nodes = [op("Transpose", "c", "t", name="n"), op("Add" if kind != "bool" else "And", "x t", "y")]
    return whole(nodes, [info("x", shape[::-1], kind)], ["y"], [constant("c", array)])


def slice_axes(constant_axes: bool) -> onnx.ModelProto:
    weights = [constant("s", np.array([1], np.int64)), constant("e", np.array([2], np.int64))]
    if constant_axes:
        return one("Slice", "x s e a", x=((2, 4), "float32"), weights=[*weights, constant("a", [0])])
    return one("Slice", "x s e a", x=((2, 4), "float32"), more=[info("a", (1,), "int64")], weights=weights)


def stft(inputs: str, *, parts: int = 1, **more: onnx.ValueInfoProto) -> onnx.ModelProto:
    weights = [
        constant("step", np.int64(4)),
        constant("window", np.hanning(8).astype("f")),
        constant("length", np.int64(8)),
    ]
    used = [one for one in weights if one.name in inputs.split() and one.name not in more]
    onesided = 1 if parts == 1 else 0
    x = (1, 32, parts), "float32"
    model = one("STFT", inputs, x=x, more=list(more.values()), weights=used, opset=17, onesided=onesided)
    return with_output(model, info("y", (1, "frames", "bins", 2)))


def attention(**attributes: object) -> onnx.ModelProto:
    more = [info(name, (1, 2, 4, 8)) for name in "kv"]
    return one("Attention", "x k v", x=((1, 2, 4, 8), "float32"), more=more, opset=23, **attributes)


def reverse(x: Sequence[object], lengths: object) -> onnx.ModelProto:
    return one("ReverseSequence", "x n", x=(x, "float32"), more=[info("n", (lengths,), "int64")])


NO_AXES = constant("a", np.zeros(0, np.int64))
SHAPE_OF = [op("Shape", "x", "s")]
ROUNDED = [op("Cast", "k", "f", to=1), op("Mul", "f half", "g"), op("Cast", "g", "s", to=7)]
SOFTMAX = [op("Cast", "k", "f", to=1), op("Softmax", "f", "g"), op("Cast", "g", "s", to=7)]
ABS = [op("Abs", "k", "s")]
SUMMED = [op("Add", "k two", "s")]

#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "constant-kinds": Sides(
        taken=(made(value=constant("", np.ones(4, "f"))), made(value_float=1.5)),
        refused=(made(sparse_value=sparse()),),
    ),
    "constant-integers": Sides(
        taken=(made(value=constant("", np.ones(4, "f"))), made(value_float=1.5)),
        refused=(
            made(value_int=3),
            made(value_ints=[1, 2, 3, 4]),
            made_inside(value_int=3),
            made_inside(value_ints=[1, 2, 3, 4]),
        ),
    ),
    "shape-length": Sides(
        taken=(one("ConstantOfShape", x=((2,), "int64")),),
        refused=(
            whole(
                [op("ConstantOfShape", "x", "v", name="n"), op("Size", "v", "y")], [info("x", ("n",), "int64")], ["y"]
            ),
        ),
    ),
    "empty-constants": Sides(
        taken=(one("Concat", "x w", x=((2, 4), "float32"), weights=[random_weight("w", 3, 4)], axis=0),),
        refused=(
            one("Concat", "x w", x=((2, 4), "float32"), weights=[constant("w", np.zeros((0, 4), "f"))], axis=0),
            one("Concat", "w x w", x=((2, 4), "int32"), weights=[constant("w", np.zeros((2, 0), "i"))], axis=1),
            whole([op("ConstantOfShape", "a", "v", name="n"), op("Add", "x v", "y")], [X], ["y"], [NO_AXES]),
        ),
    ),
    "expand-rank": Sides(
        taken=(one("Expand", "x a", x=((1, 4), "float32"), weights=[constant("a", np.array([2, 4]))]),),
        refused=(one("Expand", "x a", x=((1, 4), "float32"), weights=[NO_AXES]),),
    ),
    "expand-zero": Sides(
        taken=(one("Expand", "x a", x=((1, 4), "float32"), weights=[constant("a", np.array([2, 1]))]),),
        refused=(one("Expand", "x a", x=((1, 4), "float32"), weights=[constant("a", np.array([0, 1]))]),),
    ),
    "flatten-kept": Sides(
        taken=(flatten((2, 4), 1), flatten((2, 4), -1), flatten((2, 3, 4), 0)),
        refused=(
            flatten((2, 4), 0),
            flatten((2, 4), 2),
            flatten((4,), 0),
            flatten((4,), 1),
            flatten((2, 4), 0, "int32"),
        ),
    ),
    "passed-on": Sides(
        taken=(
            passed(op("Transpose", "x", "w", name="n", perm=[1, 0])),
            passed(op("Transpose", "v", "w", name="n", perm=[0, 1]), first=False),
            passed(op("Flatten", "v", "w", name="n"), first=False),
            passed(op("Dropout", "x", "w", name="n")),
        ),
        refused=(
            passed(op("Transpose", "x", "w", name="n", perm=[0, 1])),
            passed(op("Flatten", "x", "w", name="n")),
            passed(op("Flatten", "v", "w", name="n"), first=False, shown=["v"]),
            passed(op("Dropout", "x", "w m", name="n"), shown=["m"]),
        ),
    ),
    "shape-window": Sides(
        taken=(one("Shape", opset=15), one("Shape", opset=15, start=0)),
        refused=(one("Shape", opset=15, start=1), one("Shape", opset=15, end=2), one("Shape", opset=15, start=-2)),
    ),
    "slice-starts": Sides(
        taken=(cut([1, 0], [3, 3]), cut([1], [3], [0])),
        refused=(cut([1], [3]), cut([1], [3], kind="int32"), cut([0, 1], [2, 3], shape=(4, 3, 2))),
    ),
    "slice-order": Sides(
        taken=(cut([1], [3], [0]), cut([3], [0], [0], [-1]), cut([1], [99], [0]), cut([2], [2], [0])),
        refused=(cut([3], [1], [0]), cut([-1], [1], [1]), cut([0], [2], [0], [-1])),
    ),
    "squeeze-static": Sides(
        taken=(squeeze((2, 1, 3)), squeeze(("n", 1, 3), [1])),
        refused=(squeeze(("n", 1, 3)),),
    ),
    "squeeze-axes": Sides(
        taken=(with_axes("Squeeze", [0]), with_axes("Unsqueeze", [0])),
        refused=(with_axes("Squeeze", None), with_axes("Unsqueeze", None), from_shape("Squeeze", 0)),
    ),
    "squeeze-axes-built": Sides(
        taken=(with_axes("Squeeze", [0]), with_axes("Unsqueeze", [0]), from_shape("Unsqueeze", 1)),
        refused=(with_axes("Squeeze", None), with_axes("Unsqueeze", None), from_shape("Squeeze")),
    ),
    "unsqueeze-axes-empty": Sides(
        taken=(with_axes("Unsqueeze", [0]),),
        refused=(with_axes("Unsqueeze", []),),
    ),
    "slice-axes": Sides(taken=(slice_axes(True), cut([1, 0], [3, 3])), refused=(slice_axes(False),)),
    "transposed-constant": Sides(
        taken=(transposed("float32", 2, 3), transposed("float16", 2, 3, 2, 2)),
        refused=(transposed("int32", 2, 3), transposed("float32", 2, 3, 2, 2, 2), transposed("bool", 2, 3)),
    ),
    "shape-layers": Sides(
        taken=(reshape_to(*SHAPE_OF), reshape_to(*SUMMED)), refused=(reshape_to(*ABS), reshape_to(*SOFTMAX))
    ),
    "shape-casts": Sides(taken=(reshape_to(*SHAPE_OF), reshape_to(*SUMMED)), refused=(reshape_to(*ROUNDED),)),
    "reverse-static": Sides(
        taken=(reverse((5, 2), 2), reverse(("t", 2), 2)),
        refused=(reverse((5, "n"), "n"),),
    ),
    "stft-parameters": Sides(
        taken=(stft("x step window"), stft("x step _ length")),
        refused=(
            stft("x step window", window=info("window", (8,))),
            stft("x step window", step=info("step", (), "int64")),
        ),
    ),
    "stft-real": Sides(taken=(stft("x step window"),), refused=(stft("x step window", parts=2),)),
    "stft-length": Sides(taken=(stft("x step window"), stft("x step _ length")), refused=(stft("x step"),)),
    "attention-precision": Sides(taken=(attention(),), refused=(attention(softmax_precision=1),)),
}
