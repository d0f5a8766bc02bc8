"""If, Loop and Scan on both sides of what is asserted of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.onnx_models import constant, info, net, op

X, CHOICE = info("x", (2, 4)), info("c", (), "bool")
ENDLESS = constant("trips", np.int64(2**63 - 1))
THREE, TRUE = constant("trips", np.int64(3)), constant("go", True)


def branch(
    name: str, nodes: Sequence[onnx.NodeProto], outputs: str, weights: Sequence[onnx.TensorProto] = (), **shapes: tuple
) -> onnx.GraphProto:
    given = [info(text, shapes.get(text, (2, 4))) for text in outputs.split()]
    return helper.make_graph(list(nodes), name, [], given, list(weights))


def choice(
    then: onnx.GraphProto, other: onnx.GraphProto, outputs: str = "y", condition: onnx.TensorProto | None = None
) -> onnx.ModelProto:
    """An If; a graph input chooses unless `condition` is a constant."""
    node = op("If", "c", outputs, name="n", then_branch=then, else_branch=other)
    return whole([node], [X] if condition else [X, CHOICE], outputs.split(), [condition] if condition else [])


def one_out(*nodes: onnx.NodeProto, output: str = "t", **shapes: tuple) -> onnx.ModelProto:
    """An If of one output whose then_branch has some nodes."""
    then = branch("then", nodes, output, [constant("k", np.ones((4, 4), "f"))], **shapes)
    size = shapes.get(output, (2, 4))
    other = [op("Neg", "x", "e")] if size == (2, 4) else [op("ReduceMax", "x", "e", axes=[1])]
    return choice(then, branch("else", other, "e", e=size))


def two_out(
    then: Sequence[onnx.NodeProto], outputs: str = "a b", other: Sequence[onnx.NodeProto] = (), rows: int = 2
) -> onnx.ModelProto:
    """An If of two outputs; the other branch gives "f" and "g"."""
    other = other or [op("Neg", "x", "f"), op("Abs", "x", "g")]
    shapes = dict.fromkeys([*outputs.split(), "f", "g"], (rows, 4))
    return choice(branch("then", then, outputs, **shapes), branch("else", other, "f g", **shapes), "y z")


RELU, TANH, ABS, NEG = op("Relu", "x", "a"), op("Tanh", "x", "b"), op("Abs", "x", "g"), op("Neg", "x", "f")
TWO_OUT = two_out([RELU, TANH])
TWISTED = two_out([TANH, RELU])
TWISTED_ELSE = two_out([RELU, TANH], other=[ABS, NEG])
READ_AGAIN = two_out([RELU, op("Tanh", "a", "b")])
READ_AGAIN_ELSE = two_out([RELU, TANH], other=[NEG, op("Abs", "f", "g")])
ONES = helper.make_node("Constant", [], ["w"], name="ones", value=constant("", np.ones((2, 4), "f")))
BESIDE_CONSTANT = two_out([RELU, ONES], "a w")
SAME_NODE = two_out([op("Split", "x", "a b", axis=0)], other=[op("Split", "x", "f g", axis=0)], rows=1)
SECOND = one_out(op("Split", "x", "s t", axis=0), output="t", t=(1, 4))


def split_else(model: onnx.ModelProto) -> onnx.ModelProto:
    """The other branch gives the same shape."""
    other = branch("else", [op("Split", "x", "e o", axis=0)], "e", e=(1, 4))
    for entry in model.graph.node[0].attribute:
        if entry.name == "else_branch":
            entry.g.CopyFrom(other)
    return model


SECOND = split_else(SECOND)
FIRST = split_else(one_out(op("Split", "x", "t s", axis=0), output="t", t=(1, 4)))
LONGER = one_out(op("Relu", "x", "a", name="Relu_10"), op("Neg", "a", "t", name="Relu_1"))
UNLIKE = one_out(op("Relu", "x", "a", name="Relu_1"), op("Neg", "a", "t", name="Neg_1"))
WIDER = choice(
    branch("then", [op("Relu", "x", "t")], "t", t=(2, 4)),
    branch("else", [op("Concat", "x x", "e", axis=0)], "e", e=(4, 4)),
)
SAME_NAMES = choice(branch("then", [op("Relu", "x", "a")], "a"), branch("else", [op("Neg", "x", "a")], "a"))


def loop(
    nodes: Sequence[onnx.NodeProto],
    inputs: str,
    *,
    outputs: str = "y",
    collected: str = "",
    state: tuple = (2, 4),
    weights: Sequence[onnx.TensorProto] = (THREE, TRUE),
    inside: Sequence[onnx.TensorProto] = (),
    condition: str = "on",
    after: tuple | None = None,
) -> onnx.ModelProto:
    """A Loop that carries `s`, makes `t` of it, and gives out `collected` of each iteration."""
    body = helper.make_graph(
        list(nodes),
        "body",
        [info("i", (), "int64"), info("going", (), "bool"), info("s", state)],
        [info(condition, (), "bool"), info("t", after or state), *([info(collected, (2, 4))] if collected else [])],
        list(inside),
    )
    node = op("Loop", inputs, outputs, name="n", body=body)
    model = net([node], [X], [info("y", after or state)], [one for one in weights if one.name in inputs.split()])
    if collected:
        model.graph.output.append(info("z", ("rows", 2, 4)))
    return model


NEXT = op("Add", "s s", "t")
ON = helper.make_node("Constant", [], ["on"], name="on", value=constant("", True))
FLOAT_OF_I = [op("Cast", "i", "f", to=1), op("Add", "s f", "t"), ON]
SHAPED = [op("Reshape", "i none", "k"), op("Cast", "k", "f", to=1), op("Add", "s f", "t"), ON]
NONE = constant("none", np.zeros(0, np.int64))
UNTIL = [op("ReduceMax", "s", "m", keepdims=0), op("Less", "m hundred", "on"), NEXT]
HUNDRED = constant("hundred", np.float32(100))
COLLECTED = op("Neg", "s", "row")
GROWING = op("Concat", "s s", "t", axis=0)
GOES_ON = op("Identity", "going", "on")
PICKED = [op("Gather", "table i", "f"), op("Add", "s f", "t"), ON]
TABLE = constant("table", np.arange(4, dtype=np.float32))


def scan(
    inputs: str = "h x", *, into: Sequence[int] = (), out: Sequence[int] = (), states: int = 1, opset: int = 13
) -> onnx.ModelProto:
    """A Scan over the rows or columns of `x`, with a state of 2 or 4 numbers or without one."""
    size = (4,) if not into or into[0] % 2 == 0 else (2,)
    nodes = [op("Add", "s r", "t") if states else op("Neg", "r", "t"), op("Relu", "r", "o")]
    carried = [info("s", size)] if states else []
    given = [info("t", size), info("o", size)]
    body = helper.make_graph(nodes, "body", [*carried, info("r", size)], given)
    axes = {key: list(value) for key, value in (("scan_input_axes", into), ("scan_output_axes", out)) if value}
    node = op("Scan", inputs, "y z", name="n", body=body, num_scan_inputs=1, **axes)
    return whole([node], [X], ["y", "z"], [constant("h", np.zeros(size, "f"))] if states else [], opset=opset)


def old_scan() -> onnx.ModelProto:
    """A Scan of opset 8, with a batch axis."""
    body = helper.make_graph(
        [op("Add", "s r", "t"), op("Relu", "r", "o")],
        "body",
        [info("s", (4,)), info("r", (4,))],
        [info("t", (4,)), info("o", (4,))],
    )
    node = op("Scan", "_ h x", "y z", name="n", body=body, num_scan_inputs=1)
    values = [info("h", (1, 4)), info("x", (1, 2, 4))]
    return whole([node], values, ["y", "z"], opset=8)


def long_body(*names: str) -> onnx.ModelProto:
    """A then_branch whose nodes have given names, one behind the other."""
    values = ["x", *(f"v{place}" for place in range(len(names) - 1)), "t"]
    nodes = [op("Relu", one, other, name=name) for one, other, name in zip(values, values[1:], names, strict=False)]
    return one_out(*nodes)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "if-condition": Sides(
        taken=(one_out(op("Relu", "x", "t")),),
        refused=(choice(branch("then", [RELU], "a"), branch("else", [NEG], "f"), condition=constant("c", True)),),
    ),
    "if-names": Sides(
        taken=(one_out(op("Relu", "x", "t")),),
        refused=(SAME_NAMES,),
    ),
    "if-then-found": Sides(taken=(TWO_OUT, READ_AGAIN_ELSE), refused=(READ_AGAIN, BESIDE_CONSTANT)),
    "if-outputs-found": Sides(taken=(TWO_OUT,), refused=(READ_AGAIN, READ_AGAIN_ELSE, BESIDE_CONSTANT)),
    "if-then-order": Sides(taken=(TWO_OUT, TWISTED_ELSE), refused=(TWISTED, SAME_NODE)),
    "if-order": Sides(taken=(TWO_OUT,), refused=(TWISTED, TWISTED_ELSE, SAME_NODE)),
    "if-several-outputs": Sides(
        taken=(one_out(op("Relu", "x", "t")),), refused=(TWO_OUT, TWISTED, READ_AGAIN, SAME_NODE)
    ),
    "if-then-first-outputs": Sides(taken=(FIRST,), refused=(SECOND,)),
    "if-first-outputs": Sides(taken=(FIRST,), refused=(SECOND,)),
    "if-one-layer": Sides(
        taken=(one_out(op("Relu", "x", "t")), one_out(op("MatMul", "x k", "a"), op("Identity", "a", "t"))),
        refused=(
            one_out(op("MatMul", "x k", "t")),
            one_out(op("Softmax", "x", "t")),
            one_out(op("Max", "x x x", "t")),
            one_out(op("ReduceL1", "x", "t", axes=[1]), t=(2, 1)),
        ),
    ),
    "if-prefix-free": Sides(taken=(UNLIKE, long_body("a1", "b", "a2")), refused=(LONGER, long_body("a", "b", "ab"))),
    "if-same-shapes": Sides(taken=(one_out(op("Relu", "x", "t")),), refused=(WIDER,)),
    "loop-iteration-number": Sides(
        taken=(
            loop(SHAPED, "trips go x", inside=[NONE]),
            loop(UNTIL, "trips go x", weights=[ENDLESS, TRUE], inside=[HUNDRED]),
        ),
        refused=(
            loop([*SHAPED[:3], *UNTIL[:2]], "trips go x", weights=[ENDLESS, TRUE], inside=[NONE, HUNDRED]),
            loop([*SHAPED[:3], *UNTIL[:2]], "_ go x", inside=[NONE, HUNDRED]),
        ),
    ),
    "loop-iteration-without-trip-count": Sides(
        taken=(loop(SHAPED, "trips go x", inside=[NONE]), loop(UNTIL, "_ go x", inside=[HUNDRED])),
        refused=(loop([*SHAPED[:3], *UNTIL[:2]], "_ go x", inside=[NONE, HUNDRED]),),
    ),
    "loop-iteration-rank": Sides(
        taken=(loop(SHAPED, "trips go x", inside=[NONE]), loop([NEXT, ON], "trips go x")),
        refused=(loop(PICKED, "trips go x", inside=[TABLE]), loop(FLOAT_OF_I, "trips go x")),
    ),
    "loop-condition-inside": Sides(
        taken=(loop([NEXT, ON], "trips _ x"), loop([NEXT, GOES_ON], "trips go x")),
        refused=(loop([NEXT, GOES_ON], "trips _ x"),),
    ),
    "loop-scan-count": Sides(
        taken=(loop([NEXT, ON, COLLECTED], "trips go x", outputs="y z", collected="row"),),
        refused=(loop([*UNTIL, COLLECTED], "_ go x", outputs="y z", collected="row", inside=[HUNDRED]),),
    ),
    "loop-scan-until": Sides(
        taken=(
            loop([NEXT, ON, COLLECTED], "trips go x", outputs="y z", collected="row"),
            loop([NEXT, GOES_ON, COLLECTED], "trips go x", outputs="y z", collected="row"),
            loop(UNTIL, "trips go x", inside=[HUNDRED]),
        ),
        refused=(loop([*UNTIL, COLLECTED], "trips go x", outputs="y z", collected="row", inside=[HUNDRED]),),
    ),
    "loop-state-shapes": Sides(
        taken=(loop([NEXT, ON], "trips go x"),),
        refused=(loop([GROWING, ON], "trips go x", after=(4, 4)),),
    ),
    "scan-states": Sides(taken=(scan(),), refused=(scan("x", states=0),)),
    "scan-axes": Sides(
        taken=(scan(), scan(into=[1], out=[1])),
        refused=(scan(into=[-1]), scan(into=[-2]), scan(out=[-1]), scan(into=[-1], out=[-1])),
    ),
    "scan-batch": Sides(taken=(one("Relu", opset=8),), refused=(old_scan(),)),
}
