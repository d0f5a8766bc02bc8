"""Running the halves of a split as the two machines would, and the models that the tests of a cut share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from coachc.core.graph import Value
from coachc.frontend import ort
from coachc.frontend.model import Model
from coachc.models import synthetic
from tests.helpers.onnx_models import constant, info, net, op, random_weight, untouched

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


def run_halves(head: onnx.ModelProto, tail: onnx.ModelProto, feed, *, parameters=({}, {}), level="disabled"):
    """What both halves make, boundary values included.

    The tail gets all its inputs from the head, those of its quantizers (`parameters`, one mapping for each half) aside.
    """
    made = ort.run(head, {item.name: ({**feed, **parameters[0]})[item.name] for item in head.graph.input}, level=level)
    crossing = dict(parameters[1])
    for item in tail.graph.input:
        if item.name in crossing:
            continue
        array = made[item.name]
        wanted = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        crossing[item.name] = array.astype(wanted) if array.dtype == np.int32 and wanted == np.uint8 else array
    return made | ort.run(tail, crossing, level=level)


def parameters_of(quantizers, ranks, form: str, side: str, *, channels=None):
    """What the quantizers of a half ("device" or "cloud") are fed, spelt out: names, types and shapes.

    `ranks` maps values to their ranks, `channels` those whose inputs are per channel although this precision is not.
    """
    feed = {}
    for quantizer in quantizers:
        if quantizer.codec != "packed":
            continue
        count = (channels or {}).get(quantizer.name, len(quantizer.scale))
        scale, zero_point = (np.resize(numbers, count) for numbers in (quantizer.scale, quantizer.zero_point))
        shape = (1, count, *[1] * (ranks[quantizer.name] - 2)) if count > 1 else (1,)
        if form == "qdq":
            shape = (count,) if count > 1 else ()
        arithmetic = form == "arithmetic"
        feed[f"{quantizer.name}/scale"] = scale.astype(np.float32).reshape(shape)
        feed[f"{quantizer.name}/zero_point"] = zero_point.astype(np.float32 if arithmetic else np.uint8).reshape(shape)
        if side == "device":
            qmax = 2**quantizer.bits - 1
            feed[f"{quantizer.name}/qmax"] = np.float32([qmax]) if arithmetic else np.array(qmax, np.uint8)
    return feed


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


class AroundOneValue(NamedTuple):
    """Unquantized halves that let every value pass unchanged: `x` -> `v`, `v` -> `y`."""

    model: Model
    head: onnx.ModelProto
    tail: onnx.ModelProto


def around_one_value(shape, dtype="float32", *, opset=13) -> AroundOneValue:
    """Such halves, not imported: the importer would drop operators that do nothing."""
    x, v, y = (info(name, shape, dtype) for name in "xvy")
    whole = net([op("Identity", "x", "v"), op("Identity", "v", "y")], [x], [y], opset=opset)
    head, tail = (
        net([op("Identity", "x", "v")], [x], [v], opset=opset),
        net([op("Identity", "v", "y")], [v], [y], opset=opset),
    )
    return AroundOneValue(untouched(whole, [Value(name, dtype, tuple(shape)) for name in "xvy"]), head, tail)


ODD = {
    "captured_in_if": captured_in_if,
    "integers_between": integers_between,
    "output_that_crosses": output_that_crosses,
    "input_on_both_sides": input_on_both_sides,
}


def skipping() -> onnx.ModelProto:
    """A chain of wide convolutions whose first value is added at the end: it crosses every cut in between."""
    g = synthetic.Sketch(0)
    first = g.conv(g.input(), 32)
    x = first
    for _ in range(4):
        x = g.conv(x, 32)
    return g.model(g.head(g.add(x, first)), opset=13)
