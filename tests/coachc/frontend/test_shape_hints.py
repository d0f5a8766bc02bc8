"""Shapes that follow from shapes: in one pass, whatever the number of layers, and as a run has them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from coachc.frontend import fold, ort
from coachc.frontend.fold import fold_constants
from coachc.frontend.normalize import normalize
from coachc.frontend.onnx_import import import_model
from coachc.frontend.opset import with_outputs
from coachc.frontend.order import order
from coachc.frontend.shape_hints import shape_hints
from coachc.frontend.shapes import bind_inputs, infer, static_shape
from tests.helpers.light import shipped

pytestmark = pytest.mark.needs("onnxruntime")


def reshaped(onnxes, layers):
    """Layers that end in a Reshape whose shape is computed from that of their input, as exporters write it."""
    nodes, weights, value = [], [onnxes.weight("rest", [-1], np.int64), onnxes.weight("zero", [0], np.int64)], "x"
    for layer in range(layers):
        names = {part: f"{part}{layer}" for part in ("shape", "first", "wanted", "flat", "row", "product", "back", "y")}
        weights.append(onnxes.random(f"w{layer}", 192, 192))
        nodes += [
            helper.make_node("Shape", [value], [names["shape"]]),
            helper.make_node("Gather", [names["shape"], "zero"], [names["first"]]),
            helper.make_node("Concat", [names["first"], "rest"], [names["wanted"]], axis=0),
            helper.make_node("Reshape", [value, names["wanted"]], [names["flat"]]),
            helper.make_node("MatMul", [names["flat"], f"w{layer}"], [names["product"]]),
            helper.make_node("Reshape", [names["product"], names["shape"]], [names["y"]]),
        ]
        value = names["y"]
    return onnxes.model(nodes, [onnxes.value("x", ["N", 3, 8, 8])], [value], weights)


def ready(net):
    return bind_inputs(normalize(net))


@pytest.mark.parametrize("layers", [1, 12])
def test_inference_runs_as_often_for_twelve_layers_as_for_one(onnxes, layers, monkeypatch):
    calls = []
    monkeypatch.setattr(fold, "infer", lambda *given: calls.append(1) or infer(*given))
    folded = fold_constants(ready(reshaped(onnxes, layers)))
    assert len(calls) == 2
    assert [node.op_type for node in folded.graph.node] == ["Reshape", "MatMul", "Reshape"] * layers


def test_hints_are_the_shapes_of_a_run(onnxes):
    net = ready(reshaped(onnxes, 4))
    hints = {value.name: value for value in shape_hints(net)}
    names = tuple(name for node in net.graph.node for name in node.output)
    found = ort.run(with_outputs(net, names), ort.seeded_inputs(net, 0), names)
    assert set(hints) == {*names} - {net.graph.output[0].name}
    for name, hint in hints.items():
        assert static_shape(hint) == found[name].shape, name


def test_what_hangs_on_the_contents_of_an_input_gets_no_hint(onnxes):
    net = ready(
        onnxes.model(
            [
                helper.make_node("Shape", ["x"], ["s"]), helper.make_node("NonZero", ["x"], ["n"]),
                helper.make_node("Shape", ["n"], ["t"]), helper.make_node("Cast", ["n"], ["y"], to=1),
                helper.make_node("Concat", ["s", "t"], ["z"], axis=0), helper.make_node("Cast", ["z"], ["q"], to=1),
            ],
            ["x"], ["y", "q"],
        )
    )  # fmt: skip
    hints = {value.name: static_shape(value) for value in shape_hints(net)}
    assert "n" not in hints
    assert "y" not in hints
    assert (hints["s"], hints["t"], hints["z"]) == ((4,), (2,), (6,))


def test_models_that_ask_for_no_shape_get_none(onnxes):
    assert shape_hints(ready(onnxes.convnet(13))) == []


def test_what_cannot_be_inferred_alone_stops_nothing(onnxes):
    """A body, another domain and a node that does not fit: what hangs on them is unknown, the rest is not."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft"),
        helper.make_node("Relu", ["g"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    net = onnxes.model(
        nodes, [onnxes.value("x", [1, 3, 8, 8])], ["y", "a", "m"], [onnxes.random("w", 5, 2)],
        domains={"com.microsoft": 1},
    )  # fmt: skip
    hints = {value.name for value in shape_hints(order(net))}
    assert hints == {"s"}


@pytest.mark.parametrize("name", ["shufflenet", "inception_v1"])
def test_known_topologies_are_imported_as_before(name):
    model = import_model(shipped(name))
    assert all(value.shape for value in model.values.values())
