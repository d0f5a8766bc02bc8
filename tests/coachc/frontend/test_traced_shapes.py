"""Where a run contradicts an inferred shape: ONNX Runtime on the model as it was written says what is right."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from coachc.errors import ModelError
from coachc.frontend import traced_shapes
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.frontend.ort import seeded_inputs
from coachc.passes.cut import split
from coachc.passes.ideals import all_ideals
from tests.helpers.halves import run_halves

pytestmark = pytest.mark.needs("onnxruntime")


def right(path, feed):
    """What the file itself computes, in another session than ours and with its own optimizations."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def resized(onnxes, *, opset, factor, size, attributes, times=1, axes=False):
    """Resize between two convolutions, `times` in a row."""
    scales = np.float32([factor, factor] if axes else [1, 1, factor, factor])
    attributes = {**attributes, **({"axes": [2, 3]} if axes else {})}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c0"], pads=[1, 1, 1, 1])]
    for step in range(times):
        # A required input up to opset 12, and ignored.
        region = "" if opset > 12 else "region"
        nodes.append(helper.make_node("Resize", [f"c{step}", region, "s"], [f"u{step}"], **attributes))
        nodes.append(helper.make_node("Conv", [f"u{step}", "v"], [f"c{step + 1}"], pads=[1, 1, 1, 1]))
    weights = [onnxes.random("w", 4, 3, 3, 3), onnxes.random("v", 4, 4, 3, 3), onnxes.weight("s", scales)]
    weights += [onnxes.weight("region", [])] if opset < 13 else []
    return onnxes.model(nodes, [onnxes.value("x", [1, 3, size, size])], [f"c{times}"], weights, opset=opset)


FLOOR = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


@pytest.mark.parametrize(
    "fields",
    [
        {"opset": 13, "factor": 0.7, "size": 30, "attributes": FLOOR},
        {"opset": 11, "factor": 0.7, "size": 30, "attributes": FLOOR},
        {"opset": 18, "factor": 0.7, "size": 30, "attributes": FLOOR, "axes": True},
        {"opset": 13, "factor": 1.3, "size": 10, "attributes": {"mode": "linear"}},
        {"opset": 13, "factor": 0.9, "size": 20, "attributes": {"mode": "cubic"}},
        {"opset": 13, "factor": 0.7, "size": 30, "attributes": FLOOR, "times": 2},
    ],
    ids=["nearest", "opset 11", "axes", "linear", "cubic", "pyramid"],
)
def test_a_resize_by_a_factor_that_float32_rounds_up(onnxes, fields):
    path = onnxes.save(resized(onnxes, **fields))
    model = import_model(path)
    feed = seeded_inputs(model.proto, 0)
    wanted = right(path, feed)[0]
    size = fields["size"]
    # float32 rounds the product up to a whole number that the exact product does not reach.
    assert model.values["u0"].shape[2] == int(np.float32(size) * np.float32(fields["factor"]))
    assert model.values[model.outputs[0]].shape == wanted.shape
    graph = fuse(model)
    for mask in all_ideals(graph)[0]:
        if mask != graph.full_mask:
            np.testing.assert_allclose(
                run_halves(*split(model, graph, mask), feed)[model.outputs[0]], wanted, atol=1e-5
            )


def test_an_upsample_by_such_a_factor(onnxes):
    nodes = [helper.make_node("Upsample", ["x", "s"], ["u"], mode="nearest"), helper.make_node("Relu", ["u"], ["y"])]
    weights = [onnxes.weight("s", np.float32([1, 1, 1.4, 1.4]))]
    path = onnxes.save(onnxes.model(nodes, [onnxes.value("x", [1, 2, 20, 20])], ["y"], weights, opset=9))
    model = import_model(path)
    wanted = right(path, seeded_inputs(model.proto, 0))[0]
    assert model.values["y"].shape == wanted.shape == (1, 2, 28, 28)


@pytest.mark.parametrize(("op", "opset"), [("MaxPool", 12), ("AveragePool", 11), ("AveragePool", 19), ("LpPool", 18)])
@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), [(7, 2, 2, 1), (7, 2, 3, 1), (8, 1, 2, 0), (8, 3, 2, 1)])
def test_a_pool_whose_last_window_starts_in_the_padding(onnxes, op, opset, size, kernel, stride, pad):
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": 1}
    nodes = [helper.make_node(op, ["x"], ["p"], **attributes), helper.make_node("Relu", ["p"], ["y"])]
    path = onnxes.save(onnxes.model(nodes, [onnxes.value("x", [1, 2, size, size])], ["y"], opset=opset))
    model = import_model(path)
    feed = seeded_inputs(model.proto, 0)
    wanted = right(path, feed)[0]
    assert model.values["p"].shape == wanted.shape
    # A window counts where it starts within the input or the padding before it.
    windows = math.ceil((size + 2 * pad - kernel) / stride) + 1
    assert wanted.shape[2] == windows - ((windows - 1) * stride >= size + pad)


def test_another_operator_is_refused_by_name(onnxes, monkeypatch):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="stem"), helper.make_node("Relu", ["c"], ["y"])]
    path = onnxes.save(onnxes.model(nodes, ["x"], ["y"], [onnxes.random("w", 4, 3, 3, 3)]))
    real = traced_shapes.ort.shapes_of_run
    monkeypatch.setattr(traced_shapes.ort, "shapes_of_run", lambda *given: {**real(*given), "c": (1, 4, 7, 7)})
    with pytest.raises(ModelError, match=r"node 'stem' \(Conv\) has another shape in a run") as caught:
        import_model(path)
    assert caught.value.context == ("inferred     1 x 4 x 6 x 6", "a run gives  1 x 4 x 7 x 7")


def test_a_model_that_fails_on_noise_is_imported_as_inferred(onnxes):
    """Its real inputs may be such that it does not."""
    indices = onnxes.value("i", [2], TensorProto.INT64)
    nodes = [helper.make_node("Add", ["i", "five"], ["j"]), helper.make_node("Gather", ["x", "j"], ["y"], axis=1)]
    five = onnxes.weight("five", [5], np.int64)
    model = import_model(onnxes.save(onnxes.model(nodes, ["x", indices], ["y"], [five])))
    assert model.values["y"].shape == (1, 2, 8, 8)


def test_values_beyond_what_one_run_holds_are_traced_in_parts(onnxes, monkeypatch):
    monkeypatch.setattr(traced_shapes, "MAX_BYTES", 1000)
    path = onnxes.save(resized(onnxes, opset=13, factor=0.7, size=30, attributes=FLOOR, times=2))
    assert import_model(path).values["u1"].shape == (1, 4, 14, 14)


def test_types_that_numpy_lacks_are_traced_too(onnxes):
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    model = import_model(onnxes.save(onnxes.model(nodes, ["x"], ["y"])))
    assert model.values["b"].dtype == "bfloat16"
    assert onnx.checker.check_model(model.proto, full_check=True) is None
