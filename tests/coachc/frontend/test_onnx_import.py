"""Whole imports: every accepted model computes what its source did, and importing the result again changes nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from coachc.core.graph import ITEM_BYTES
from coachc.errors import ModelError
from coachc.frontend import ort, walk
from coachc.frontend.onnx_import import import_model

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
WEIGHTS = Path(__file__).parents[4] / "shared" / "data" / "weights"


def assert_equal(expected, found):
    """Within 1e-4 of the output's scale: opset conversion reorders float sums, everything else is exact."""
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.shape == found[name].shape
        assert array.dtype == found[name].dtype
        scale = 1.0 if array.dtype.kind != "f" else max(float(np.abs(array).max(initial=0.0)), 1e-30)
        np.testing.assert_allclose(found[name].astype(float), array.astype(float), rtol=0, atol=1e-4 * scale)


def imported(path, proto, *, reference=False, **options):
    """Import, check the promises that hold for every model, compare with the source under ONNX Runtime.

    Somebody observes, so what holds between passes is verified as well.
    """
    model = import_model(path, observers=[lambda step: None], **options)
    graph = model.proto.graph
    names = [node.name for node in walk.nodes(graph)]
    assert all(names)
    assert len(set(names)) == len(names)
    made = [name for inner in walk.graphs(graph) for name in walk.made(inner)]
    assert len(set(made)) == len(made)
    seen = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        assert seen.issuperset(walk.reads(node)), "not in topological order"
        seen.update(node.output)
    assert model.opset >= 13
    assert not model.proto.functions
    assert set(model.inputs) | set(model.outputs) <= model.values.keys()
    assert all(value.dtype in ITEM_BYTES for value in model.values.values() if value.cuttable)

    for seed in (5, 6):
        feed = ort.seeded_inputs(model.proto, seed)
        expected = ort.run(proto, feed)
        found = ort.run(model.proto, feed)
        assert_equal(expected, found)
        for name, array in found.items():
            if model.values[name].cuttable:
                assert model.values[name].shape == array.shape
                assert model.values[name].dtype == array.dtype.name
        if reference:
            oracle = ReferenceEvaluator(model.proto).run(list(found), feed)
            assert_equal(found, dict(zip(found, oracle, strict=True)))

    again = Path(path).with_suffix(".again.onnx")
    again.write_bytes(model.proto.SerializeToString())
    second = import_model(again, **options)
    assert second.proto == model.proto
    assert second.values == model.values
    return model


@pytest.fixture
def accept(onnxes):
    def check(proto, **options):
        return imported(onnxes.save(proto), proto, **options)

    return check


pytestmark = pytest.mark.needs("onnxruntime")


