"""Which ONNX nodes an engine would run as one, by hand and as invariants of random graphs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from coachc.core.graph import Value
from coachc.frontend.fuse import MAX_ACTIVATION_NODES, fuse
from coachc.frontend.work import node_flops, work_kind
from tests.helpers.onnx_models import batch_norm, constant, imported, info, net, op, random_weight, untouched

SAME = {"pads": [1, 1, 1, 1]}
W = random_weight("w", 4, 4, 3, 3)


def conv(x, y, w="w", **attributes):
    return op("Conv", f"{x} {w}", y, **(attributes or SAME))


def parts(graph):
    """Members by kind, in order."""
    return [(node.kind, node.members) for node in graph.nodes]


@pytest.fixture
def fused(tmp_path):
    """Builder: nodes, inputs, outputs, weights -> graph, through the importer."""
    return lambda *arguments, **options: imported(net(*arguments, **options), tmp_path)[1]


class TestKnownShapes:
    def test_convolution_takes_normalization_and_activation(self, fused):
        nodes = [conv("x", "c"), op("BatchNormalization", "c n.s n.b n.m n.v", "b"), op("Relu", "b", "y")]
        graph = fused(nodes, ["x"], ["y"], [W, *batch_norm("n", 4)])
        assert parts(graph) == [("Conv+BatchNormalization+Relu", ("Conv.c", "BatchNormalization.b", "Relu.y"))]
        (node,) = graph.nodes
        assert (node.name, node.inputs, node.outputs) == ("Conv.c", ("x",), ("y",))
        # 4x8x8 outputs of 4x3x3 products; the values inside the group cost no traffic; weights and 4 parameters each.
        assert node.work.flops == 2 * (4 * 64) * (4 * 9)
        assert (node.work.input_elements, node.work.output_elements) == (256, 256)
        assert node.work.weight_elements == 4 * 4 * 9 + 4 * 4
        assert node.work.kind == "conv3x3"
        assert not node.work.free
        assert set(graph.values) == {"x", "y"}

    @pytest.mark.parametrize("later", ["branch", "projection"])
    def test_addition_joins_the_later_convolution(self, later):
        """The other one is then an input like any other, and the group needs no operator behind it."""
        branch = [conv("x", "a"), op("Relu", "a", "r"), conv("r", "b")]
        projection = [conv("x", "s")]
        first = projection + branch if later == "branch" else branch + projection
        nodes = [*first, op("Add", "b s", "sum"), op("Relu", "sum", "y")]
        values = [Value(name, "float32", (1, 4, 8, 8)) for name in ("x", "a", "r", "b", "s", "sum", "y")]
        graph = fuse(untouched(net(nodes, ["x"], ["y"], [W]), values))
        assert parts(graph)[-1] == (
            "Conv+Add+Relu", ("Conv.b" if later == "branch" else "Conv.s", "Add.sum", "Relu.y"),
        )  # fmt: skip
        assert set(graph.nodes[-1].inputs) == ({"r", "s"} if later == "branch" else {"x", "b"})
        assert graph.nodes[-1].outputs == ("y",)
        assert sorted(node.kind for node in graph.nodes) == ["Conv", "Conv+Add+Relu", "Conv+Relu"]

    def test_identity_shortcut_enters_the_group(self, fused):
        nodes = [conv("x", "a"), op("Relu", "a", "r"), conv("r", "b"), op("Add", "b r", "sum"), op("Relu", "sum", "y")]
        graph = fused(nodes, ["x"], ["y"], [W])
        assert [node.kind for node in graph.nodes] == ["Conv+Relu", "Conv+Add+Relu"]
        # r is read twice by the group and enters it once.
        assert graph.nodes[1].inputs == ("r",)
        assert graph.nodes[1].work.input_elements == 256

    def test_silu(self, fused):
        nodes = [conv("x", "c"), op("Sigmoid", "c", "s"), op("Mul", "c s", "m"), conv("m", "y")]
        graph = fused(nodes, ["x"], ["y"], [W])
        assert parts(graph) == [("Conv+Sigmoid+Mul", ("Conv.c", "Sigmoid.s", "Mul.m")), ("Conv", ("Conv.y",))]
        assert graph.nodes[0].outputs == ("m",)

    def test_silu_of_something_that_cannot_take_it(self, fused):
        nodes = [op("MaxPool", "x", "p", kernel_shape=[1, 1]), op("Sigmoid", "p", "s"), op("Mul", "p s", "y")]
        assert [kind for kind, _ in parts(fused(nodes, ["x"], ["y"]))] == ["MaxPool", "Sigmoid+Mul"]

    def test_gelu_by_erf(self, fused):
        nodes = [
            op("MatMul", "x k", "c"), op("Div", "c root", "d"), op("Erf", "d", "e"), op("Add", "e one", "a"),
            op("Mul", "c a", "m"), op("Mul", "m half", "y"),
        ]  # fmt: skip
        scalars = [
            constant("root", np.float32(2**0.5)),
            constant("one", np.float32(1)),
            constant("half", np.float32(0.5)),
        ]
        graph = fused(nodes, ["x"], ["y"], [random_weight("k", 8, 8), *scalars])
        assert [node.kind for node in graph.nodes] == ["MatMul+Div+Erf+Add+Mul"]
        assert graph.nodes[0].work.flops == 2 * 256 * 8
        assert graph.nodes[0].work.weight_elements == 64 + 3

    def test_hard_swish(self, fused):
        nodes = [
            conv("x", "c"), op("Add", "c three", "a"), op("Clip", "a zero six", "k"), op("Mul", "c k", "m"),
            op("Div", "m six", "y"),
        ]  # fmt: skip
        scalars = [constant(name, np.float32(n)) for name, n in (("three", 3), ("zero", 0), ("six", 6))]
        assert [node.kind for node in fused(nodes, ["x"], ["y"], [W, *scalars]).nodes] == ["Conv+Add+Clip+Mul+Div"]

    def test_an_activation_that_also_leaves_half_way_is_not_one(self, fused):
        nodes = [conv("x", "c"), op("Sigmoid", "c", "s"), op("Mul", "c s", "y")]
        graph = fused(nodes, ["x"], ["y", "s"], [W])
        # Both results leave, and the convolution's own output has two readers: three operators.
        assert [node.outputs for node in graph.nodes] == [("c",), ("s",), ("y",)]

    def test_a_long_fan_out_is_left_alone(self, fused):
        count = MAX_ACTIVATION_NODES + 1
        steps = [op("Tanh", f"t{i}" if i else "c", f"t{i + 1}") for i in range(count)]
        graph = fused([conv("x", "c"), *steps, op("Mul", f"c t{count}", "y")], ["x"], ["y"], [W])
        assert [node.kind for node in graph.nodes] == ["Conv", "Tanh+Mul"]
        assert graph.nodes[1].inputs == ("c",)

    def test_concat_is_free_and_alone(self, fused):
        nodes = [
            conv("x", "a"),
            conv("x", "b"),
            op("Concat", "a b", "j", axis=1),
            op("Relu", "j", "r"),
            conv("r", "y", "v"),
        ]
        graph = fused(nodes, ["x"], ["y"], [W, random_weight("v", 4, 8, 3, 3)])
        assert [node.kind for node in graph.nodes] == ["Conv", "Conv", "Concat", "Relu", "Conv"]
        assert [node.work.free for node in graph.nodes] == [False, False, True, False, False]

    def test_densenet_normalizes_before_it_convolves(self, fused):
        nodes = [
            op("Concat", "x x2", "j", axis=1), op("BatchNormalization", "j n.s n.b n.m n.v", "b"), op("Relu", "b", "r"),
            conv("r", "c", "v"), op("BatchNormalization", "c o.s o.b o.m o.v", "d"), op("Relu", "d", "y"),
        ]  # fmt: skip
        weights = [random_weight("v", 4, 8, 3, 3), *batch_norm("n", 8), *batch_norm("o", 4)]
        graph = fused(nodes, ["x", "x2"], ["y"], weights)
        assert [node.kind for node in graph.nodes] == [
            "Concat", "BatchNormalization+Relu", "Conv+BatchNormalization+Relu",
        ]  # fmt: skip

    def test_a_view_costs_nothing(self, fused):
        nodes = [
            op("GlobalAveragePool", "x", "g"), op("Flatten", "g", "f"), op("Gemm", "f k b", "y", transB=1),
        ]  # fmt: skip
        graph = fused(nodes, ["x"], ["y"], [random_weight("k", 5, 4), random_weight("b", 5)])
        assert parts(graph) == [("GlobalAveragePool", ("GlobalAveragePool.g", "Flatten.f")), ("Gemm", ("Gemm.y",))]
        assert graph.nodes[0].outputs == ("f",)
        assert graph.nodes[1].work.weight_elements == 20 + 5
        lone = fused([op("Flatten", "x", "f"), op("Relu", "f", "y"), op("Tanh", "f", "z")], ["x"], ["y", "z"])
        assert [(node.kind, node.work.free) for node in lone.nodes] == [
            ("Flatten", True),
            ("Relu", False),
            ("Tanh", False),
        ]

    def test_a_quantizer_and_its_inverse_stay_together(self, fused):
        nodes = [
            conv("x", "c"), op("QuantizeLinear", "c s z", "q"), op("DequantizeLinear", "q s z", "d"), conv("d", "y"),
        ]  # fmt: skip
        graph = fused(nodes, ["x"], ["y"], [W, constant("s", np.float32(0.1)), constant("z", np.uint8(128))])
        assert [node.kind for node in graph.nodes] == ["Conv+QuantizeLinear+DequantizeLinear", "Conv"]
        assert "q" not in graph.values

    def test_a_model_output_in_the_middle_is_not_swallowed(self, fused):
        nodes = [conv("x", "c"), op("Relu", "c", "y")]
        graph = fused(nodes, ["x"], ["c", "y"], [W])
        assert [(node.kind, node.outputs) for node in graph.nodes] == [("Conv", ("c",)), ("Relu", ("y",))]
        assert graph.outputs == ("c", "y")

    def test_two_readers_end_a_group(self, fused):
        nodes = [conv("x", "c"), op("Relu", "c", "r"), conv("r", "y"), op("MaxPool", "r", "z", kernel_shape=[2, 2])]
        graph = fused(nodes, ["x"], ["y", "z"], [W])
        assert [node.kind for node in graph.nodes] == ["Conv+Relu", "Conv", "MaxPool"]

    def test_if_reads_what_its_branches_capture(self, fused):
        def branch(name, node):
            return helper.make_graph([node], name, [], [info(node.output[0], (1, 4, 8, 8))])

        nodes = [
            conv("x", "c"), op("ReduceMax", "x", "top", keepdims=0), op("Greater", "top zero", "cond"),
            op(
                "If", "cond", "y",
                then_branch=branch("then", op("Relu", "c", "t")), else_branch=branch("else", op("Neg", "c", "e")),
            ),
        ]  # fmt: skip
        graph = fused(nodes, ["x"], [info("y", (1, 4, 8, 8))], [W, constant("zero", np.float32(0))])
        last = graph.nodes[-1]
        assert last.kind == "If"
        assert set(last.inputs) == {"c", "cond"}
        assert {graph.nodes[graph.producer["c"]].kind} == {"Conv"}

    def test_weights_made_by_nodes_are_weights(self):
        """As where folding would take too much memory: nodes that no input reaches are not operators."""
        nodes = [
            op("ConstantOfShape", "shape", "w", value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])),
            conv("x", "y"),
        ]
        proto = net(nodes, ["x"], ["y"], [constant("shape", [4, 4, 3, 3], np.int64)])
        proto.graph.value_info.append(info("w", (4, 4, 3, 3)))
        model = untouched(proto, [Value(name, "float32", (1, 4, 8, 8)) for name in "xy"])
        (node,) = fuse(model).nodes
        assert (node.members, node.inputs, node.work.weight_elements) == (("Conv.y",), ("x",), 144)
        assert node.work.flops == 2 * 256 * 36

    def test_a_mask_of_dropout_does_not_tie_a_knot(self):
        """Dropout gives two values: a group must not go on behind it while the other value comes back into it."""
        nodes = [
            op("Dropout", "x", "d mask"), op("Sigmoid", "d", "s"), op("Mul", "d s", "m"),
            op("Not", "mask", "n"), op("Cast", "n", "f", to=TensorProto.FLOAT),
            op("MaxPool", "f", "p", kernel_shape=[1, 1]), op("Add", "m p", "y"),
        ]  # fmt: skip
        proto = net(nodes, ["x"], ["y"])
        dtypes = dict.fromkeys("xdsmfpy", "float32") | {"mask": "bool", "n": "bool"}
        graph = fuse(untouched(proto, [Value(name, dtype, (1, 4, 8, 8)) for name, dtype in dtypes.items()]))
        check_invariants(proto, graph)


UNARY = ("Relu", "Sigmoid", "Tanh", "Erf", "Abs", "MaxPool", "Conv", "Conv", "Flat", "Softmax", "Dropout")


def random_net(seed):
    """A graph of nodes of one shape, with fan-outs that close soon, as activations do, and others that do not."""
    rng = np.random.default_rng(seed)
    live, nodes = ["x"], []
    values = [Value("x", "float32", (1, 4, 8, 8))]

    def add(kind, *reads):
        name = f"t{len(nodes)}"
        attributes = {"Conv": SAME, "MaxPool": {"kernel_shape": [1, 1]}, "Cast": {"to": TensorProto.FLOAT}}.get(
            kind, {}
        )
        inputs = " ".join(reads) + (" w" if kind == "Conv" else " shape" if kind == "Reshape" else "")
        two = kind == "Dropout" and rng.random() < 0.5
        nodes.append(op(kind, inputs, f"{name} {name}.mask" if two else name, **attributes))
        values.append(Value(name, "float32", (1, 4, 8, 8)))
        live.append(name)
        if two:
            values.append(Value(f"{name}.mask", "bool", (1, 4, 8, 8)))
            if rng.random() < 0.7:
                add("Cast", f"{name}.mask")
        return name

    for _ in range(int(rng.integers(4, 30))):
        recent = [str(n) for n in rng.choice(live[-4:], 2)]
        match rng.integers(6):
            case 0 | 1:
                kind = str(rng.choice(UNARY))
                add("Reshape" if kind == "Flat" else kind, recent[0])
            case 2:
                add(str(rng.choice(["Add", "Mul", "Sub"])), *recent)
            case 3:
                add(str(rng.choice(["Add", "Mul"])), recent[0], str(rng.choice(live)))
            case 4:
                add("Mul", recent[0], add("Sigmoid", recent[0]))
            case _:
                add("Mul", add("Add", add("Erf", recent[0]), recent[0]), recent[0])
    read = {name for node in nodes for name in node.input}
    outputs = [v.name for v in values if v.name not in read or (v.name != "x" and rng.random() < 0.08)]
    proto = net(
        nodes,
        ["x"],
        [info(v.name, v.shape, v.dtype) for v in values if v.name in outputs],
        [W, constant("shape", [1, 4, 8, 8], np.int64)],
    )
    return untouched(proto, values)


def check_invariants(proto, graph):
    """Groups partition the nodes, are convex, come in topological order, and say truly what enters and leaves."""
    nodes = {node.name: node for node in proto.graph.node}
    group_of = {member: index for index, node in enumerate(graph.nodes) for member in node.members}
    assert sorted(member for node in graph.nodes for member in node.members) == sorted(nodes)
    maker = {name: node.name for node in proto.graph.node for name in node.output}
    above = {n.name: {maker[name] for name in n.input if name in maker} for n in proto.graph.node}
    readers = {name: {n.name for n in proto.graph.node if name in n.input} for name in maker}
    ancestors: dict[str, set[str]] = {}
    for node in proto.graph.node:  # written in topological order
        ancestors[node.name] = above[node.name].union(*(ancestors[a] for a in above[node.name]))
    outputs = {output.name for output in proto.graph.output}
    for index, group in enumerate(graph.nodes):
        members = set(group.members)
        assert list(group.members) == [name for name in nodes if name in members]
        between = set().union(*(ancestors[m] for m in members)) - members
        assert not any(ancestors[outsider] & members for outsider in between), f"{group.name} is not convex"
        assert all(group_of[maker[name]] < index for name in group.inputs if name in maker), "not in topological order"
        made = {name for m in members for name in nodes[m].output}
        assert set(group.outputs) == {name for name in made if name in outputs or readers[name] - members}
        dynamic = {name for m in members for name in nodes[m].input if name in maker or name in graph.inputs}
        assert set(group.inputs) == dynamic - made


@pytest.mark.parametrize("block", range(10))
def test_groups_of_random_graphs_are_convex(block):
    merged = 0
    for seed in range(40 * block, 40 * block + 40):
        model = random_net(seed)
        graph = fuse(model)
        try:
            check_invariants(model.proto, graph)
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {exc}") from exc
        merged += len(model.proto.graph.node) - len(graph.nodes)
    assert merged > 100, "the random graphs hold nothing to fuse"


class TestWork:
    shapes: ClassVar = {
        "x": (1, 8, 10, 10), "y": (1, 16, 5, 5), "w": (16, 8, 3, 3), "grouped": (16, 2, 3, 3), "up": (8, 16, 2, 2),
        "y2": (1, 16, 20, 20), "rows": (7, 32), "cols": (32, 7), "k": (32, 5), "r": (7, 5), "a": (2, 3, 4, 6),
        "b": (2, 3, 6, 5), "ab": (2, 3, 4, 5), "one": (16, 8, 1, 1), "wide": (16, 8, 1, 7), "line": (16, 8, 3),
        "single": (8, 1, 3, 3),
    }  # fmt: skip

    @pytest.mark.parametrize(
        ("node", "flops"),
        [
            (op("Conv", "x w", "y", strides=[2, 2]), 2 * 16 * 25 * 8 * 9),
            (op("Conv", "x grouped", "y", group=4), 2 * 16 * 25 * 2 * 9),
            (op("Conv", "x one", "y"), 2 * 16 * 25 * 8),
            (op("QLinearConv", "x s z w s z s z", "y"), 2 * 16 * 25 * 8 * 9),
            # Each of 8x10x10 inputs is multiplied into 16 channels of 2x2 outputs.
            (op("ConvTranspose", "x up", "y2", strides=[2, 2]), 2 * 800 * 16 * 4),
            (op("Gemm", "rows k", "r"), 2 * 7 * 5 * 32),
            (op("Gemm", "cols k", "r", transA=1), 2 * 7 * 5 * 32),
            (op("MatMul", "a b", "ab"), 2 * 2 * 3 * 4 * 5 * 6),
            (op("Relu", "x", "x2"), 0),
            (op("Conv", "x unknown", "y"), 0),
        ],
        ids=lambda item: None if isinstance(item, int) else " ".join(item.input),
    )
    def test_flops_by_hand(self, node, flops):
        assert node_flops(node, self.shapes) == flops

    @pytest.mark.parametrize(
        ("node", "kind"),
        [
            (op("Conv", "x w", "y"), "conv3x3"),
            (op("Conv", "x w", "y", group=1, dilations=[1, 1]), "conv3x3"),
            (op("Conv", "x w", "y", dilations=[2, 2]), "conv"),
            (op("Conv", "x one", "y"), "conv1x1"),
            (op("Conv", "x wide", "y"), "conv"),
            (op("Conv", "x line", "y"), "conv"),
            (op("Conv", "x grouped", "y", group=4), "grouped"),
            (op("Conv", "x single", "y", group=8), "depthwise"),
            (op("QLinearConv", "x s z w s z s z", "y"), "conv3x3"),
            (op("ConvInteger", "x one", "y"), "conv1x1"),
            (op("ConvTranspose", "x w", "y"), "transposed"),
            (op("Gemm", "rows k", "r"), "gemm"),
            (op("MatMul", "a k", "r"), "gemm"),
            (op("MatMul", "k a", "r"), "gemm"),
            (op("MatMul", "a b", "ab"), "attention"),
            (op("QLinearMatMul", "a s z b s z s z", "ab"), "attention"),
            (op("Relu", "x", "y"), "memory"),
        ],
        ids=lambda item: item if isinstance(item, str) else f"{item.op_type} {' '.join(item.input)}",
    )
    def test_kinds_of_work(self, node, kind):
        assert work_kind(node, self.shapes, {"x", "a", "b", "rows"}) == kind


@pytest.mark.needs("onnxruntime")
def test_light_models_come_out_as_published(tmp_path):
    """Operators by hand from He et al. 2016, table 1, and Szegedy et al. 2015, table 1."""
    from pathlib import Path

    from coachc.frontend.onnx_import import import_model

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    resnet = fuse(import_model(folder / "light_resnet50.onnx"))
    kinds = [node.kind for node in resnet.nodes]
    # 53 convolutions, the additions in 16 of them; max pool, mean, linear layer and its softmax.
    assert sum("Conv" in kind for kind in kinds) == 53
    assert sum("Sum" in kind or "Add" in kind for kind in kinds) == 16
    assert len(kinds) == 57
    # 25.5 million parameters and 4 per channel of batch normalization instead of 2: 25.6 million.
    assert sum(node.work.weight_elements for node in resnet.nodes) == pytest.approx(25.56e6, rel=0.005)
    # 4.09 GMACs with the stride in the 3x3 convolutions (torchvision's table of models).
    assert sum(node.work.flops for node in resnet.nodes) == pytest.approx(2 * 4.09e9, rel=0.001)
