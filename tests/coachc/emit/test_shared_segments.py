"""Several nested cuts in one bundle: each is the model at every precision, and no weight is in it twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from coachc.checks.bundle import check_bundle
from coachc.core.plan import BitPlan, Quantizer
from coachc.cost.device_files import find_device
from coachc.emit.cuts import emit_cuts
from coachc.emit.shared_segments import shared_cuts
from coachc.errors import CheckFailure, InternalError
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain, two_inputs, two_outputs
from coachc.passes.ideals import all_ideals
from coachc.passes.insert_qdq import insert_reference
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.engines.halves import Engines, Halves, cloud_engine
from coachc.runtime.engines.ort_engine import OrtEngine
from coachc.runtime.link.values import decode_values, encode_values
from tests.helpers.bundles import a_bit_plan, a_way, replace_artefact, rewrite_manifest, save, write_ways
from tests.helpers.halves import integers_between, skipping
from tests.helpers.onnx_models import info, net, op

pytestmark = pytest.mark.needs("onnxruntime")

SIDES = {"device": find_device("tx2", side="device"), "cloud": find_device("a6000", side="cloud")}
LOCAL = {side: find_device("local", side=side) for side in ("device", "cloud")}


def exact(data, providers):
    return OrtEngine(data, providers, 0, "disabled")


def nested(graph, count):
    """Masks of the first operators, evenly spread."""
    return [(1 << (1 + (len(graph.nodes) - 3) * k // count)) - 1 for k in range(count)]


def write(proto, path, masks, sides=SIDES, **precision):
    """A bundle with one cut at each mask; `precision` is for `a_bit_plan`."""
    model = import_model(save(proto, path.with_suffix(".onnx")))
    graph = fuse(model)
    masks = masks or nested(graph, 3)
    ways = [
        a_way(graph, mask, a_bit_plan(graph, mask, **precision), name=f"cut-{place}")
        for place, mask in enumerate(masks)
    ]
    write_ways(path, model, ways, sides)
    return model, graph, open_bundle(path)


def through(bundle, cut, halves, engines, feed, bits):
    """One task as the two machines run it, and the codes that crossed."""
    made = halves.half(cut.name).run(feed, bits)
    received = decode_values(cut, encode_values(cut, made, bits))
    outputs = cloud_engine(engines, cut).run({**received.arrays, **quantizer_feed(cut, "cloud", bits)})
    return {**made, **outputs}, received.arrays


@pytest.mark.parametrize("sides", [SIDES, LOCAL], ids=["tx2", "local"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_cut_is_the_model_at_every_precision(sides, per_channel, tmp_path):
    """Compared with QuantizeLinear and DequantizeLinear in the whole model: codes and outputs equal."""
    model, graph, bundle = write(skipping(), tmp_path / "b.coach", [], sides, per_channel=per_channel)
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    assert len(cuts) == 3
    first = cuts[0].values[0].name
    assert all(first in [value.name for value in cut.values] for cut in cuts)
    assert [len(cut.values) for cut in cuts] == [1, 2, 2]
    halves, engines = Halves(bundle, exact), Engines(bundle, exact)
    feed = ort.seeded_inputs(model.proto, 4)
    for cut, mask in zip(cuts, nested(graph, 3), strict=True):
        on_cloud = {name for i, node in enumerate(graph.nodes) if not mask >> i & 1 for name in node.members}
        for bits in [*range(2, 9), tuple(range(3, 3 + len(cut.values)))]:
            depths = cut.precisions(bits)
            quantizers = [
                Quantizer(value.name, "packed", *value.level(depth))
                for value, depth in zip(cut.values, depths, strict=True)
            ]
            wanted = ort.run(insert_reference(model, quantizers, on_cloud), feed)
            outputs, codes = through(bundle, cut, halves, engines, feed, bits)
            for value in cut.values:
                np.testing.assert_array_equal(codes[value.codes], wanted[value.codes])
            np.testing.assert_array_equal(outputs["logits"], wanted["logits"])
    alone = halves.half("device-only").run(feed)
    np.testing.assert_array_equal(alone["logits"], ort.run(model.proto, feed)["logits"])


def test_weights_are_in_the_bundle_once_beside_the_whole_model(tmp_path):
    _, _, bundle = write(skipping(), tmp_path / "b.coach", [])
    sizes = {artefact.path: artefact.size_bytes for artefact in bundle.manifest.artefacts}
    whole = sizes.pop("model.onnx")
    assert sum(sizes.values()) < 1.2 * whole
    roles = {artefact.path: artefact.role for artefact in bundle.manifest.artefacts}
    assert roles == {
        "model.onnx": "model",
        **{f"segment{k}.onnx": "segment" for k in (1, 2, 3, 4)},
        **{f"cut-{k}.{side}.onnx": side for k in (0, 1, 2) for side in ("device", "cloud")},
    }


def test_the_entries_in_the_manifest(tmp_path):
    _, _, bundle = write(skipping(), tmp_path / "b.coach", [0, *nested(fuse_of(tmp_path), 2)])
    segments = [f"segment{k}.onnx" for k in (1, 2, 3)]
    found = {cut.name: (cut.mode, cut.on_device, cut.on_cloud) for cut in bundle.manifest.cuts}
    assert found == {
        "cut-0": ("cloud-raw", ("cut-0.device.onnx",), ("cut-0.cloud.onnx", *segments)),
        "cut-1": ("split", (segments[0], "cut-1.device.onnx"), ("cut-1.cloud.onnx", *segments[1:])),
        "cut-2": ("split", (*segments[:2], "cut-2.device.onnx"), ("cut-2.cloud.onnx", segments[2])),
        "device-only": ("device-only", tuple(segments), ()),
    }
    assert bundle.manifest.chosen == "cut-0"
    assert all(cut.policy is None for cut in bundle.manifest.cuts)
    middle = bundle.manifest.cut("cut-1")
    assert (middle.device_parameters, middle.cloud_parameters) == ("arithmetic", "arithmetic")
    assert middle.features == tuple(f"{value.name}/feature" for value in middle.values)


def fuse_of(tmp_path):
    return fuse(import_model(save(skipping(), tmp_path / "x.onnx")))


def test_a_device_loads_a_segment_once_and_only_what_it_runs(tmp_path):
    model, _, bundle = write(skipping(), tmp_path / "b.coach", [])
    halves = Halves(bundle, exact)
    halves.half("cut-1")
    assert halves.engines.loaded == ("segment1.onnx", "segment2.onnx", "cut-1.device.onnx")
    first = halves.half("cut-0")
    assert halves.engines.loaded[3:] == ("cut-0.device.onnx",)
    halves.half("device-only")
    assert halves.engines.loaded[4:] == ("segment3.onnx", "segment4.onnx")
    assert halves.half("cut-0") is first
    made = first.run(ort.seeded_inputs(model.proto, 0))
    assert sorted(made) == sorted([*(v.codes for v in first.cut.values), *first.cut.features])


@pytest.mark.parametrize("proto", [skipping, two_outputs, two_inputs, chain])
def test_the_check_finds_every_cut_equal_to_the_model(proto, tmp_path):
    _, _, bundle = write(proto(), tmp_path / "b.coach", [])
    found = [(finding.what, finding.detail) for finding in check_bundle(bundle.path, samples=2)]
    assert [what for what, _ in found if what.startswith("cut ")] == [f"cut {cut.name}" for cut in bundle.manifest.cuts]
    assert next(detail for what, detail in found if what == "recomposed").endswith("relative difference 0.0e+00")
    assert all("7 precisions equal QuantizeLinear's" in detail for what, detail in found if what == "quantized")
    assert " segments in order, 2 seeded (seed 0) inputs, against the whole model: " in dict(found)["cut device-only"]


def test_values_as_they_are_need_no_edge(tmp_path):
    """A cut of raw values only; one at the inputs, which a half cannot give as they are, still has edges."""
    model = import_model(save(skipping(), tmp_path / "net.onnx"))
    graph = fuse(model)
    low, high = nested(graph, 2)

    def raw(mask):
        return BitPlan(tuple(Quantizer(name, "raw", 32) for name in graph.cut_values(mask)))

    ways = [a_way(graph, mask, raw(mask), name=name) for name, mask in (("a", 0), ("b", low), ("c", high))]
    write_ways(tmp_path / "b.coach", model, ways, LOCAL)
    bundle = open_bundle(tmp_path / "b.coach")
    found = {cut.name: (cut.on_device, cut.on_cloud) for cut in bundle.manifest.cuts}
    assert found["a"] == (("a.device.onnx",), ("a.cloud.onnx", "segment1.onnx", "segment2.onnx", "segment3.onnx"))
    assert found["b"] == (("segment1.onnx",), ("segment2.onnx", "segment3.onnx"))
    assert found["c"] == (("segment1.onnx", "segment2.onnx"), ("segment3.onnx",))
    assert bundle.manifest.cut("a").values[0].codes == "input/sent"
    check_bundle(bundle.path)
    halves, engines = Halves(bundle, exact), Engines(bundle, exact)
    feed = ort.seeded_inputs(model.proto, 4)
    whole = ort.run(model.proto, feed)
    for name in "abc":
        outputs, _ = through(bundle, bundle.manifest.cut(name), halves, engines, feed, None)
        np.testing.assert_array_equal(outputs["logits"], whole["logits"])


def test_the_same_operators_as_codes_and_as_they_are(tmp_path):
    model = import_model(save(skipping(), tmp_path / "net.onnx"))
    graph = fuse(model)
    (mask,) = nested(graph, 1)
    raw = BitPlan(tuple(Quantizer(name, "raw", 32) for name in graph.cut_values(mask)))
    ways = [a_way(graph, mask, raw, name="split-1"), a_way(graph, mask, name="split-2")]
    write_ways(tmp_path / "b.coach", model, ways, SIDES)
    names = sorted(path.name for path in Path(tmp_path / "b.coach").glob("*.onnx"))
    assert names == ["model.onnx", "segment1.onnx", "segment2.onnx", "split-2.cloud.onnx", "split-2.device.onnx"]
    check_bundle(str(tmp_path / "b.coach"))


def test_codes_and_values_as_they_are_in_one_cut(tmp_path):
    """Integers travel as they are beside codes, at two nested cuts."""
    _, graph, bundle = write(integers_between(), tmp_path / "b.coach", [0b11, 0b111, 0b1111], LOCAL)
    codecs = [[value.codec for value in cut.values] for cut in bundle.manifest.cuts]
    assert codecs == [["packed"], ["packed", "raw"], ["packed", "packed"], []]
    assert "quantized" in [finding.what for finding in check_bundle(bundle.path, samples=1)]
    assert len(graph.nodes) == 5


def test_outputs_that_no_operator_on_the_way_makes(tmp_path):
    """A model output that is an input, and one that is a constant."""
    nodes = [op("Softmax", "x", "a"), op("Softmax", "a", "b"), op("Softmax", "b", "y")]
    shape = (1, 4)
    same = net(nodes, [info("x", shape)], [info("y", shape), info("x", shape)])
    _, _, bundle = write(same, tmp_path / "same.coach", [0, 0b1, 0b11], LOCAL)
    check_bundle(bundle.path, samples=1)
    feed = {"x": np.ones(shape, np.float32)}
    for name in ("cut-0", "cut-1", "device-only"):
        np.testing.assert_array_equal(Halves(bundle, exact).half(name).run(feed)["x"], feed["x"])
    made = onnx.numpy_helper.from_array(np.ones(3, np.float32), "v")
    constant = onnx.helper.make_node("Constant", [], ["k"], name="k", value=made)
    fixed = net([constant, *nodes], [info("x", shape)], [info("y", shape), info("k", (3,))])
    graph = fuse(import_model(save(fixed, tmp_path / "fixed.onnx")))
    place = {node.name: 1 << index for index, node in enumerate(graph.nodes)}
    first = place["Softmax.a"] | place["k"]
    _, _, bundle = write(fixed, tmp_path / "fixed.coach", [0, first, first | place["Softmax.b"]], LOCAL)
    check_bundle(bundle.path, samples=1)


def test_a_picture_as_jpeg_runs_all_segments_on_the_cloud(tmp_path):
    model = import_model(save(skipping(), tmp_path / "net.onnx"))
    graph = fuse(model)
    (mask,) = nested(graph, 1)
    ways = [a_way(graph, 0, BitPlan(()), mode="cloud-jpeg"), a_way(graph, mask)]
    made = shared_cuts(model, graph, ways, *SIDES.values())
    assert [(cut.name, cut.on_device, cut.on_cloud) for cut in made.cuts] == [
        ("cloud-jpeg", (), ("segment1.onnx", "segment2.onnx")),
        ("split", ("segment1.onnx", "split.device.onnx"), ("split.cloud.onnx", "segment2.onnx")),
        ("device-only", ("segment1.onnx", "segment2.onnx"), ()),
    ]
    assert made.cuts[0].values[0].codec == "jpeg"


def test_one_cut_has_two_halves_and_its_quantizers(tmp_path):
    model = import_model(save(chain(), tmp_path / "net.onnx"))
    graph = fuse(model)
    mask = nested(graph, 1)[0]
    made = emit_cuts(model, graph, [a_way(graph, mask)], *SIDES.values())
    assert sorted(made.models) == ["cloud.onnx", "device.edge.onnx", "device.onnx"]
    assert [(cut.on_device, cut.on_cloud) for cut in made.cuts] == [
        (("device.onnx", "device.edge.onnx"), ("cloud.onnx",)), (("model.onnx",), ()),
    ]  # fmt: skip
    alone = emit_cuts(model, graph, [], *SIDES.values())
    assert ([cut.name for cut in alone.cuts], alone.models) == (["device-only"], {})
    with pytest.raises(InternalError, match="device-only is no cut"):
        shared_cuts(model, graph, [a_way(graph, graph.full_mask, BitPlan(()), mode="device-only")], *SIDES.values())


def test_segments_that_were_tampered_with_are_found(tmp_path):
    write(skipping(), tmp_path / "b.coach", [])
    path = tmp_path / "b.coach"
    model = onnx.load(path / "segment2.onnx")
    weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    array = -onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    pristine = (path / "segment2.onnx").read_bytes()
    replace_artefact(path, "segment2.onnx", model.SerializeToString())
    with pytest.raises(CheckFailure, match="output 'logits' differs at cut 'cut-0', seeded"):
        check_bundle(str(path))
    replace_artefact(path, "segment2.onnx", pristine)
    check_bundle(str(path), samples=1)
    manifest = json.loads((path / "manifest.json").read_bytes())
    before = manifest["cuts"][1]["before"]
    rewrite_manifest(path, lambda raw: raw["cuts"][1].update(before=before[:1]))
    with pytest.raises(CheckFailure, match="is in neither half of 'cut-1'"):
        check_bundle(str(path))
    rewrite_manifest(path, lambda raw: raw["cuts"][1].update(before=before))
    rewrite_manifest(path, lambda raw: raw["cuts"][3].update(before=raw["cuts"][3]["before"][1:]))
    with pytest.raises(CheckFailure, match="segments of cut 'device-only' do not take and give what the model does"):
        check_bundle(str(path))


def test_all_ideals_of_a_branchy_model_can_be_cut_twice(tmp_path):
    """Every pair of nested cuts of a two-headed model, one task each."""
    model = import_model(save(two_outputs(), tmp_path / "net.onnx"))
    graph = fuse(model)
    masks = [mask for mask in all_ideals(graph)[0] if 0 < mask < graph.full_mask]
    feed = ort.seeded_inputs(model.proto, 4)
    whole = ort.run(model.proto, feed)
    pairs = [(one, other) for one in masks for other in masks if one != other and not one & ~other]
    for place, (one, other) in enumerate(pairs[:: max(1, len(pairs) // 8)]):
        path = tmp_path / f"{place}.coach"
        ways = [
            a_way(graph, mask, BitPlan(tuple(Quantizer(v, "raw", 32) for v in graph.cut_values(mask))), name=name)
            for name, mask in (("one", one), ("other", other))
        ]
        write_ways(path, model, ways, LOCAL)
        bundle = open_bundle(path)
        halves, engines = Halves(bundle, exact), Engines(bundle, exact)
        for name in ("one", "other"):
            outputs, _ = through(bundle, bundle.manifest.cut(name), halves, engines, feed, None)
            for output, wanted in whole.items():
                np.testing.assert_array_equal(outputs[output], wanted)
