"""Whole models on both sides of what is asserted of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.onnx_models import constant, info, op, random_weight

X = info("x", (2, 4))
#: A file that is there: onnx.checker looks for it.
FILE = "pyproject.toml"


def dropouts(*outputs: str) -> onnx.ModelProto:
    nodes = [op("Dropout", "x", text, name=f"n{place}") for place, text in enumerate(outputs)]
    return whole(nodes, [X], [name for node in nodes for name in node.output if name])


def in_branches(outputs: str) -> onnx.ModelProto:
    """Two nodes of one branch leave an output out; `outputs` are those of the first."""
    nodes = [op("Dropout", "x", outputs, name="first"), op("Dropout", "a", "b _", name="second")]
    then = helper.make_graph(nodes, "then", [], [info("b", (2, 4))])
    other = helper.make_graph([op("Relu", "x", "e")], "else", [], [info("e", (2, 4))])
    choice = op("If", "c", "y", name="n", then_branch=then, else_branch=other)
    return whole([choice], [X, info("c", (), "bool")], ["y"])


def gru(inputs: str, outputs: str, before: Sequence[onnx.NodeProto] = ()) -> onnx.ModelProto:
    weights = [random_weight("w", 1, 9, 4), random_weight("r", 1, 9, 3), random_weight("b", 1, 18)]
    weights += [constant("high", np.float32(6)), constant("h", np.zeros((1, 2, 3), "f"))]
    node = op("GRU", inputs, outputs, name="n", hidden_size=3)
    return whole([*before, node], [info("x", (5, 2, 4))], [name for name in node.output if name], weights)


CLIPPED = op("Clip", "x _ high", "v", name="clip")


def halves(words: bool, *, inside: bool = False) -> onnx.ModelProto:
    numbers = np.arange(8, dtype=np.float16).reshape(2, 4)
    tensor = constant("w", numbers)
    if words:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=(2, 4))
        tensor.int32_data.extend(int(word) for word in numbers.view(np.uint16).reshape(-1))
    first = [helper.make_node("Constant", [], ["w"], name="c", value=tensor)] if inside else []
    nodes = [*first, op("Add", "x w", "y", name="n")]
    return whole(nodes, [info("x", (2, 4), "float16")], ["y"], [] if inside else [tensor])


def in_file(**entries: str) -> onnx.ModelProto:
    model = whole([op("Add", "x w", "y", name="n")], [X], ["y"], [constant("w", np.zeros((2, 4), "f"))])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return model


def imports(*domains: str) -> onnx.ModelProto:
    model = one("Softmax", x=((2, 4), "float32"))
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, 1 if domain == "com.microsoft" else 13) for domain in domains)
    return model


def given_out(name: str) -> onnx.ModelProto:
    """An output called `name` beside another one."""
    nodes = [op("Relu", "x", "y", name="n")] + ([] if name == "x" else [op("Identity", "x", name, name="i")])
    return whole(nodes, [X], ["y", name])


def nested(depth: int) -> onnx.ModelProto:
    """If within If."""
    node = op("Relu", "x", f"r{depth}")
    for level in range(depth):
        inner, name = node.output[0], f"i{level}"
        branches = [
            helper.make_graph([node], f"then{level}", [], [info(inner, (2, 4))]),
            helper.make_graph([op("Neg", "x", f"e{level}")], f"else{level}", [], [info(f"e{level}", (2, 4))]),
        ]
        node = op("If", "c", name, name=name, then_branch=branches[0], else_branch=branches[1])
    return whole([node], [X, info("c", (), "bool")], [node.output[0]])


def called(
    calls: Sequence[tuple[str, str, str]],
    functions: Sequence[tuple[str, str, str]] = (("my", "Twice", "a b"),),
    inner: Sequence[str] = ("Neg", "Abs"),
) -> onnx.ModelProto:
    """Calls are (domain and name, inputs, output); functions (domain, name, inputs) that use their first input only."""
    nodes = []
    for place, (name, inputs, output) in enumerate(calls):
        domain, operator = name.split(".")
        nodes.append(op(operator, inputs, output, name=f"n{place}"))
        nodes[-1].domain = domain if domain != "onnx" else ""
    opsets = [helper.make_opsetid("", 17)]
    made = []
    for place, (domain, name, inputs) in enumerate(functions):
        body = [op(inner[place], inputs.split()[0], "out")]
        made.append(helper.make_function(domain, name, inputs.split(), ["out"], body, opsets))
    domains = sorted({domain for domain, _, _ in functions})
    graph = helper.make_graph(nodes, "net", [X], [info(node.output[0], (2, 4)) for node in nodes[-1:]])
    opsets += [helper.make_opsetid(domain, 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, functions=made, ir_version=8)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "empty-outputs": Sides(
        taken=(dropouts("a", "b"), dropouts("a _", "b"), dropouts("a m", "b k")),
        refused=(dropouts("a _", "b _"), in_branches("a _")),
    ),
    "empty-cycle": Sides(
        taken=(gru("x w r", "_ y"), gru("x w r b", "z y"), gru("v w r", "z y", [CLIPPED])),
        refused=(gru("x w r _ _ h", "_ y"), gru("v w r", "_ y", [CLIPPED])),
    ),
    "opset-domain": Sides(
        taken=(imports(""), imports("ai.onnx"), imports("", "com.microsoft")),
        refused=(imports("ai.onnx", "com.microsoft"),),
    ),
    "float16-words": Sides(
        taken=(halves(words=False),),
        refused=(halves(words=True), halves(words=True, inside=True)),
    ),
    "external-length": Sides(
        taken=(in_file(location=FILE, offset="0", length="32"),),
        refused=(in_file(location=FILE, offset="0"),),
    ),
    "external-keys": Sides(
        taken=(in_file(location=FILE, offset="0", length="32"),),
        refused=(in_file(location=FILE, offset="0", length="32", basepath="."),),
        runs=False,
    ),
    "output-is-input": Sides(
        taken=(given_out("x2"),),
        refused=(given_out("x"),),
        rtx="it takes the model, and calls its input __x",
    ),
    "nesting": Sides(
        taken=(nested(2),),
        refused=(nested(25),),
    ),
    "function-inputs": Sides(
        taken=(called([("my.Twice", "x x", "y")]),),
        refused=(called([("my.Twice", "x", "y")]),),
    ),
    "function-empty-inputs": Sides(
        taken=(called([("my.Twice", "x x", "y")]),),
        refused=(called([("my.Twice", "x _", "y")]),),
    ),
    "function-names": Sides(
        taken=(called([("my.Twice", "x x", "y")]),),
        refused=(
            called([("my.Compress", "x", "y")], [("my", "Compress", "a")]),
            called([("my.BitShift", "x x", "y")], [("my", "BitShift", "a b")]),
        ),
    ),
    "function-domains": Sides(
        taken=(called([("my.Neg2", "x", "v"), ("my.Abs2", "v", "y")], [("my", "Neg2", "a"), ("my", "Abs2", "a")]),),
        refused=(called([("my.One", "x", "v"), ("our.One", "v", "y")], [("my", "One", "a"), ("our", "One", "a")]),),
    ),
    "function-shadows": Sides(
        taken=(
            called([("onnx.Relu", "x", "v"), ("my.Once", "v", "y")], [("my", "Once", "a")]),
            called([("onnx.Relu", "x", "v"), ("my.Once", "x", "y")], [("my", "Once", "x")]),
        ),
        refused=(called([("onnx.Relu", "x", "v"), ("my.Once", "v", "y")], [("my", "Once", "x")]),),
    ),
}
