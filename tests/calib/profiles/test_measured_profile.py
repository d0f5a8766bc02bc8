"""A measured profile as seconds per operator: parts come out as measured, and what is of another model is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.profiles.checked_cuts import checked_cuts
from coachc.calib.profiles.measured_profile import (
    LEAST_SCALE,
    Piece,
    corrected,
    in_part_measured,
    mask_of_cut,
    measured_profile,
)  # fmt: skip
from coachc.core.profile import Profile, Provenance
from coachc.cost.device import LOCAL_SPEC
from coachc.cost.device_files import all_devices
from coachc.errors import ProfileError
from coachc.models import synthetic
from coachc.runtime.bundle.profile_file import Layer, MeasuredProfile, Segment
from tests.helpers.graphs import CHAIN, DIAMOND, down_closed_subsets, graph_of, random_graph
from tests.helpers.onnx_models import imported

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture
def residual(tmp_path):
    return imported(synthetic.residual(), tmp_path)


def measured(model, layers=None, segments=(), **changed):
    if layers is None:
        layers = tuple(Layer(node.name, 0.001 * (place + 1)) for place, node in enumerate(model.proto.graph.node))
    whole = {
        "model_sha256": model.sha256, "inputs": {name: model.values[name].shape for name in model.inputs},
        "backend": "onnxruntime", "precision": "fp32", "machine": "a machine", "power_mode": "MAXN",
        "versions": {"onnxruntime": "1.2"}, "date": "2026-11-30T00:00:00+00:00", "warm_up": 3, "repeats": 20,
        "method": "by hand", "layers": layers, "segments": tuple(segments),
    }  # fmt: skip
    return MeasuredProfile(**{**whole, **changed})


def inside(graph, mask, side):
    return graph.indices_in(mask) if side == "device" else graph.indices_outside(mask)


@pytest.mark.parametrize("side", ["device", "cloud"])
@pytest.mark.parametrize("block", range(4))
def test_parts_that_lie_inside_one_another_come_out_as_measured(side, block):
    for seed in range(10 * block, 10 * block + 10):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng, most=10)
        seconds = tuple(rng.uniform(0.5, 2.0, len(graph.nodes)))
        masks = [mask for mask in sorted(down_closed_subsets(graph), key=int.bit_count) if mask]
        chain = [mask for place, mask in enumerate(masks) if all(not other & ~mask for other in masks[:place])]
        true = np.array(seconds) * rng.uniform(0.5, 2.0, len(graph.nodes))
        pieces = [
            Piece(mask, float(true[list(inside(graph, mask, side))].sum()))
            for mask in (*chain, 0)
            if inside(graph, mask, side)
        ]
        found = np.array(corrected(seconds, pieces, graph, side))
        for piece in pieces:
            assert found[list(inside(graph, piece.mask, side))].sum() == pytest.approx(piece.seconds), f"seed {seed}"


def test_what_lies_behind_the_last_part_is_off_as_that_part_is():
    graph = graph_of(CHAIN)
    found = corrected((1.0, 1.0, 1.0, 1.0), [Piece(0b0011, 6.0)], graph, "device")
    assert found == pytest.approx((3.0, 3.0, 3.0, 3.0))
    assert corrected((1.0, 1.0, 1.0, 1.0), [Piece(0b0011, 1.0)], graph, "cloud") == pytest.approx((0.5,) * 4)


def test_noise_that_makes_a_larger_part_faster_is_levelled():
    graph = graph_of(CHAIN)
    found = corrected((1.0,) * 4, [Piece(0b0001, 2.0), Piece(0b0011, 1.0), Piece(0b1111, 5.0)], graph, "device")
    assert all(seconds > 0 for seconds in found)
    assert found[1] == pytest.approx(LEAST_SCALE * 5 / 4)
    assert sum(found) == pytest.approx(5.0, rel=0.03)


def test_parts_beside_one_another_do_not_both_count():
    graph = graph_of(DIAMOND)
    found = corrected((1.0,) * 5, [Piece(0b00011, 4.0), Piece(0b00101, 9.0), Piece(0b11111, 10.0)], graph, "device")
    assert sum(found) == pytest.approx(10.0)
    assert found[0] + found[1] == pytest.approx(4.0)


def test_the_cut_of_a_part_is_found():
    graph = graph_of(DIAMOND)
    assert mask_of_cut(graph, ["v0"]) == 0b00001
    assert mask_of_cut(graph, ["v1", "v0"]) == 0b00011
    assert mask_of_cut(graph, ["x"]) == 0
    assert mask_of_cut(graph, ["v1"]) is None
    assert mask_of_cut(graph, ["unknown"]) is None


def test_layers_become_operators(residual):
    model, graph = residual
    profile = measured_profile(measured(model), model, graph, "device", all_devices()["tx2"])
    by_node = {node.name: 0.001 * (place + 1) for place, node in enumerate(model.proto.graph.node)}
    assert profile.seconds == pytest.approx([sum(by_node[member] for member in node.members) for node in graph.nodes])
    assert (profile.target, profile.precision, profile.element_bytes) == ("tx2", "fp32", 4)
    assert profile.provenance.is_measured
    assert profile.provenance.source == "a machine, MAXN, onnxruntime 1.2, 2026-11-30, by hand"


def test_copies_are_spread_where_no_part_tells(residual):
    model, graph = residual
    layers = (*measured(model).layers, Layer("ReorderInput", 0.01))
    plain, found = (
        measured_profile(measured(model, one), model, graph, "device", LOCAL_SPEC).seconds for one in (None, layers)
    )
    assert sum(found) == pytest.approx(sum(plain) + 0.01)
    whole = Segment("whole", (), 0.5)
    for side in ("device", "cloud"):
        seconds = measured_profile(measured(model, layers, [whole]), model, graph, side, LOCAL_SPEC).seconds
        assert sum(seconds) == pytest.approx(0.5)


@pytest.mark.parametrize("side", ["device", "cloud"])
def test_a_stage_holds_its_quantizer_which_is_costed_beside_it(residual, side):
    model, graph = residual
    (name,) = graph.cut_values(0b1)
    stage = Segment(side, (name,), 0.2, stage=True)
    found = measured(model, segments=[stage], bytes_per_s=1e6, overhead_s=0.01)
    profile = measured_profile(found, model, graph, side, LOCAL_SPEC)
    elements = graph.values[name].elements
    part = sum(profile.seconds[index] for index in inside(graph, 0b1, side))
    assert part + profile.elementwise_s(elements, elements) == pytest.approx(0.2)


def test_a_run_without_layers_divides_as_is_estimated(residual):
    model, graph = residual
    (name,) = graph.cut_values(0b1)
    estimated = Profile(
        "tx2", "fp16", tuple(range(1, len(graph.nodes) + 1)), 1e9, 1e-5, 2, Provenance("guess", "x", 2.0)
    )
    found = measured(model, (), [Segment("device", (name,), 0.3)])
    seconds = measured_profile(found, model, graph, "device", LOCAL_SPEC, estimated).seconds
    assert seconds == pytest.approx([0.3 * second for second in estimated.seconds])


def test_the_server_is_scaled_to_what_a_run_saw_of_it(residual):
    model, graph = residual
    (name,) = graph.cut_values(0b1)
    cloud = Profile("a6000", "fp16", (1.0,) * len(graph.nodes), 1e12, 1e-6, 2, Provenance("guess", "rates", 2.0))
    run = measured(model, segments=[Segment("device", (name,), 0.1), Segment("cloud", (name,), 0.5)])
    found = in_part_measured(cloud, run, model, graph)
    assert sum(found.seconds[index] for index in graph.indices_outside(0b1)) == pytest.approx(0.5)
    assert (found.provenance.kind, found.provenance.band) == ("guess", 2.0)
    assert found.provenance.source.startswith("rates; scaled to what the server took in a run, a machine")
    assert in_part_measured(cloud, measured(model), model, graph) == cloud


class TestRefused:
    def refused(self, residual, target="local", **changed):
        model, graph = residual
        spec = LOCAL_SPEC if target == "local" else all_devices()[target]
        with pytest.raises(ProfileError) as caught:
            measured_profile(measured(model, **changed), model, graph, "device", spec)
        assert caught.value.hint
        return caught.value.message + " / " + " / ".join(caught.value.context)

    def test_another_model(self, residual):
        said = self.refused(residual, model_sha256="f" * 64)
        assert "is of another model than net" in said
        assert "ffffffff" in said

    def test_other_shapes(self, residual):
        said = self.refused(residual, inputs={"x": (8, 4, 8, 8)})
        assert "of other input shapes" in said
        assert "x 8x4x8x8" in said

    def test_another_release_of_tensorrt(self, residual):
        said = self.refused(residual, target="tx2", backend="tensorrt", versions={"tensorrt": "10.3.0"})
        assert said.startswith("the measured profile is of TensorRT 10.3.0, and tx2 has 8.2.1")

    def test_layers_of_something_else(self, residual):
        layers = (Layer("mine", 1.0), Layer(residual[0].proto.graph.node[0].name, 1.0), Layer("yours", 1.0))
        assert "2 of 3 layers of the measured profile are not of net" in self.refused(residual, layers=layers)
        assert "layers of the measured profile are not of net" in self.refused(residual, layers=())

    def test_the_same_release_and_one_that_is_not_stated_are_taken(self, residual):
        model, graph = residual
        for versions in ({"tensorrt": "8.2.1.9"}, {}):
            found = measured(model, backend="tensorrt", versions=versions)
            assert measured_profile(found, model, graph, "device", all_devices()["tx2"]).seconds


def test_what_the_profile_makes_of_parts_is_shown_beside_them(residual):
    model, graph = residual
    (name,) = graph.cut_values(0b1)
    segments = [Segment("device", (name,), 0.3), Segment("cloud", (name,), 0.4), Segment("whole", (), 0.5)]
    checked = checked_cuts(measured(model, segments=segments), model, graph)
    assert [(one.part, one.values, one.measured_s) for one in checked] == [
        ("device", (name,), 0.3), ("cloud", (name,), 0.4)
    ]  # fmt: skip
    assert [one.corrected_s for one in checked] == pytest.approx([0.3, 0.4])
    assert sum(one.operators_s for one in checked) == pytest.approx(
        sum(layer.seconds for layer in measured(model).layers)
    )
    assert dataclasses.asdict(checked[0])["part"] == "device"
