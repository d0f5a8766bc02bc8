"""What a bundle holds is what its targets take, computes what the model does, and `coachc check` agrees."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from coachc.checks.bundle import check_bundle
from coachc.cost.device_files import find_device
from coachc.emit import lowering
from coachc.emit.cuts import emit_cuts
from coachc.emit.lowering import limits_of, lower_for
from coachc.emit.two_halves import MODEL_PATH
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain, inception, residual
from coachc.passes.lower.limits import Lowered
from coachc.passes.lower.table import MENDED
from coachc.targets.rules import violations
from coachc.targets.target import target_of
from tests.helpers.bundles import (
    a_way,
    change_initializer,
    replace_artefact,
    save,
    widest,
    write_split,
    write_ways,
)
from tests.helpers.onnx_models import constant, imported, info, net, op, random_weight
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")

TX2, NX, A6000 = (
    find_device(name, side=side) for name, side in (("tx2", "device"), ("xavier-nx", "device"), ("a6000", "cloud"))
)
SIDES = {"device": TX2, "cloud": A6000}


def opset(model):
    return next(entry.version for entry in model.opset_import if not entry.domain)


def errors(model, spec):
    return [one for one in violations(model, target_of(spec)) if one.severity == "error"]


@pytest.mark.parametrize("device", ["tx2", "xavier-nx", "orin-nano"])
@pytest.mark.parametrize("make", [transformer, lambda: residual(opset=20), lambda: inception(opset=23)])
def test_each_half_builds_on_its_target_by_its_rules(make, device, tmp_path):
    model, graph = imported(make(), tmp_path)
    spec = find_device(device, side="device")
    mask = widest(graph)
    emitted = emit_cuts(model, graph, [a_way(graph, mask)], spec, A6000)
    assert not [one for one in emitted.lowerings if one.failure]
    for path, proto in emitted.models.items():
        target = A6000 if emitted.roles[path] == "cloud" else spec
        assert errors(proto, target) == [], path
        assert opset(proto) <= target.max_opset
    alone = emitted.cuts[-1]
    assert (alone.name, alone.device) == (
        "device-only",
        "device.whole.onnx" if model.opset > spec.max_opset else MODEL_PATH,
    )


def test_the_bundle_of_a_newer_model_passes_its_check(tmp_path):
    path = write_split(transformer(blocks=4, width=32), tmp_path / "vit.coach")
    names = {item.name for item in path.iterdir()}
    assert {"device.onnx", "cloud.onnx", "device.whole.onnx", "model.onnx"} <= names
    findings = {finding.what: finding.detail for finding in check_bundle(str(path), samples=3)}
    assert findings["device.onnx"].startswith("opset 13,")
    assert findings["device.whole.onnx"].startswith("opset 13,")
    assert findings["model.onnx"].startswith("opset 20,")
    assert "equal QuantizeLinear's" in findings["quantized"]
    assert "against the whole model" in findings["cut device-only"]


def test_a_changed_weight_of_the_lowered_model_is_found(tmp_path):
    path = write_split(transformer(), tmp_path / "vit.coach")
    change_initializer(path, "device.whole.onnx", "block0.q.w", lambda array: array * 1.001)
    with pytest.raises(CheckFailure, match="differs at cut 'device-only'"):
        check_bundle(str(path), samples=1)


def test_only_where_operators_were_taken_apart_may_a_code_be_a_step_off(tmp_path):
    """A rounding that is wrong is found in a half that computes what the model does bit for bit."""
    path = write_split(residual(opset=17), tmp_path / "net.coach")
    model = onnx.load(path / "device.edge.onnx")
    (node, *_) = (node for node in model.graph.node if node.op_type == "Round")
    node.op_type = "Floor"
    replace_artefact(path, "device.edge.onnx", model.SerializeToString())
    with pytest.raises(CheckFailure, match="differ from QuantizeLinear"):
        check_bundle(str(path), samples=1)


def test_the_same_holds_for_segments(tmp_path):
    model, graph = imported(chain(6, opset=20), tmp_path)
    masks = [0b1, 0b111]
    ways = [a_way(graph, mask, name=f"cut{mask}") for mask in masks]
    write_ways(tmp_path / "net.coach", model, ways, SIDES)
    for path in (tmp_path / "net.coach").glob("*.onnx"):
        # A segment runs on either side; the cloud's edges and the model itself are as they were.
        kept = path.name == MODEL_PATH or path.name.endswith("cloud.onnx")
        assert opset(onnx.load(path)) == (20 if kept else 13), path.name
    check_bundle(str(tmp_path / "net.coach"), samples=1)


def test_the_whole_model_for_the_cloud_is_lowered_too(tmp_path):
    model, graph = imported(residual(opset=26), tmp_path)
    emitted = emit_cuts(model, graph, [a_way(graph, 0, mode="cloud-jpeg")], TX2, A6000)
    assert emitted.cuts[0].cloud == "cloud.whole.onnx"
    assert {path: emitted.roles[path] for path in emitted.models} == {
        "cloud.whole.onnx": "cloud",
        "device.whole.onnx": "device",
    }
    assert opset(emitted.models["cloud.whole.onnx"]) == A6000.max_opset


def test_what_nothing_replaces_stays_and_says_why(tmp_path):
    nodes = [op("Conv", "x w", "c", pads=[1] * 4), op("GridSample", "c g", "y")]
    inputs = [info("x", (1, 4, 8, 8)), info("g", (1, 8, 8, 2))]
    model = net(nodes, inputs, [info("y", (1, 4, 8, 8))], [random_weight("w", 4, 4, 3, 3)], opset=16)
    made, done = lower_for("model.onnx", model, [TX2], feed={})
    assert made is model
    assert done.failure.startswith("node 'GridSample.y' (GridSample) cannot be written for TensorRT 8.2.1 on tx2")
    assert done.describe().startswith("not lowered: node 'GridSample.y'")
    assert done.to_json()["failure"] == done.failure
    assert lower_for("model.onnx", model, [A6000], feed={}) == (model, None)


def test_an_operator_that_the_rules_refuse_and_nothing_replaces_is_left_to_them():
    model = net([op("NonZero", "x", "n"), op("Cast", "n", "y", to=1)], ["x"], [info("y", (4, None))])
    assert lower_for("model.onnx", model, [TX2], feed={}) == (model, None)
    assert [one.rule for one in errors(model, TX2)] == ["trt8.2/op/NonZero"]


def test_a_result_that_differs_is_not_emitted(monkeypatch):
    model = net([op("Gelu", "x", "y")], ["x"], [info("y", (1, 4, 8, 8))], opset=20)
    wrong = net([op("Relu", "x", "y")], ["x"], [info("y", (1, 4, 8, 8))], opset=13)
    monkeypatch.setattr(lowering, "lower", lambda model, limits, **_: Lowered(wrong, (("Gelu", 1),), 20, 13))
    made, done = lower_for("device.onnx", model, [TX2], feed={})
    assert made is model
    assert "it computes something else (relative difference 0." in done.failure


def test_limits_are_those_of_the_rules():
    model = net([op("Relu", "x", "y")], ["x"], ["y"])
    tx2, nx, local = (limits_of(spec, model) for spec in (TX2, NX, find_device("local", side="device")))
    assert (tx2.opset, tx2.quantization, "LayerNormalization" in tx2.operators) == (13, "none", False)
    assert (nx.opset, nx.quantization) == (17, "symmetric")
    assert (local.operators, local.quantization) == (None, "any")


def test_emitting_twice_gives_the_same_bytes(tmp_path):
    path = save(transformer(), tmp_path / "net.onnx")
    texts = []
    for _ in range(2):
        model = import_model(path)
        graph = fuse(model)
        mask = widest(graph)
        emitted = emit_cuts(model, graph, [a_way(graph, mask)], TX2, A6000)
        texts.append({name: proto.SerializeToString(deterministic=True) for name, proto in emitted.models.items()})
        assert json.dumps([one.to_json() for one in emitted.lowerings], allow_nan=False)
    assert texts[0] == texts[1]


def test_the_device_half_gives_the_values_of_the_model(tmp_path):
    model, graph = imported(transformer(), tmp_path)
    mask = widest(graph)
    emitted = emit_cuts(model, graph, [a_way(graph, mask)], TX2, A6000)
    head = emitted.models["device.onnx"]
    feed = ort.seeded_inputs(model.proto, 5)
    whole = onnx.ModelProto()
    whole.CopyFrom(model.proto)
    names = graph.cut_values(mask)
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    expected, found = ort.run(whole, feed), ort.run(head, feed)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6 * np.abs(expected[name]).max())


def test_a_rewrite_that_makes_no_valid_model_leaves_its_node_and_no_other(monkeypatch, tmp_path):
    """Two refused nodes: what takes the place of one is broken, so it stays and is named; the other is rewritten."""
    pads = [constant("p", [0, 0, -1, 0, 0, 0, 0, 0], np.int64)]
    flags = [
        op("Not", "b", "n"),
        op("Equal", "n b", "e", name="flags"),
        op("Cast", "e", "z", to=onnx.TensorProto.FLOAT),
    ]
    ends = ["x", info("b", (4,), "bool")]
    given = imported(net([op("Pad", "x p", "y", name="pad"), *flags], ends, ["y", "z"], pads), tmp_path)[0].proto
    assert sorted(one.node for one in errors(given, TX2)) == ["flags", "pad"]

    def broken(node, b):
        b.end("Reshape", [b.input(0), b.constant(np.array([5, 7], np.int64), "shape")])

    monkeypatch.setitem(MENDED, "Equal/equal-bool", broken)
    lowered, said = lower_for("m.onnx", given, [TX2], feed={})
    assert said is not None
    assert said.applied == (("Pad", 1),)
    assert [one.node for one in errors(lowered, TX2)] == ["flags"]
