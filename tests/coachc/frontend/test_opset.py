"""The opset range, and the lift to 13: what it must get right, and what it must notice."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.errors import ModelError
from coachc.frontend import ort
from coachc.frontend.onnx_import import import_model
from coachc.frontend.opset import NEWEST_OPSET, OLDEST_OPSET, lift, newest_opset, same, stamp_ir

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.mark.parametrize("opset", [1, 6, 28, 99])
def test_refuses_opsets_outside_the_range(onnxes, opset):
    with pytest.raises(
        ModelError, match=f"the model has opset {opset}; coachc supports 7 to {newest_opset()}"
    ) as caught:
        import_model(onnxes.save(onnxes.convnet(opset)))
    assert caught.value.context[1] == f"found        opset {opset}"
    assert caught.value.hint == f"re-export with opset_version={13 if opset < 7 else 18}"


def test_refuses_models_without_ai_onnx(onnxes):
    net = onnxes.convnet()
    net.opset_import[0].domain = "com.microsoft"
    with pytest.raises(ModelError, match=r"imports no opset of ai\.onnx"):
        import_model(onnxes.save(net))


def test_refuses_two_opsets_of_one_domain(onnxes):
    net = onnxes.convnet()
    net.opset_import.append(onnx.helper.make_opsetid("ai.onnx", 12))
    with pytest.raises(ModelError, match=r"two opsets for domain 'ai\.onnx'") as caught:
        import_model(onnxes.save(net))
    assert caught.value.context == ("found        13 and 12",)


def quantizing(onnxes, opset):
    nodes = [
        onnxes.node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        onnxes.node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return onnxes.model(
        nodes, ["x"], ["y"], [onnxes.weight("s", 0.1), onnxes.weight("z", 3, np.uint8)], opset=opset, ir=8
    )


def test_the_ceiling_is_the_installed_runtimes(onnxes):
    """The constant states what was measured; with a newer ONNX Runtime this fails, and the constant can be raised."""
    import onnxruntime

    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < (1, 32):
        pytest.skip("needs onnxruntime 1.32: an older one has a lower ceiling, and refuses at the load")
    ort.session(quantizing(onnxes, NEWEST_OPSET))
    ort.session(quantizing(onnxes, OLDEST_OPSET + 3))
    with pytest.raises(ModelError, match="cannot load the model"):
        ort.session(quantizing(onnxes, NEWEST_OPSET + 1))


@pytest.mark.parametrize("opset", [9, 13, 18, 22])
def test_the_lowest_ir_version_is_stamped(onnxes, opset):
    expected = max(4, onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))
    assert stamp_ir(onnxes.convnet(opset, ir=13)).ir_version == expected
    assert stamp_ir(onnxes.convnet(opset, ir=3)).ir_version == expected


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [2.0, 1.5])
@pytest.mark.parametrize("opset", [7, 8, 9, 10])
def test_old_resizing_keeps_its_coordinates(onnxes, opset, mode, scale):
    operator = "Resize" if opset == 10 else "Upsample"
    scales = [1, 1, scale, scale]
    if opset < 9:
        node, weights = onnxes.node(operator, ["x"], ["y"], mode=mode, scales=scales), []
    else:
        node, weights = onnxes.node(operator, ["x", "s"], ["y"], mode=mode), [onnxes.weight("s", scales)]
    net = onnxes.model([node], ["x"], ["y"], weights, opset=opset)
    model = import_model(onnxes.save(net))
    feed = ort.seeded_inputs(model.proto, 3)
    np.testing.assert_allclose(ort.run(model.proto, feed)["y"], ort.run(net, feed)["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "attributes", "opset"),
    [
        ("Softmax", {}, 7),
        ("Softmax", {"axis": 2}, 11),
        ("LogSoftmax", {"axis": 1}, 12),
        ("Clip", {"min": 0.0, "max": 1.0}, 7),
        ("Pad", {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}, 7),
        ("Squeeze", {"axes": [0]}, 9),
        ("Unsqueeze", {"axes": [1]}, 9),
        ("ReduceSum", {"axes": [2, 3]}, 11),
        ("Dropout", {"ratio": 0.4}, 9),
        ("Slice", {"starts": [1], "ends": [3], "axes": [1]}, 7),
        ("LRN", {"size": 3}, 7),
    ],
)
def test_operators_whose_form_changed(onnxes, operator, attributes, opset):
    net = onnxes.model([onnxes.node(operator, ["x"], ["y"], **attributes)], ["x"], ["y"], opset=opset)
    model = import_model(onnxes.save(net))
    feed = ort.seeded_inputs(model.proto, 3)
    np.testing.assert_allclose(ort.run(model.proto, feed)["y"], ort.run(net, feed)["y"], rtol=1e-5, atol=1e-6)
    assert all(node.name for node in model.proto.graph.node)


def test_a_conversion_that_changes_results_is_refused_by_node(onnxes):
    """Hardmax before opset 13 flattens; onnx 1.23.2's converter does not say so."""
    nodes = [onnxes.node("Relu", ["x"], ["r"]), onnxes.node("Hardmax", ["r"], ["h"], axis=1, name="top")]
    net = onnxes.model([*nodes, onnxes.node("Neg", ["h"], ["y"])], ["x"], ["y"], opset=9)
    with pytest.raises(
        ModelError, match=r"conversion from opset 9 to 13 changes what node 'top' \(Hardmax\) computes"
    ) as caught:
        import_model(onnxes.save(net))
    assert caught.value.hint == "re-export with opset_version=13 or newer"


def test_an_operator_the_converter_does_not_know_is_refused(onnxes):
    net = onnxes.model([onnxes.node("GivenTensorFill", ["x"], ["y"], name="pre")], ["x"], ["y"], opset=8)
    with pytest.raises(ModelError, match="cannot be converted from opset 8 to 13") as caught:
        lift(net)
    assert "GivenTensorFill" in caught.value.context[0]
    with pytest.raises(ModelError, match=r"node 'pre' \(GivenTensorFill\) is no operator of ai\.onnx opset 8"):
        import_model(onnxes.save(net))


def test_a_model_onnx_runtime_cannot_load_is_refused_before_conversion(onnxes):
    """At opset 11 Resize's second input must not be empty."""
    node = onnxes.node("Resize", ["x", "", "s"], ["y"], name="up")
    net = onnxes.model([node], ["x"], ["y"], [onnxes.weight("s", [1, 1, 2, 2])], opset=11)
    with pytest.raises(ModelError, match="cannot load the model") as caught:
        import_model(onnxes.save(net))
    assert "Resize" in caught.value.context[0]


def test_same_is_relative_to_the_largest_magnitude():
    big = np.array([1000.0, 0.0], np.float32)
    assert same(big, big + np.float32(0.09))
    assert not same(big, big + np.float32(0.2))
    assert not same(big, big.astype(np.float64))
    assert not same(big, big[:1])
    assert same(np.array([np.nan, np.inf], np.float32), np.array([np.nan, np.inf], np.float32))
    assert not same(np.array([1, 2]), np.array([1, 3]))
