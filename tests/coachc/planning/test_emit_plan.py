"""No plan is made that its targets do not build: what they refuse decides which partitions there are.

What is refused is said by the rules of the targets, asked here of the artefacts that a bundle holds.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from coachc.cost.device_files import find_device
from coachc.emit import find_placement as placement
from coachc.emit.find_placement import placement_of
from coachc.passes.ideals import all_ideals
from coachc.planning import emit_plan as module
from coachc.targets.rules import errors
from coachc.targets.target import target_of
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json, run_over_socket, succeed
from tests.helpers.onnx_models import imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

TX2, XAVIER, A6000 = (
    find_device(n, side=s) for n, s in (("tx2", "device"), ("xavier-nx", "device"), ("a6000", "cloud"))
)
NOISE = ("--calib", "random", "--samples", 4)


def hardened(*, first=False, opset=13):
    """TensorRT 8.2 has no Hardmax, and nothing it can be made of; TensorRT 11 has it."""
    nodes = [
        op("Conv", "x w1", "a", pads=[1, 1, 1, 1], strides=[2, 2]), op("Relu", "a", "r"),
        op("Hardmax", "r", "h", axis=1), op("Conv", "h w2", "b", pads=[1, 1, 1, 1], strides=[2, 2]),
        op("GlobalAveragePool", "b", "p"), op("Flatten", "p", "y"),
    ]  # fmt: skip
    if first:
        nodes = [op("Hardmax", "x", "h", axis=1), op("Conv", "h w1", "y", pads=[1, 1, 1, 1])]
    return net(
        nodes, [info("x", (1, 3, 32, 32))], ["y"], [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 16, 8, 3, 3)],
        opset=opset,
    )  # fmt: skip


def manifest_of(bundle):
    return json.loads((bundle / "manifest.json").read_bytes())


def assert_builds(bundle, device=TX2, cloud=A6000):
    for cut in manifest_of(bundle)["cuts"]:
        for side, spec in (("device", device), ("cloud", cloud)):
            edge = [cut[side]] if cut[side] else []
            for path in edge + (cut["before"] if side == "device" else cut["after"]):
                assert errors(onnx.load(bundle / path), target_of(spec)) == [], (cut["name"], path)


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("mode", ["auto", "split"])
def test_an_operator_that_the_device_lacks_is_on_the_cloud(mode, opset, tmp_path):
    path, bundle = save(hardened(opset=opset), tmp_path / "m.onnx"), tmp_path / "o.coach"
    report = compile_json(path, bundle, *NOISE, "--mode", mode, "--bandwidth", "100Mbit")
    cuts = manifest_of(bundle)["cuts"]
    assert [cut["mode"] for cut in cuts] == [report["plan"]["mode"]], "there is no device-only"
    assert not any("will not build" in text for text in report["warnings"])
    assert_builds(bundle)
    succeed("check", bundle, "--samples", 1)
    alone = report["alternatives"]["device_only"]
    assert not alone["emittable"]
    assert "Hardmax" in alone["note"]


def test_a_range_of_bandwidths_has_no_cut_behind_it(tmp_path):
    path, bundle = save(hardened(), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, bundle, *NOISE, "--bandwidth", "1Mbit..1000Mbit")
    assert all(cut["mode"] != "device-only" for cut in manifest_of(bundle)["cuts"])
    assert_builds(bundle)
    succeed("check", bundle, "--samples", 1)


@pytest.mark.needs("uvicorn", "httptools")
def test_such_a_bundle_runs_and_says_what_it_cannot_do_alone(tmp_path):
    path, bundle = save(hardened(), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, bundle, *NOISE, "--mode", "split")
    source = tmp_path / "x.npz"
    np.savez(source, x=np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32))
    assert run_over_socket(bundle, source)["tasks"] == 3
    refused = coachc("run", bundle, "--cut", "device-only", "--source", source)
    assert "the bundle has no cut 'device-only'" in refused.err


def test_a_mode_that_cannot_be_built_is_refused_by_node(tmp_path):
    path, bundle = save(hardened(), tmp_path / "m.onnx"), tmp_path / "o.coach"
    outcome = coachc("compile", path, "--device", "tx2", "-o", bundle, *NOISE, "--mode", "device-only")
    assert outcome.code == 1
    assert "no device-only plan builds on its target" in outcome.err
    assert "node 'Hardmax.h' (Hardmax)" in outcome.err
    assert not bundle.exists()


def test_where_both_sides_refuse_there_is_no_plan(tmp_path):
    nodes = [op("Conv", "x w", "a"), op("Optional", "a", "o"), op("OptionalGetElement", "o", "b"), op("Relu", "b", "y")]
    path = save(
        net(nodes, [info("x", (1, 3, 8, 8))], ["y"], [random_weight("w", 4, 3, 3, 3)], opset=17), tmp_path / "m.onnx"
    )
    outcome = coachc("compile", path, "--device", "tx2", "-o", tmp_path / "o.coach", *NOISE)
    assert outcome.code == 1
    assert "no plan builds on both sides" in outcome.err
    assert "device: node 'Optional.o' (Optional)" in outcome.err
    assert "cloud: node 'Optional.o' (Optional)" in outcome.err
    assert list(tmp_path.iterdir()) == [path]


def test_explain_says_what_the_target_refuses(tmp_path):
    path = save(hardened(), tmp_path / "m.onnx")
    found = coachc("explain", path, "--device", "tx2", "--json").json()
    assert all("Hardmax" not in str(option["cut"]) for option in found["explanation"]["runners_up"])
    assert any("Hardmax" in one["reason"] for one in found["rejected"])


def test_the_placement_of_every_operator_is_what_the_rules_say_of_it_alone(tmp_path):
    model, graph = imported(hardened(), tmp_path)
    found = placement_of(model, graph, TX2, A6000)
    assert [graph.nodes[index].kind for index in found.device] == ["Hardmax"]
    assert not found.cloud
    for mask in all_ideals(graph)[0]:
        behind = any(node.kind == "Hardmax" for node in graph.nodes_in(mask))
        assert bool(found.against(graph, mask)) == behind
    assert placement_of(model, graph, find_device("local", side="device"), A6000).against(graph, graph.full_mask) == ""


def test_operators_are_asked_one_by_one_where_the_whole_cannot_be_lowered(tmp_path):
    """Optional came with opset 15, so the whole has no form for opset 13; Mish, of opset 18, is made of others."""
    nodes = [
        op("Conv", "x w", "a", pads=[1, 1, 1, 1]), op("Mish", "a", "m"), op("Optional", "m", "o"),
        op("OptionalGetElement", "o", "b"), op("Relu", "b", "r"), op("Optional", "r", "p"),
        op("OptionalGetElement", "p", "y"),
    ]  # fmt: skip
    model, graph = imported(
        net(nodes, [info("x", (1, 3, 8, 8))], ["y"], [random_weight("w", 4, 3, 3, 3)], opset=18), tmp_path
    )
    found = placement_of(model, graph, TX2, A6000)
    names = {name for index in found.device for name in graph.nodes[index].members}
    assert names == {node.name for node in model.proto.graph.node if node.op_type.startswith("Optional")}


def test_a_value_of_a_type_that_a_target_has_no_ends_of_does_not_cross(tmp_path):
    """A camera's bytes: TX2 has no uint8, so they neither enter an operator there nor leave as they are."""
    nodes = [op("Cast", "x", "f", to=1), op("Conv", "f w", "a"), op("Relu", "a", "y")]
    camera = net(nodes, [info("x", (1, 3, 8, 8), "uint8")], ["y"], [random_weight("w", 4, 3, 3, 3)])
    model, graph = imported(camera, tmp_path)
    on_tx2, elsewhere = (placement_of(model, graph, spec, A6000) for spec in (TX2, find_device("local", side="device")))
    assert "'x' is uint8" in on_tx2.crossings["x"]
    assert 0 in on_tx2.device
    assert not elsewhere.device
    assert not elsewhere.cloud
    outcome = coachc("compile", save(camera, tmp_path / "m.onnx"), "--device", "tx2", "-o", tmp_path / "o", *NOISE)
    assert outcome.code == 1
    assert "is uint8" in outcome.err
    assert not (tmp_path / "o").exists()


