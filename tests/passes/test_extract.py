"""The part of a model between some of its values, odd borders included."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from coachc.core.graph import Value
from coachc.errors import InternalError, ModelError
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.passes.cut import split
from coachc.passes.extract import as_they_are, extract
from coachc.passes.segments import split_segments
from tests.helpers.halves import captured_in_if, input_on_both_sides, run_halves
from tests.helpers.onnx_models import constant, imported, info, net, op, random_weight, untouched

pytestmark = pytest.mark.needs("onnxruntime")


def conv(source, made, weight="w"):
    return op("Conv", f"{source} {weight}", made, pads=[1, 1, 1, 1])


def four(*more, outputs=("y",), inputs=("x",), weights=()):
    """x -> Conv -> a -> Softmax -> b -> Conv -> y, and what is given besides."""
    nodes = [conv("x", "a"), op("Softmax", "a", "b", axis=1), conv("b", "y"), *more]
    return net(nodes, inputs, outputs, [random_weight("w", 4, 4, 3, 3), *weights])


def names(values):
    return [value.name for value in values]


def same(*crossing):
    return as_they_are(crossing)


def test_the_middle_of_a_model(tmp_path):
    model, _ = imported(four(), tmp_path)
    part = extract(model, same("a"), same("b"))
    check(part)
    assert (names(part.graph.input), names(part.graph.node), names(part.graph.output)) == (["a"], ["Softmax.b"], ["b"])
    assert names(part.graph.initializer) == []
    assert part.opset_import == model.proto.opset_import


def test_parts_in_a_row_compute_what_the_model_does(tmp_path):
    model, _ = imported(four(), tmp_path)
    known = feed = ort.seeded_inputs(model.proto, 3)
    for enters, leaves in (("x", "a"), ("a", "b"), ("b", "y")):
        known = ort.run(extract(model, same(enters), same(leaves)), known)
    np.testing.assert_array_equal(known["y"], ort.run(model.proto, feed)["y"])


def test_a_value_that_leaves_may_be_read_inside_too(tmp_path):
    model, _ = imported(four(), tmp_path)
    part = extract(model, same("x"), same("y", "a"))
    check(part)
    assert names(part.graph.output) == ["y", "a"]
    assert names(part.graph.node) == ["Conv.a", "Softmax.b", "Conv.y"]


def test_a_value_crosses_under_another_name(tmp_path):
    model, _ = imported(input_on_both_sides(), tmp_path)
    part = extract(model, [("x", "x/sent"), ("a", "a")], [("y", "y"), ("b", "middle")])
    check(part)
    assert names(part.graph.input) == ["x/sent", "a"]
    assert names(part.graph.output) == ["y", "middle"]
    assert part.graph.node[-1].op_type == "Identity"


def test_an_input_that_nothing_needs_is_one_all_the_same(tmp_path):
    model, _ = imported(four(inputs=("x", "z")), tmp_path)
    part = extract(model, same("z", "a"), same("b"))
    check(part)
    assert names(part.graph.input) == ["z", "a"]


def test_what_enters_may_leave_as_it_is(tmp_path):
    model, graph = imported(four(outputs=("y", "x")), tmp_path)
    part = extract(model, same("x"), [("x", "x/sent"), ("x", "x"), ("a", "a")])
    array = np.ones((1, 4, 8, 8), np.float32)
    made = ort.run(part, {"x": array})
    for name in ("x", "x/sent"):
        np.testing.assert_array_equal(made[name], array)
    feed = ort.seeded_inputs(model.proto, 3)
    head, tail = split(model, graph, 1)
    found = run_halves(head, tail, feed)
    for name, wanted in ort.run(model.proto, feed).items():
        np.testing.assert_array_equal(found[name], wanted)


@pytest.mark.parametrize(
    ("name", "nodes", "weight"),
    [
        ("k", [], constant("k", np.float32([1, 2]))),
        ("w", [], None),
        ("k", [op("Add", "y k", "z")], constant("k", np.float32([1]))),
    ],
    ids=["nothing reads it", "a convolution does", "a later operator does"],
)
def test_a_constant_may_be_an_output(name, nodes, weight, tmp_path):
    outputs = ["z" if nodes else "y", info(name, weight.dims if weight is not None else (4, 4, 3, 3))]
    model, graph = imported(four(*nodes, outputs=outputs, weights=[weight] if weight is not None else []), tmp_path)
    feed = ort.seeded_inputs(model.proto, 3)
    whole = ort.run(model.proto, feed)
    found = run_halves(*split(model, graph, 1), feed)
    known = dict(feed)
    for segment in split_segments(model, graph, [1, graph.full_mask]):
        check(segment)
        known.update(ort.run(segment, {item.name: known[item.name] for item in segment.graph.input}))
    for output, wanted in whole.items():
        np.testing.assert_array_equal(found[output], wanted)
        np.testing.assert_array_equal(known[output], wanted)


def test_captured_values_are_read(tmp_path):
    model, _ = imported(captured_in_if(), tmp_path)
    part = extract(model, same("x", "c"), same("y"))
    check(part)
    assert "Conv.c" not in names(part.graph.node)
    with pytest.raises(
        InternalError, match=r"values are left without a source: 'x' \(node 'Conv.c' \(Conv\) reads it\)"
    ):
        extract(model, same("cond"), same("i"))


def test_an_absent_input_is_none(tmp_path):
    scales = constant("s", np.float32([1, 1, 2, 2]))
    nodes = [conv("x", "a"), op("Resize", "a _ s", "y", mode="nearest")]
    proto = net(nodes, ["x"], [info("y", (1, 4, 16, 16))], [random_weight("w", 4, 4, 3, 3), scales])
    model, _ = imported(proto, tmp_path)
    part = extract(model, same("a"), same("y"))
    check(part)
    assert part.graph.node[0].input[1] == ""


def test_some_outputs_of_a_node(tmp_path):
    nodes = [conv("x", "a"), op("TopK", "a k", "v i", axis=3), op("Softmax", "v", "s"), op("Cast", "i", "j", to=1)]
    nodes.append(op("Add", "s j", "y"))
    weights = [random_weight("w", 4, 4, 3, 3), constant("k", [2], "int64")]
    model, _ = imported(net(nodes, ["x"], [info("y", (1, 4, 8, 2))], weights), tmp_path)
    part = extract(model, same("a"), same("i"))
    check(part)
    assert (names(part.graph.node), names(part.graph.output)) == (["TopK.v"], ["i"])
    check(extract(model, same("v", "i"), same("y")))
    with pytest.raises(InternalError, match=r"'v' enters, but node 'TopK.v' \(TopK\), which makes it, is inside"):
        extract(model, same("a", "v"), same("y"))


def test_sparse_constants_are_constants():
    """The importer writes them dense; whoever builds a `Model` otherwise need not."""
    values = constant("u", np.float32([2.0]))
    indices = constant("u_indices", [0], "int64")
    proto = net([op("Add", "x u", "a"), op("Neg", "a", "y")], ["x"], [info("y", (1, 4, 8, 8))])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1]))
    model = untouched(proto, [Value(name, "float32", (1, 4, 8, 8)) for name in "xay"])
    part = extract(model, same("x"), same("a"))
    assert [sparse.values.name for sparse in part.graph.sparse_initializer] == ["u"]
    assert len(extract(model, same("a"), same("y")).graph.sparse_initializer) == 0


def test_a_shape_that_depends_on_the_data_stays_open(tmp_path):
    """What one random input gave is no promise: the model states the rank, and so do its parts."""
    outputs = ["y", info("n", (4, None), "int64")]
    model, graph = imported(four(op("NonZero", "a", "n"), outputs=outputs), tmp_path)
    for mask in (0b001, 0b011, graph.full_mask):
        masks = [mask] if mask == graph.full_mask else [mask, graph.full_mask]
        given = [item for part in split_segments(model, graph, masks) for item in part.graph.output if item.name == "n"]
        assert [dim.HasField("dim_value") for dim in given[0].type.tensor_type.shape.dim] == [False, False]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([], ["y"], r"values are left without a source: 'x' \(node 'Conv.a' \(Conv\) reads it\)"),
        (["b"], ["a", "y"], r"values are left without a source: 'x' \(node 'Conv.a' \(Conv\) reads it\)"),
        (["a"], ["x"], r"values are left without a source: 'x' \(the part gives it\)"),
        (["w"], ["y"], "'w' enters, but depends on no input of the model"),
        (["q"], ["y"], "'q' enters, but depends on no input of the model"),
        (["x"], ["q"], "'q' leaves, but neither depends on an input nor is an output of the model"),
        (["x", "b"], ["a", "b", "y", "a"], "'a' leaves twice as 'a'"),
        (["x", "x"], ["y"], "'x' enters twice as 'x'"),
        (["b", "x"], ["b", "a"], None),
    ],
)
def test_a_border_that_is_none_is_our_mistake(inputs, outputs, message, tmp_path):
    model, _ = imported(four(), tmp_path)
    if message is None:
        assert names(extract(model, same(*inputs), same(*outputs)).graph.node) == ["Conv.a"]
        return
    with pytest.raises(InternalError, match=message):
        extract(model, same(*inputs), same(*outputs))


@pytest.mark.parametrize(
    ("nodes", "outputs", "where"),
    [
        ([conv("x", "x/sent"), op("Softmax", "x/sent", "b", axis=1), op("Add", "b x", "y")], ["y"], r"'Conv.x/sent'"),
        ([conv("x", "b"), conv("b", "y"), op("Neg", "x", "x/sent")], ["y", "x/sent"], r"'Neg.x/sent'"),
    ],
    ids=["inside", "an output"],
)
def test_a_name_of_the_border_that_the_model_has_is_the_users_to_mend(nodes, outputs, where, tmp_path):
    model, graph = imported(net(nodes, ["x"], outputs, [random_weight("w", 4, 4, 3, 3)]), tmp_path)
    with pytest.raises(ModelError, match=f"'x' cannot cross as 'x/sent': that name is taken at node {where}") as caught:
        split(model, graph, 1)
    assert caught.value.hint == "rename 'x/sent' in the model, or cut it elsewhere"


def test_two_values_of_one_name_at_the_border(tmp_path):
    model, _ = imported(four(inputs=("x", "x/sent")), tmp_path)
    with pytest.raises(ModelError, match="'x' cannot cross as 'x/sent': that name is taken at the border"):
        extract(model, same("x", "x/sent"), [("x", "x/sent")])


def test_the_model_is_left_as_it_was(tmp_path):
    model, _ = imported(input_on_both_sides(), tmp_path)
    before = model.proto.SerializeToString(deterministic=True)
    extract(model, [("x", "x/sent"), ("a", "a")], [("y", "y"), ("b", "middle")])
    assert model.proto.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(model.proto)
