"""Ifs that are decided when the model is imported, also where the other branch could not be computed."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from coachc.errors import ModelError
from coachc.frontend import ort
from coachc.frontend.onnx_import import import_model

pytestmark = pytest.mark.needs("onnxruntime")

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)

#: What cannot be computed on (1, 3, 8, 8), with the weights it reads.
DEAD = {
    "MatMul": ([helper.make_node("MatMul", ["x", "w"], ["e"])], {"w": np.ones((5, 2), "f")}),
    "Concat": ([helper.make_node("Concat", ["x", "w"], ["e"], axis=0)], {"w": np.ones((1, 2), "f")}),
    "Reshape": ([helper.make_node("Reshape", ["x", "w"], ["e"])], {"w": np.int64([7, 5])}),
    "Conv": ([helper.make_node("Conv", ["x", "w"], ["e"])], {"w": np.ones((5, 2, 1, 1), "f")}),
    "Add": ([helper.make_node("Add", ["x", "w"], ["e"])], {"w": np.ones((3, 5), "f")}),
    "random": ([helper.make_node("RandomNormalLike", ["x"], ["e"])], {}),
    "unknown": ([helper.make_node("NoSuchOperator", ["x"], ["e"])], {}),
}
LIVE = [helper.make_node("Abs", ["x"], ["t"])]


def chosen(onnxes, conditions, *, then=LIVE, other, weights=(), inputs=("x",), opset=13, after="Neg"):
    branches = {
        "then_branch": onnxes.graph(then, "then", [], [onnxes.value("t")]),
        "else_branch": onnxes.graph(other, "else", [], [onnxes.value("e")]),
    }
    nodes = [*conditions, helper.make_node("If", ["c"], ["i"], **branches), helper.make_node(after, ["i"], ["y"])]
    return onnxes.model(nodes, list(inputs), ["y"], weights, opset=opset)


TRUE = helper.make_tensor("v", TensorProto.BOOL, [], [1])
CONDITIONS = {
    "a constant": ([helper.make_node("Constant", [], ["c"], value=TRUE)], {}),
    "an initializer": ([], {"c": np.array(True)}),
    "a shape": (
        [
            helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "one"], ["g"]),
            helper.make_node("Equal", ["g", "three"], ["c"]),
        ],
        {"one": np.int64(1), "three": np.int64(3)},
    ),
    "the shape of what a layer makes": (
        [
            helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Shape", ["p"], ["s"]), helper.make_node("Gather", ["s", "two"], ["g"]),
            helper.make_node("Less", ["g", "five"], ["c"]),
        ],
        {"two": np.int64(2), "five": np.int64(5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_dead_branch_may_be_anything(onnxes, condition, dead, opset):
    nodes, known = CONDITIONS[condition]
    other, more = DEAD[dead]
    weights = [onnxes.weight(name, array, array.dtype) for name, array in {**known, **more}.items()]
    model = import_model(onnxes.save(chosen(onnxes, nodes, other=other, weights=weights, opset=opset)))
    assert [node.op_type for node in model.proto.graph.node] == ["Abs", "Neg"]
    np.testing.assert_array_equal(ort.run(model.proto, {"x": X})["y"], -np.abs(X))


@pytest.mark.parametrize("dead", ["MatMul", "Concat", "Add"])
@pytest.mark.parametrize("first", [True, False])
def test_where_one_branch_alone_fits_it_is_taken(onnxes, dead, first):
    """The condition is an input's; a value that picked the other branch could only fail."""
    other, more = DEAD[dead]
    weights = [onnxes.weight(name, array, array.dtype) for name, array in more.items()]
    weights += [onnxes.weight("sixteen", 16, np.int64)]
    rate = onnxes.value("rate", [], TensorProto.INT64)
    nodes = [helper.make_node("Equal", ["rate", "sixteen"], ["c"])]
    branches = {"then": LIVE, "other": other}
    if not first:
        branches = {
            "then": [helper.make_node(n.op_type, n.input, ["t"], axis=0) if n.op_type == "Concat" else
                     helper.make_node(n.op_type, n.input, ["t"]) for n in other],
            "other": [helper.make_node("Abs", ["x"], ["e"])],
        }  # fmt: skip
    net = chosen(onnxes, nodes, weights=weights, inputs=["x", rate], **branches)
    model = import_model(onnxes.save(net))
    assert [node.op_type for node in model.proto.graph.node] == ["Abs", "Neg"]
    assert model.inputs == ("x", "rate")
    np.testing.assert_array_equal(ort.run(model.proto, {"x": X, "rate": np.array(8)})["y"], -np.abs(X))