def test_what_shows_only_when_it_is_written_is_given_up(tmp_path, monkeypatch):
    """The best cut turns out to be refused: the next best is taken."""
    nodes = [
        op("Conv", "x w1", "a", strides=[2, 2]), op("Relu", "a", "r"), op("Conv", "r w2", "b", strides=[2, 2]),
        op("Relu", "b", "y"),
    ]  # fmt: skip
    weights = [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 8, 8, 3, 3)]
    model = net(nodes, [info("x", (1, 3, 64, 64))], ["y"], weights)
    path = save(model, tmp_path / "m.onnx")
    flags = (*NOISE, "--mode", "split", "--bandwidth", "1Mbit")
    best = compile_json(path, tmp_path / "best.coach", *flags)["plan"]["cut"]
    real, asked = placement.refusals, []

    def refuse_first(emitted, *rest):
        asked.append([value.name for value in emitted.cuts[0].values])
        return {"split": "no"} if len(asked) == 1 else real(emitted, *rest)

    monkeypatch.setattr(module, "refusals", refuse_first)
    outcome = coachc("compile", path, "--device", "tx2", "-o", tmp_path / "next.coach", *flags)
    # Two fused operators: one partition between them, so nothing is left.
    assert outcome.code == 1
    assert asked == [[one["value"] for one in best]] == [["r"]]


