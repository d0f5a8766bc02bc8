"""Running the halves of a split as the two machines would, and the models that the tests of a cut share."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from coachc.frontend import ort
from models import synthetic
from tests.helpers.onnx_models import constant, info, net, op, random_weight

GRAPHS = {
    "chain": synthetic.chain,
    "diamond": synthetic.diamond,
    "residual": synthetic.residual,
    "inception": synthetic.inception,
    "dense": synthetic.dense,
    "nested": synthetic.nested,
    "two_inputs": synthetic.two_inputs,
    "two_outputs": synthetic.two_outputs,
}


def run_halves(head: onnx.ModelProto, tail: onnx.ModelProto, feed, *, level="disabled"):
    """What both halves make, boundary values included, when the tail gets all its inputs from the head."""
    made = ort.run(head, {item.name: feed[item.name] for item in head.graph.input}, level=level)
    crossing = {}
    for item in tail.graph.input:
        array = made[item.name]
        wanted = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        crossing[item.name] = array.astype(wanted) if array.dtype == np.int32 and wanted == np.uint8 else array
    return made | ort.run(tail, crossing, level=level)


def same_bits(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


def captured_in_if() -> onnx.ModelProto:
    """Both branches of an If read `c` from outside, and one of them reads the graph input too."""

    def branch(name, *nodes):
        return helper.make_graph(list(nodes), name, [], [info(nodes[-1].output[0], (1, 4, 8, 8))])

    nodes = [
        op("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        op("ReduceMax", "x", "top", keepdims=0),
        op("Greater", "top zero", "cond"),
        op(
            "If", "cond", "i",
            then_branch=branch("then", op("Add", "c x", "t")), else_branch=branch("else", op("Neg", "c", "e")),
        ),
        op("Conv", "i w", "y", pads=[1, 1, 1, 1]),
    ]  # fmt: skip
    return net(
        nodes, ["x"], [info("y", (1, 4, 8, 8))], [random_weight("w", 4, 4, 3, 3), constant("zero", np.float32(0))]
    )


def integers_between() -> onnx.ModelProto:
    """An index tensor crosses beside a float one: ArgMax picks rows of a table."""
    nodes = [
        op("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        op("GlobalAveragePool", "c", "g"),
        op("Flatten", "g", "f"),
        op("ArgMax", "f", "i", axis=1, keepdims=0),
        op("Gather", "table i", "rows"),
        op("Add", "rows f", "y"),
    ]
    return net(nodes, ["x"], [info("y", (1, 4))], [random_weight("w", 4, 4, 3, 3), random_weight("table", 4, 4)])


def output_that_crosses() -> onnx.ModelProto:
    """`c` is a model output, and two later operators read it."""
    nodes = [
        op("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        op("MaxPool", "c", "p", kernel_shape=[2, 2]),
        op("Softmax", "c", "s", axis=1),
        op("GlobalAveragePool", "s", "y"),
    ]
    return net(nodes, ["x"], ["c", "p", "y"], [random_weight("w", 4, 4, 3, 3)])


def input_on_both_sides() -> onnx.ModelProto:
    """The graph input is needed again at the end; one weight is used on both sides."""
    nodes = [
        op("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        op("MaxPool", "a", "b", kernel_shape=[1, 1]),
        op("Conv", "b w", "c", pads=[1, 1, 1, 1]),
        op("Concat", "c x", "y", axis=1),
    ]
    return net(nodes, ["x"], ["y"], [random_weight("w", 4, 4, 3, 3)])


def passing(dtype="float32", shape=(1, 4096)) -> onnx.ModelProto:
    """Two operators that let every value pass unchanged: `x` -> `v` -> `y`."""
    nodes = [op("Transpose", "x", "v", perm=[1, 0]), op("Transpose", "v", "y", perm=[1, 0])]
    return net(nodes, [info("x", shape, dtype)], [info("y", shape, dtype)])


ODD = {
    "captured_in_if": captured_in_if,
    "integers_between": integers_between,
    "output_that_crosses": output_that_crosses,
    "input_on_both_sides": input_on_both_sides,
}
