"""Both halves together are the model, bit for bit, wherever it is cut."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from coachc.core.graph import Value
from coachc.errors import InternalError
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.frontend.fuse import fuse
from coachc.passes.cut import SENT_SUFFIX, boundary_name, outputs_on_cloud, outputs_on_device, split
from coachc.passes.ideals import all_ideals
from tests.helpers.halves import GRAPHS, ODD, input_on_both_sides, output_that_crosses, run_halves, same_bits
from tests.helpers.onnx_models import constant, imported, info, net, op, untouched

pytestmark = pytest.mark.needs("onnxruntime")


def names(values):
    return [value.name for value in values]


@pytest.mark.parametrize("name", GRAPHS | ODD)
def test_every_ideal_recomposes_bit_for_bit(name, tmp_path):
    model, graph = imported((GRAPHS | ODD)[name](), tmp_path)
    feed = ort.seeded_inputs(model.proto, seed=1)
    whole = ort.run(model.proto, feed)
    masks, complete = all_ideals(graph)
    assert complete
    for mask in masks[:-1]:
        head, tail = split(model, graph, mask)
        where = f"{name}, cut at {graph.cut_values(mask)}"
        for half in (head, tail):
            check(half)
            onnx.checker.check_model(half, full_check=True)
            assert half.ir_version == model.proto.ir_version
            assert half.opset_import == model.proto.opset_import
        crossing = [boundary_name(graph, value) for value in graph.cut_values(mask)]
        assert names(tail.graph.input) == crossing, where
        assert names(head.graph.output)[: len(crossing)] == crossing, where
        assert set(names(head.graph.output)) == {*crossing, *outputs_on_device(graph, mask)}, where
        assert len(set(names(head.graph.output))) == len(head.graph.output), where
        assert names(tail.graph.output) == list(outputs_on_cloud(graph, mask)), where
        members = [
            {name for i, node in enumerate(graph.nodes) if mask >> i & 1 == side for name in node.members}
            for side in (1, 0)
        ]
        extra = {f"{value}{SENT_SUFFIX}" for value in graph.inputs}
        assert set(names(head.graph.node)) - extra == members[0], where
        assert set(names(tail.graph.node)) == members[1], where
        made = run_halves(head, tail, feed)
        for output, expected in whole.items():
            assert same_bits(made[output], expected), f"{where}: {output} differs"


def test_the_cut_at_the_input_sends_it_under_another_name(tmp_path):
    model, graph = imported(input_on_both_sides(), tmp_path)
    head, tail = split(model, graph, 0)
    assert (names(head.graph.input), names(head.graph.output)) == (["x"], ["x/sent"])
    assert names(tail.graph.input) == ["x/sent"]
    # Behind the first convolution both the input and its result cross.
    head, tail = split(model, graph, 1)
    assert names(tail.graph.input) == ["x/sent", "a"]


def test_a_weight_of_both_sides_is_in_both_and_no_other(tmp_path):
    model, graph = imported(input_on_both_sides(), tmp_path)
    head, tail = split(model, graph, 1)
    assert names(head.graph.initializer) == names(tail.graph.initializer) == ["w"]
    head, _ = split(model, graph, 0)
    assert names(head.graph.initializer) == []


def test_a_constant_made_by_nodes_goes_to_both_sides():
    """As where folding would take too much memory."""
    fill = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        op("ConstantOfShape", "shape", "raw", value=fill), op("Neg", "raw", "w"),
        op("ConstantOfShape", "shape", "u", value=fill), op("Conv", "x w", "a", pads=[1] * 4),
        op("MaxPool", "a", "b", kernel_shape=[1, 1]), op("Conv", "b w", "c", pads=[1] * 4),
        op("Conv", "c u", "y", pads=[1] * 4),
    ]  # fmt: skip
    proto = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], [constant("shape", [4, 4, 3, 3], "int64")])
    model = untouched(proto, [Value(name, "float32", (1, 4, 8, 8)) for name in "xabcy"])
    graph = fuse(model)
    head, tail = split(model, graph, 1)
    assert names(head.graph.node) == ["ConstantOfShape.raw", "Neg.w", "Conv.a"]
    assert names(tail.graph.node) == [
        "ConstantOfShape.raw", "Neg.w", "ConstantOfShape.u", "MaxPool.b", "Conv.c", "Conv.y",
    ]  # fmt: skip
    feed = ort.seeded_inputs(proto, 2)
    assert same_bits(run_halves(head, tail, feed)["y"], ort.run(proto, feed)["y"])


def test_a_boundary_value_that_is_an_output_leaves_once(tmp_path):
    model, graph = imported(output_that_crosses(), tmp_path)
    head, tail = split(model, graph, 1)
    assert names(head.graph.output) == ["c"]
    assert names(tail.graph.output) == ["p", "y"]
    assert (outputs_on_device(graph, 1), outputs_on_cloud(graph, 1)) == (("c",), ("p", "y"))


@pytest.mark.parametrize("mask", [0b10, None], ids=["not down-closed", "full"])
def test_other_masks_are_our_mistake(mask, tmp_path):
    model, graph = imported(input_on_both_sides(), tmp_path)
    with pytest.raises(InternalError, match="is not an ideal that leaves work to the cloud"):
        split(model, graph, graph.full_mask if mask is None else mask)


def test_the_model_is_left_as_it_was(tmp_path):
    model, graph = imported(GRAPHS["inception"](), tmp_path)
    before = model.proto.SerializeToString(deterministic=True)
    split(model, graph, 0b111)
    assert model.proto.SerializeToString(deterministic=True) == before