def test_after_many_attempts_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "refusals", lambda emitted, *rest: {cut.name: "no such thing" for cut in emitted.cuts[:1]}
    )
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    path = save(hardened(), tmp_path / "m.onnx")
    outcome = coachc("compile", path, "--device", "orin-nano", "-o", tmp_path / "o.coach", *NOISE)
    assert outcome.code == 1
    assert "none of the 2 best plans builds on its targets" in outcome.err
    assert "no such thing" in outcome.err


def test_a_definition_that_onnx_cannot_write_keeps_its_node_off_that_side(tmp_path, monkeypatch):
    from coachc.passes.lower import take_apart

    def fail(*given):
        raise RuntimeError("Type unknown for ")

    monkeypatch.setattr(take_apart, "_expanded", fail)
    nodes = [op("Conv", "x w", "a"), op("Shrink", "a", "m"), op("Relu", "m", "y")]
    weights = [random_weight("w", 4, 3, 3, 3)]
    model, graph = imported(net(nodes, [info("x", (1, 3, 8, 8))], ["y"], weights, opset=18), tmp_path)
    found = placement_of(model, graph, TX2, A6000)
    assert any("Shrink" in reason and "cannot write its own definition" in reason for reason in found.device.values())


@pytest.mark.parametrize("bandwidth", ["20Mbit", "1Mbit..1000Mbit"])
def test_device_only_that_is_refused_when_written_is_nowhere_in_the_bundle(bandwidth, tmp_path, monkeypatch):
    real, asked = placement.refusals, []

    def refuse_first(emitted, *rest):
        asked.append([cut.name for cut in emitted.cuts])
        return {"device-only": "no"} if len(asked) == 1 else real(emitted, *rest)

    monkeypatch.setattr(module, "refusals", refuse_first)
    path, bundle = save(hardened(), tmp_path / "m.onnx"), tmp_path / "o.coach"
    report = compile_json(path, bundle, *NOISE, "--device", "orin-nano", "--cloud", "a6000", "--bandwidth", bandwidth)
    assert "device-only" in asked[0]
    names = [cut["name"] for cut in manifest_of(bundle)["cuts"]]
    assert names
    assert "device-only" not in names
    if "cut_set" in report:
        assert [cut["name"] for cut in report["cut_set"]["cuts"]] == names


def test_what_is_refused_when_written_is_said_where_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "refusals", lambda emitted, *rest: {cut.name: "no such engine" for cut in emitted.cuts})
    path = save(hardened(first=True), tmp_path / "m.onnx")
    outcome = coachc("compile", path, "--device", "orin-nano", "-o", tmp_path / "o", *NOISE, "--mode", "split")
    assert outcome.code == 1
    assert "no split plan builds on its target" in outcome.err
    assert "no such engine" in outcome.err
