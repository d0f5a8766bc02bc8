"""Layers of engines found again in the model, by the names that ONNX Runtime and TensorRT give them."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.profiles.layer_owners import layer_owners, map_layers, owners_of
from coachc.frontend import ort
from coachc.models import synthetic
from coachc.planning.measuring_engines import OrtMeasuring
from coachc.runtime.bundle.kernel_times import kernel_times, read_events
from tests.helpers.onnx_models import batch_norm, constant, imported, info, net, op, random_weight
from tests.helpers.transformer import transformer


def normalized():
    """Batch normalization before and behind convolutions, as in DenseNet."""
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("Relu", "c", "r"), op("Conv", "r w", "d", pads=[1] * 4),
        op("Concat", "r d", "j", axis=1), op("BatchNormalization", "j n.s n.b n.m n.v", "b"), op("Relu", "b", "s"),
        op("Conv", "s v", "y", pads=[1] * 4),
    ]  # fmt: skip
    shapes = {"a": (16, 4, 3, 3), "w": (16, 16, 3, 3), "v": (16, 32, 3, 3)}
    weights = [*(random_weight(name, *shape) for name, shape in shapes.items()), *batch_norm("n", 32)]
    return net(nodes, ["x"], ["y"], weights)


def perceptron():
    """Two layers with their activation, which ONNX Runtime makes one kernel of: "fused fc"."""
    nodes = [op("Flatten", "x", "f"), op("Gemm", "f a", "g"), op("Relu", "g", "r"), op("Gemm", "r b", "y")]
    return net(nodes, ["x"], ["y"], [random_weight("a", 256, 64), random_weight("b", 64, 10)])


def attention_by_hand():
    """As exporters before opset 17 write it: normalization and Gelu as their arithmetic, biases beside products."""
    width, tokens = 64, 49
    weights = [random_weight(name, width, width) for name in ("wq", "wk", "wv", "wo")]
    weights += [random_weight("w1", width, 4 * width), random_weight("w2", 4 * width, width)]
    weights += [random_weight(name, width) for name in ("bq", "bk", "bv", "scale", "shift")]
    scalars = {"two": 2.0, "tiny": 1e-5, "root": 8.0, "sqrt2": 2**0.5, "one": 1.0, "half": 0.5}
    weights += [constant(name, np.float32(value)) for name, value in scalars.items()]
    nodes = [
        op("ReduceMean", "x", "m", axes=[-1]), op("Sub", "x m", "d"), op("Pow", "d two", "p"),
        op("ReduceMean", "p", "v", axes=[-1]), op("Add", "v tiny", "e"), op("Sqrt", "e", "s"), op("Div", "d s", "n0"),
        op("Mul", "n0 scale", "n1"), op("Add", "n1 shift", "n"),
    ]  # fmt: skip
    for name in ("q", "k", "v"):
        nodes += [op("MatMul", f"n w{name}", f"m{name}"), op("Add", f"m{name} b{name}", f"a{name}")]
    nodes += [
        op("Transpose", "ak", "kt", perm=[0, 2, 1]), op("MatMul", "aq kt", "z"), op("Div", "z root", "zs"),
        op("Softmax", "zs", "w", axis=-1), op("MatMul", "w av", "o"), op("MatMul", "o wo", "u"), op("Add", "x u", "h"),
        op("MatMul", "h w1", "g"), op("Div", "g sqrt2", "g1"), op("Erf", "g1", "g2"), op("Add", "g2 one", "g3"),
        op("Mul", "g g3", "g4"), op("Mul", "g4 half", "g5"), op("MatMul", "g5 w2", "y"),
    ]  # fmt: skip
    return net(nodes, [info("x", (1, tokens, width))], ["y"], weights)


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("build", [synthetic.residual, synthetic.inception, synthetic.dense, normalized])
def test_every_kernel_of_onnx_runtime_belongs_to_an_operator(build, tmp_path):
    """Whatever layout and fusions it chooses; only copies between layouts belong to nobody."""
    model, graph = imported(build(), tmp_path)
    session = ort.session(model.proto, "all", profile_prefix=str(tmp_path / "run"))
    session.run(None, ort.seeded_inputs(model.proto, 0))
    kernels, runs = kernel_times(read_events(session.end_profiling()))
    assert len(runs) == 1
    mapped = map_layers([(name, sum(seconds)) for name, seconds in kernels.items()], model, graph)
    assert all(seconds > 0 for seconds, node in zip(mapped.seconds, graph.nodes, strict=True) if not node.work.free)
    assert mapped.unknown == ()
    assert sum(mapped.seconds) + mapped.copies_s == pytest.approx(sum(sum(seconds) for seconds in kernels.values()))


@pytest.fixture
def owners(tmp_path):
    model, graph = imported(normalized(), tmp_path)
    return layer_owners(model, graph), {
        member: place for place, node in enumerate(graph.nodes) for member in node.members
    }


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("Conv.c", ["Conv.c"]),
        ("Conv.c + Relu.r", ["Conv.c"]),
        ("Conv.c + Relu.r + Conv.d", ["Conv.c", "Conv.d"]),
        ("PWN(BatchNormalization.b, Relu.s)", ["BatchNormalization.b"]),
        ("PWN(PWN(BatchNormalization.b), Relu.s)", ["BatchNormalization.b"]),
        ("{ForeignNode[Conv.c...Relu.s]}", ["Conv.c", "BatchNormalization.b"]),
        ("Conv.c || Conv.d", ["Conv.c", "Conv.d"]),
        ("r_nchwc", ["Conv.c"]),
        ("y", ["Conv.y"]),
        ("fused Conv.c", ["Conv.c"]),
        ("Conv.d/MatMulAddFusion", ["Conv.d"]),
        ("Conv.d/SimplifiedLayerNormFusion/", ["Conv.d"]),
        ("Conv.d_token_3", ["Conv.d"]),
        ("Scale.unknown", []),
        ("Scale.unknown/MatMulAddFusion", []),
    ],
)
def test_joined_names_are_taken_apart(owners, name, nodes):
    by_name, place_of = owners
    assert set(owners_of(name, by_name)) == {place_of[node] for node in nodes}


@pytest.mark.parametrize(
    "name",
    ["Reformatting CopyNode for Input Tensor 0 to Conv.c + Relu.r", "ReorderOutput_token_3", "y copy of Conv.y"],
)
def test_copies_between_layouts_belong_to_nobody(name, tmp_path):
    model, graph = imported(normalized(), tmp_path)
    mapped = map_layers([("Conv.c", 2.0), (name, 3.0), ("nobody", 1.0)], model, graph)
    assert (mapped.named_s, mapped.copies_s, mapped.unknown, mapped.unknown_s) == (2.0, 3.0, ("nobody",), 0.0)
    # What nobody speaks of took the second that is told by no name; the convolution keeps what was said of it.
    assert sum(mapped.seconds) == pytest.approx(3.0)
    assert mapped.seconds[layer_owners(model, graph)["Conv.c"]] == 2.0


def test_where_every_operator_is_spoken_of_the_rest_is_nobodys(tmp_path):
    model, graph = imported(normalized(), tmp_path)
    told = [(node.members[0], 1.0) for node in graph.nodes]
    mapped = map_layers([*told, ("nobody", 5.0)], model, graph)
    assert mapped.seconds == (1.0,) * len(graph.nodes)
    assert (mapped.unknown, mapped.unknown_s) == (("nobody",), 5.0)


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("build", [transformer, perceptron, attention_by_hand])
def test_fusions_of_transformers_are_found(build, tmp_path):
    """Products with their bias and scale, normalizations and Gelu written out: few are told by their kind only."""
    model, graph = imported(build(), tmp_path)
    layers = OrtMeasuring().layers(model.proto, ort.seeded_inputs(model.proto, 0), 3)
    mapped = map_layers([(name, sum(seconds)) for name, seconds in layers.items()], model, graph)
    total_s = sum(sum(seconds) for seconds in layers.values())
    unknown_s = sum(sum(layers[name]) for name in mapped.unknown)
    assert unknown_s < 0.2 * total_s, mapped.unknown
    assert sum(mapped.seconds) + mapped.copies_s + mapped.unknown_s == pytest.approx(total_s)
    products = [node for node in graph.nodes if node.kind.split("+")[0] in ("MatMul", "Gemm")]
    assert products
    assert all(mapped.seconds[graph.nodes.index(node)] > 0 for node in products)


def test_a_layer_of_several_operators_is_shared(tmp_path):
    model, graph = imported(normalized(), tmp_path)
    mapped = map_layers([("Conv.c + Conv.d", 4.0)], model, graph)
    assert sorted(mapped.seconds, reverse=True)[:3] == [2.0, 2.0, 0.0]