@pytest.mark.parametrize("opset", range(7, 28))
def test_every_supported_opset(onnxes, accept, opset):
    # onnx 1.23.2's reference evaluator computes BatchNormalization before opset 14 in training mode.
    model = accept(onnxes.convnet(opset), reference=opset >= 14)
    assert model.opset == max(13, opset)
    assert model.name == "net"
    assert model.values["r"].shape == (1, 4, 8, 8)
    assert model.values["r"].size_bytes == 1024


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_light_models(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    model = imported(copy, onnx.load(path))
    assert len(model.inputs) == 1
    assert model.proto.ByteSize() < 40 << 20
    assert all(value.cuttable for value in model.values.values())


@pytest.mark.parametrize(
    "name",
    [
        "cifar10_densenet40_k12",
        "cifar10_resnet20",
        "cifar10_resnet56",
        "imagenet_mobilenet_v2_1.0_224",
        "imagenet_squeezenet_1.1",
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_real_weights(name, batch, tmp_path):
    path = WEIGHTS / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"needs {path}")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    model = imported(copy, onnx.load(path), batch=batch)
    assert model.values[model.outputs[0]].shape[0] == batch


def test_unsorted_unnamed_and_duplicate_names(onnxes, accept):
    net = onnxes.convnet()
    shuffled = [net.graph.node[index] for index in (6, 2, 0, 5, 3, 1, 4)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in shuffled]
    copies[0].name = copies[1].name = "twin"
    ordered = onnxes.convnet()
    del net.graph.node[:]
    net.graph.node.extend(copies)
    path = onnxes.save(net)
    model = imported(path, ordered)
    assert [node.op_type for node in model.proto.graph.node] == [node.op_type for node in ordered.graph.node]
    assert sorted(node.name for node in model.proto.graph.node) == [
        "BatchNormalization_1", "Conv_0", "Flatten_5", "Gemm_6", "GlobalAveragePool_4", "MaxPool_3", "twin",
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["N", None, -1, 0, 2])
def test_open_batch(onnxes, first):
    net = onnxes.convnet()
    dim = net.graph.input[0].type.tensor_type.shape.dim[0]
    dim.Clear()
    if isinstance(first, str):
        dim.dim_param = first
    elif first is not None:
        dim.dim_value = first
    model = import_model(onnxes.save(net), batch=2)
    assert model.values["x"].shape == (2, 3, 8, 8)
    assert model.values["y"].shape == (2, 5)


def test_initializers_listed_as_inputs(onnxes, accept):
    net = onnxes.convnet(9, ir=3)
    for tensor in net.graph.initializer:
        net.graph.input.append(onnxes.value(tensor.name, list(tensor.dims)))
    assert accept(net).inputs == ("x",)


def test_several_inputs_and_outputs_and_an_unused_input(onnxes, accept):
    nodes = [onnxes.node("Add", ["a", "b"], ["s"]), onnxes.node("Relu", ["s"], ["r"]), onnxes.node("Neg", ["a"], ["n"])]
    model = accept(onnxes.model(nodes, ["a", "b", "idle"], ["r", "n", "s"]), reference=True)
    assert model.inputs == ("a", "b", "idle")
    assert model.outputs == ("r", "n", "s")


def test_outputs_that_are_inputs_or_constants(onnxes, accept):
    nodes = [onnxes.node("Relu", ["x"], ["r"]), onnxes.node("Neg", ["k"], ["priors"])]
    outputs = ["r", "x", "k", "priors"]
    model = accept(onnxes.model(nodes, ["x"], outputs, [onnxes.weight("k", [1.0, 2.0])]))
    assert model.outputs == tuple(outputs)
    assert model.values["priors"].shape == (2,)


def test_optional_inputs_stay_empty(onnxes, accept):
    nodes = [
        onnxes.node("Clip", ["x", "", "top"], ["c"]),
        onnxes.node("Resize", ["c", "", "scales"], ["y"], mode="nearest"),
    ]
    weights = [onnxes.weight("top", 0.5), onnxes.weight("scales", [1, 1, 2, 2])]
    model = accept(onnxes.model(nodes, ["x"], ["y"], weights), reference=True)
    assert list(model.proto.graph.node[0].input) == ["x", "", "top"]


def test_dead_nodes_and_unused_weights_go(onnxes, accept):
    net = onnxes.convnet()
    net.graph.node.append(onnxes.node("Neg", ["r"], ["nowhere"]))
    net.graph.initializer.append(onnxes.random("spare", 4))
    model = accept(net)
    assert "nowhere" not in model.values
    assert "spare" not in {tensor.name for tensor in model.proto.graph.initializer}


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_initializer(onnxes, accept, linear):
    indices = [1, 5] if linear else [[0, 1], [1, 2]]
    sparse = helper.make_sparse_tensor(onnxes.weight("k", [2.0, -3.0]), onnxes.weight("i", indices, np.int64), [2, 3])
    net = onnxes.model(
        [onnxes.node("Add", ["x", "k"], ["y"])], [onnxes.value("x", [2, 3])], ["y"], sparse_initializer=[sparse]
    )
    dense = onnxes.model(
        [onnxes.node("Add", ["x", "k"], ["y"])],
        [onnxes.value("x", [2, 3])],
        ["y"],
        [onnxes.weight("k", [[0, 2, 0], [0, 0, -3]])],
    )
    model = imported(onnxes.save(net), dense, batch=2)
    assert not model.proto.graph.sparse_initializer


def test_int8_qdq_passes_through(onnxes, accept):
    weights = [
        onnxes.weight("s", 0.05), onnxes.weight("z", 0, np.int8), onnxes.weight("ws", [0.1, 0.2]),
        onnxes.weight("wz", [0, 0], np.int8), onnxes.weight("w", np.ones((2, 3, 3, 3)), np.int8),
    ]  # fmt: skip
    nodes = [
        onnxes.node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        onnxes.node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        onnxes.node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        onnxes.node("Conv", ["xd", "wd"], ["y"]),
    ]
    model = accept(onnxes.model(nodes, ["x"], ["y"], weights))
    assert [node.op_type for node in model.proto.graph.node] == [node.op_type for node in nodes]
    assert model.values["xq"].dtype == "int8"
    assert "wd" not in model.values


def branching(onnxes, opset=13):
    then = onnxes.graph([onnxes.node("Mul", ["x", "w"], ["t"])], "then", [], [onnxes.value("t", ["a", "b"])])
    other = onnxes.graph(
        [onnxes.node("Add", ["r", "own"], ["t"])], "else", [], [onnxes.value("t")], [onnxes.weight("own", [1, 2, 3])]
    )
    nodes = [
        onnxes.node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        onnxes.node("ReduceMean", ["x"], ["m"], keepdims=0, axes=[0, 1]),
        onnxes.node("Greater", ["m", "zero"], ["c"]),
        onnxes.node("Relu", ["x"], ["r"]),
    ]
    weights = [onnxes.weight("w", [2, 2, 2]), onnxes.weight("zero", 0)]
    return onnxes.model(nodes, [onnxes.value("x", ["N", 3])], ["y"], weights, opset=opset)


@pytest.mark.parametrize("opset", [11, 13])
def test_if_with_captured_values(onnxes, opset):
    net = branching(onnxes, opset)
    ordered = branching(onnxes, opset)
    nodes = [onnx.NodeProto.FromString(net.graph.node[i].SerializeToString()) for i in (1, 2, 3, 0)]
    del ordered.graph.node[:]
    ordered.graph.node.extend(nodes)
    # The branches share the name 't', which is legal, and is made unique.
    model = imported(onnxes.save(net), ordered, batch=2)
    assert model.values["y"].shape == (2, 3)
    assert model.values["y"].cuttable
    assert not {"t", "t_1"} & model.values.keys()


def test_if_with_a_constant_condition_is_resolved(onnxes, accept):
    then = onnxes.graph([onnxes.node("Squeeze", ["x", "ax"], ["t"])], "then", [], [onnxes.value("t")])
    other = onnxes.graph([onnxes.node("Identity", ["x"], ["e"])], "else", [], [onnxes.value("e")])
    nodes = [
        onnxes.node("Shape", ["x"], ["s"]),
        onnxes.node("Gather", ["s", "one"], ["d"]),
        onnxes.node("Equal", ["d", "one"], ["c"]),
        onnxes.node("If", ["c"], ["q"], then_branch=then, else_branch=other),
        onnxes.node("Relu", ["q"], ["y"]),
    ]
    weights = [onnxes.weight("ax", [1], np.int64), onnxes.weight("one", 1, np.int64)]
    model = accept(onnxes.model(nodes, [onnxes.value("x", [1, 1, 4])], ["y"], weights))
    assert [node.op_type for node in model.proto.graph.node] == ["Squeeze", "Relu"]
    assert model.values["q"].shape == (1, 4)


def test_loop(onnxes, accept):
    body = onnxes.graph(
        [onnxes.node("Identity", ["ci"], ["co"]), onnxes.node("Add", ["v", "x"], ["vo"])],
        "body",
        [onnxes.value("i", [], TensorProto.INT64), onnxes.value("ci", [], TensorProto.BOOL), onnxes.value("v", [9])],
        [onnxes.value("co", [], TensorProto.BOOL), onnxes.value("vo", [9, 9])],
    )
    nodes = [onnxes.node("Loop", ["n", "", "x"], ["l"], body=body), onnxes.node("Relu", ["l"], ["y"])]
    net = onnxes.model(nodes, [onnxes.value("x", [1, 3])], ["y"], [onnxes.weight("n", 3, np.int64)])
    fine = onnxes.model(nodes, [onnxes.value("x", [1, 3])], ["y"], [onnxes.weight("n", 3, np.int64)])
    for graph in (fine.graph.node[0].attribute[0].g,):
        for value in (graph.input[2], graph.output[1]):
            value.type.tensor_type.ClearField("shape")
    model = imported(onnxes.save(net), fine)
    assert not model.values["l"].cuttable
    assert model.values["l"].shape == (1, 3)


def test_scan(onnxes, accept):
    body = onnxes.graph(
        [onnxes.node("Add", ["s", "e"], ["so"]), onnxes.node("Identity", ["so"], ["eo"])],
        "body",
        [onnxes.value("s", [3]), onnxes.value("e", [3])],
        [onnxes.value("so", [3]), onnxes.value("eo", [3])],
    )
    node = onnxes.node("Scan", ["s0", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    accept(onnxes.model([node], [onnxes.value("x", [1, 3])], ["y", "last"], [onnxes.weight("s0", [0, 0, 0])]))


@pytest.mark.parametrize("function_opset", [13, 11])
def test_local_functions_are_inlined(onnxes, accept, function_opset):
    function = helper.make_function(
        "local", "twice", ["a"], ["b"],
        [onnxes.node("Relu", ["a"], ["t"]), onnxes.node("Add", ["t", "t"], ["b"])],
        [helper.make_opsetid("", function_opset)],
    )  # fmt: skip
    nodes = [
        onnxes.node("twice", ["x"], ["m"], domain="local", name="first"),
        onnxes.node("twice", ["m"], ["y"], domain="local", name="second"),
    ]
    net = onnxes.model(nodes, ["x"], ["y"], domains={"local": 1}, ir=8)
    net.functions.append(function)
    model = accept(net)
    assert [node.op_type for node in model.proto.graph.node] == ["Relu", "Add"] * 2
    assert [entry.domain for entry in model.proto.opset_import] == [""]


def test_custom_domain_shapes_come_from_onnx_runtime(onnxes, accept):
    nodes = [
        onnxes.node("Gelu", ["x"], ["g"], domain="com.microsoft"),
        onnxes.node("Shape", ["g"], ["s"]),
        onnxes.node("Slice", ["s", "zero", "one"], ["n"]),
        onnxes.node("Concat", ["n", "rest"], ["to"], axis=0),
        onnxes.node("Reshape", ["g", "to"], ["f"]),
        onnxes.node("FusedMatMul", ["f", "w"], ["y"], domain="com.microsoft", alpha=0.5),
    ]
    weights = [
        onnxes.weight("zero", [0], np.int64), onnxes.weight("one", [1], np.int64),
        onnxes.weight("rest", [-1], np.int64), onnxes.random("w", 192, 4),
    ]  # fmt: skip
    model = accept(onnxes.model(nodes, ["x"], ["y"], weights, domains={"com.microsoft": 1}))
    assert [node.op_type for node in model.proto.graph.node] == ["Gelu", "Reshape", "FusedMatMul"]
    assert {name: (value.shape, value.cuttable) for name, value in model.values.items()} == {
        "x": ((1, 3, 8, 8), True), "g": ((1, 3, 8, 8), True), "f": ((1, 192), True), "y": ((1, 4), True),
    }  # fmt: skip


def test_shapes_that_nobody_infers_come_from_two_runs(onnxes, accept):
    nodes = [
        onnxes.node("CDist", ["x", "k"], ["d"], domain="com.microsoft", metric="euclidean"),
        onnxes.node("Shape", ["d"], ["s"]),
        onnxes.node("Slice", ["s", "zero", "one"], ["n"]),
        onnxes.node("Concat", ["n", "rest"], ["to"], axis=0),
        onnxes.node("Reshape", ["d", "to"], ["y"]),
    ]
    weights = [
        onnxes.weight("zero", [0], np.int64), onnxes.weight("one", [1], np.int64),
        onnxes.weight("rest", [2, 3], np.int64), onnxes.random("k", 6, 5),
    ]  # fmt: skip
    net = onnxes.model(nodes, [onnxes.value("x", [4, 5])], ["y"], weights, domains={"com.microsoft": 1})
    model = accept(net, batch=4)
    assert [node.op_type for node in model.proto.graph.node] == ["CDist", "Reshape"]
    assert {name: (value.shape, value.cuttable) for name, value in model.values.items()} == {
        "x": ((4, 5), True), "d": ((4, 6), True), "y": ((4, 2, 3), True),
    }  # fmt: skip


def test_shapes_made_of_data_are_not_cuttable(onnxes, accept):
    nodes = [
        onnxes.node("NonZero", ["x"], ["where"]),
        onnxes.node("Transpose", ["where"], ["rows"], perm=[1, 0]),
        onnxes.node("Relu", ["x"], ["r"]),
        onnxes.node("GatherND", ["r", "rows"], ["y"]),
        onnxes.node("ReduceSum", ["y"], ["total"]),
    ]
    model = accept(onnxes.model(nodes, ["x"], ["y", "total"]))
    assert {name for name, value in model.values.items() if not value.cuttable} == {"where", "rows", "y"}
    assert model.values["where"].shape[0] == 4


def test_wrong_declared_shapes_are_replaced(onnxes):
    net = onnxes.convnet()
    net.graph.output[0].CopyFrom(onnxes.value("y", [7, 7, 7]))
    net.graph.value_info.append(onnxes.value("r", [9]))
    model = imported(onnxes.save(net), onnxes.convnet())
    assert model.values["y"].shape == (1, 5)
    assert model.values["r"].shape == (1, 4, 8, 8)


def test_too_new_ir_is_restamped(onnxes):
    net = onnxes.convnet(13)
    net.ir_version = 99
    assert imported(onnxes.save(net), onnxes.convnet(13)).proto.ir_version == 7


def test_spelled_out_default_domain(onnxes, accept):
    net = onnxes.convnet()
    net.opset_import[0].domain = "ai.onnx"
    net.graph.node[0].domain = "ai.onnx"
    assert accept(net).opset == 13


def test_metadata_stays(onnxes, accept):
    net = onnxes.convnet(11)
    net.metadata_props.add(key="author", value="somebody")
    net.doc_string = "a net"
    model = accept(net)
    assert model.proto.metadata_props[0].value == "somebody"
    assert model.proto.doc_string == "a net"


def test_float16_and_uint8_inputs(onnxes, accept):
    nodes = [
        onnxes.node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        onnxes.node("Mul", ["h", "k"], ["m"]),
        onnxes.node("Relu", ["m"], ["y"]),
    ]
    inputs = [onnxes.value("x", [1, 3, 4, 4], TensorProto.UINT8)]
    outputs = [onnxes.value("y", None, TensorProto.FLOAT16)]
    model = accept(onnxes.model(nodes, inputs, outputs, [onnxes.weight("k", 0.5, np.float16)]))
    assert (model.values["x"].dtype, model.values["m"].dtype) == ("uint8", "float16")


def test_types_without_numpy_equivalent_are_not_cuttable(onnxes, accept):
    nodes = [
        onnxes.node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        onnxes.node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    weights = [onnxes.weight("s", 0.1), helper.make_tensor("z", TensorProto.INT4, [], [0])]
    model = accept(onnxes.model(nodes, ["x"], ["y"], weights, opset=21))
    assert not model.values["q"].cuttable
    assert model.values["q"].dtype == "int4"


def test_sequences_inside_are_not_cuttable(onnxes, accept):
    nodes = [
        onnxes.node("SequenceConstruct", ["x", "x"], ["q"]),
        onnxes.node("ConcatFromSequence", ["q"], ["y"], axis=1),
    ]
    model = accept(onnxes.model(nodes, ["x"], ["y"]))
    assert not model.values["q"].cuttable
    assert model.values["q"].dtype == "sequence"


def test_inconsistent_model_is_refused_by_node(onnxes):
    nodes = [onnxes.node("MatMul", ["x", "w"], ["y"], name="head")]
    net = onnxes.model(nodes, [onnxes.value("x", [1, 8])], ["y"], [onnxes.random("w", 9, 4)])
    with pytest.raises(ModelError, match="contradicts itself: shape inference fails") as caught:
        import_model(onnxes.save(net))
    assert "node name: head" in caught.value.context[0]


def test_operator_that_onnx_runtime_lacks_is_refused_by_node(onnxes):
    nodes = [onnxes.node("Frobnicate", ["x"], ["y"], name="odd", domain="com.example")]
    net = onnxes.model(nodes, ["x"], ["y"], domains={"com.example": 1})
    with pytest.raises(ModelError, match=r"ONNX Runtime .* cannot load the model") as caught:
        import_model(onnxes.save(net))
    assert "Frobnicate" in caught.value.context[0]
    assert caught.value.context[1] == "found        node 'odd' (com.example.Frobnicate)"


def test_the_checker_has_a_say(onnxes):
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"], name="r", colour=3)], ["x"], ["y"])
    with pytest.raises(ModelError, match="onnx's checker refuses the model") as caught:
        import_model(onnxes.save(net))
    assert "colour" in caught.value.context[0]


@pytest.mark.parametrize("seed", range(200))
def test_damaged_files_raise_nothing_but_model_errors(onnxes, seed, capfd):
    rng = np.random.default_rng(seed)
    data = bytearray((onnxes.convnet(11) if seed % 2 else branching(onnxes)).SerializeToString())
    for position in rng.integers(0, len(data), 3):
        data[position] = rng.integers(0, 256)
    path = onnxes.folder / "damaged.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ModelError):
        import_model(path, batch=2)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed(onnxes, capfd):
    with pytest.raises(ModelError):
        import_model(
            onnxes.save(onnxes.model([onnxes.node("F", ["x"], ["y"], domain="d")], ["x"], ["y"], domains={"d": 1}))
        )
    import_model(onnxes.save(onnxes.convnet(9)))
    assert capfd.readouterr() == ("", "")