def test_an_if_of_an_input_that_fits_either_way_stays(onnxes):
    rate = onnxes.value("rate", [], TensorProto.INT64)
    nodes = [helper.make_node("Equal", ["rate", "sixteen"], ["c"])]
    other = [helper.make_node("Sign", ["x"], ["e"])]
    net = chosen(onnxes, nodes, other=other, weights=[onnxes.weight("sixteen", 16, np.int64)], inputs=["x", rate])
    model = import_model(onnxes.save(net))
    for value, wanted in ((16, -np.abs(X)), (8, -np.sign(X))):
        np.testing.assert_array_equal(ort.run(model.proto, {"x": X, "rate": np.array(value)})["y"], wanted)


def test_ifs_in_branches_and_one_after_another(onnxes):
    """The outer branch taken holds an If itself; a second If's condition comes out of the first."""
    inner = {
        "then_branch": onnxes.graph([helper.make_node("Exp", ["x"], ["n"])], "n", [], [onnxes.value("n")]),
        "else_branch": onnxes.graph(DEAD["MatMul"][0], "m", [], [onnxes.value("e")]),
    }
    then = onnxes.graph(
        [helper.make_node("If", ["c"], ["t"], **inner), helper.make_node("Not", ["c"], ["tc"])],
        "then", [], [onnxes.value("t"), onnxes.value("tc", None, TensorProto.BOOL)],
    )  # fmt: skip
    other = onnxes.graph(
        [helper.make_node("Sign", ["x"], ["o"]), helper.make_node("Identity", ["c"], ["oc"])],
        "other", [], [onnxes.value("o"), onnxes.value("oc", None, TensorProto.BOOL)],
    )  # fmt: skip
    last = {
        "then_branch": onnxes.graph([helper.make_node("Conv", ["a", "w5"], ["q"])], "q", [], [onnxes.value("q")]),
        "else_branch": onnxes.graph([helper.make_node("Neg", ["a"], ["r"])], "r", [], [onnxes.value("r")]),
    }
    nodes = [
        helper.make_node("If", ["c"], ["a", "d"], then_branch=then, else_branch=other),
        helper.make_node("If", ["d"], ["y"], **last),
    ]
    weights = [onnxes.weight("c", True, np.bool_), onnxes.random("w", 5, 2), onnxes.random("w5", 1, 2, 1, 1)]
    model = import_model(onnxes.save(onnxes.model(nodes, ["x"], ["y"], weights)))
    assert [node.op_type for node in model.proto.graph.node] == ["Exp", "Neg"]
    np.testing.assert_allclose(ort.run(model.proto, {"x": X})["y"], -np.exp(X), rtol=1e-6)


def test_where_neither_branch_fits_the_model_is_refused(onnxes):
    flag = onnxes.value("c", [], TensorProto.BOOL)
    then = [helper.make_node("Add", ["x", "w"], ["t"])]
    weights = [onnxes.weight("w", np.ones((3, 5)))]
    net = chosen(onnxes, [], then=then, other=DEAD["Add"][0], weights=weights, inputs=["x", flag])
    with pytest.raises(ModelError, match="the model contradicts itself"):
        import_model(onnxes.save(net))
