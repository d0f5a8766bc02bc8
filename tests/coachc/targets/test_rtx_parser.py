"""The rules of TensorRT for RTX against its own parser, which works without a GPU, over onnx's one-operator models.

The parser says what it takes, not whether an engine of it is right: the rules refuse a little more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import helper

from coachc.targets.generation_toml import generations
from coachc.targets.rules import errors
from coachc.targets.target import Target
from tests.helpers.assertions.rtx_parser import Parser
from tests.helpers.onnx_cases import onnx_cases
from tests.helpers.onnx_models import constant, info, net, op

pytestmark = pytest.mark.needs("tensorrt_rtx")

RTX = Target("rtx", "rtx", "1.7", "8.9", ("int8", "fp16", "fp32"))

#: Refused by the rules only: these would be taken for int8, or have a zero point that nobody knows beforehand.
STRICTER = {"rtx/quantize/uint8", "rtx/quantize/zero-point", "rtx/io-only/uint8", "rtx/opset"} | {
    # Parsed, and computed otherwise than ONNX says.
    "rtx/limit/AveragePool/counted-ceil-windows",
    "rtx/limit/MaxPool/ceil-windows",
    "rtx/limit/Selu/selu-written",
}
#: Refused by the parser only, for what no rule looks at: how shapes and values of several inputs go together.
FINER = ("test_attention_", "test_range_", "test_affine_grid_3d_", "test_bernoulli_expanded", "test_matmul_1d_3d")


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser()


@pytest.fixture(scope="module")
def verdicts(parser) -> dict[str, tuple[onnx.ModelProto, bool]]:
    return {name: (proto, parser.takes(proto)) for name, proto in onnx_cases().items()}


def disagreements(verdicts) -> Iterator[tuple[str, bool, list[str]]]:
    for name, (proto, taken) in verdicts.items():
        found = errors(proto, RTX)
        if bool(found) == taken:
            yield name, taken, [violation.rule for violation in found]


def test_rules_and_parser_agree(verdicts):
    assert len(verdicts) > 1500
    wrong = [
        (name, taken, rules)
        for name, taken, rules in disagreements(verdicts)
        if not (set(rules) <= STRICTER if taken else name.startswith(FINER))
    ]
    assert wrong == []


def test_almost_nothing_is_finer_or_stricter(verdicts):
    """The lists of exceptions above hide little: 14 and 16 of 1884 models with onnx 1.23.2."""
    found = list(disagreements(verdicts))
    assert sum(taken for _, taken, _ in found) <= 15
    assert sum(not taken for _, taken, _ in found) <= 25


AXES = constant("axes", [1])

#: Graphs for the operators of which onnx has none, or none with the constants that the parser wants.
OWN = {
    "GlobalLpPool": net([op("GlobalLpPool", "x", "y", p=2)], ["x"], ["y"], opset=17),
    "LayerNormalization": net(
        [op("LayerNormalization", "x s b", "y")],
        ["x"],
        ["y"],
        [constant("s", np.ones(8, np.float32)), constant("b", np.zeros(8, np.float32))],
        opset=17,
    ),
    "OneHot": net(
        [op("OneHot", "i depth values", "y")],
        [info("i", (3,), "int64")],
        ["y"],
        [constant("depth", 4), constant("values", [0, 1], np.float32)],
        opset=17,
    ),
    "RandomNormal": net([op("RandomNormal", "", "y", shape=[1, 4])], [], [info("y", (1, 4))], opset=17),
    "RandomNormalLike": net([op("RandomNormalLike", "x", "y")], ["x"], ["y"], opset=17),
    "RandomUniform": net([op("RandomUniform", "", "y", shape=[1, 4])], [], [info("y", (1, 4))], opset=17),
    **{
        name: net([op(name, "x axes", "y")], ["x"], ["y"], [AXES], opset=18)
        for name in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
    },
    "STFT": net(
        [op("STFT", "signal step window", "y")],
        [info("signal", (1, 128, 1))],
        ["y"],
        [constant("step", 8), constant("window", np.ones(16, np.float32))],
        opset=17,
    ),
    "Upsample": net(
        [op("Upsample", "x scales", "y")], ["x"], ["y"], [constant("scales", [1, 1, 2, 2], np.float32)], opset=9
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_own_graphs(parser, name):
    assert errors(OWN[name], RTX) == []
    assert parser.takes(OWN[name])


def test_every_operator_of_the_table_is_parsed_somewhere(verdicts):
    parsed = {node.op_type for proto, taken in verdicts.values() if taken for node in proto.graph.node}
    assert set(generations()["rtx"].operators) - parsed == set(OWN)


def test_every_operator_of_onnx_is_known_to_both_or_neither(parser):
    """But for four that the parser knows and builds with plugins, which TensorRT for RTX does not have."""
    table = generations()["rtx"].operators
    names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    known = {name for name in names if parser.knows(name)}
    assert known - set(table) == {"CausalConvWithState", "LinearAttention", "NonZero", "RoiAlign"}
    assert {name for name in table if name in names} <= known


@pytest.mark.parametrize(("axes", "taken"), [(8, True), (9, False)])
def test_axes_of_a_tensor(parser, axes, taken):
    proto = net([op("Relu", "x", "y")], [info("x", (1,) * axes)], ["y"], opset=17)
    assert parser.takes(proto) is taken
    assert (not errors(proto, RTX)) is taken


def test_a_foreign_operator(parser):
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    proto = net([node], ["x"], ["y"], opset=17)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert not parser.takes(proto)
    assert errors(proto, RTX)[0].rule == "rtx/domain/com.microsoft"
