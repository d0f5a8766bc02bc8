"""Refining one cut: never more bytes, never beyond the budget, and what it says about bytes is what travels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.coding import CODINGS, choose_layout, entropy_bytes, entropy_order
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.ranges import coarser
from coachc.calib.reference_answers import trial_of
from coachc.calib.refine import PROBE_SAMPLES, Point, layouts_of, pareto, quickly_coded, refine
from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.passes.cut import boundary_name, split
from coachc.runtime.bundle.deflate import coded_size
from coachc.runtime.bundle.frame import decode_frame, encode_frame
from coachc.runtime.bundle.manifest_types import Layout
from tests.helpers.noise_data import noise_dataset
from tests.helpers.onnx_models import imported, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

BUDGET = 0.05


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Two branches of which one hardly matters, so that a cut through both wants different precisions."""
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("Relu", "c", "left"),
        op("Conv", "x b", "d", pads=[1] * 4), op("Relu", "d", "right"),
        op("Conv", "left l", "l1", pads=[1] * 4), op("Conv", "right r", "r1", pads=[1] * 4),
        op("Mul", "r1 small", "r2"), op("Add", "l1 r2", "s"), op("Flatten", "s", "f"), op("Gemm", "f k", "y"),
    ]  # fmt: skip
    weights = [
        random_weight("a", 8, 4, 3, 3), random_weight("b", 8, 4, 3, 3), random_weight("l", 4, 8, 3, 3),
        random_weight("r", 4, 8, 3, 3), random_weight("small", 1, 1, 1, 1), random_weight("k", 256, 5),
    ]  # fmt: skip
    weights[4].float_data[:] = []
    weights[4].raw_data = np.full((1, 1, 1, 1), 0.02, np.float32).tobytes()
    model, graph = imported(net(nodes, ["x"], ["y"], weights), tmp_path_factory.mktemp("forked"))
    data = noise_dataset([model.values[name] for name in model.inputs], samples=400)
    return model, graph, data


def evaluator_at(model, graph, data, values, task="classify", budget=BUDGET):
    mask = next(
        mask for mask in range(1, graph.full_mask) if graph.is_ideal(mask) and set(graph.cut_values(mask)) == values
    )
    head, tail = split(model, graph, mask)
    boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(mask)]
    trial = trial_of(model.proto, data, task, budget)
    return CutEvaluator(head, tail, boundary, model.outputs, trial=trial, budget=budget)


@pytest.mark.parametrize("task", ["classify", "outputs"])
def test_fewer_bytes_within_the_budget(forked, task):
    model, graph, data = forked
    evaluator = evaluator_at(model, graph, data, {"left", "right"}, task)
    assert evaluator.trial.division.proves
    start = quickly_coded(evaluator, evaluator.lowest())
    found = refine(evaluator, start)
    plan = found.plan
    assert plan.coded_bytes < start.coded_bytes
    assert evaluator.passes(plan.quantizers)
    assert plan.accuracy == evaluator.measure(plan.quantizers).accuracy
    bits = {quantizer.name: quantizer.bits for quantizer in plan.quantizers}
    assert bits["right"] < bits["left"], "the branch that hardly matters keeps as many bits as the other"
    for quantizer, rungs in zip(plan.quantizers, plan.ladder, strict=True):
        assert [rung.bits for rung in rungs] == list(range(MIN_BITS, MAX_BITS + 1))
        assert quantizer in rungs
    assert refine(evaluator, start) == found


def test_with_too_few_samples_a_bit_stays_to_spare(forked):
    model, graph, data = forked
    few = dataclasses.replace(data, samples=60)
    evaluator = evaluator_at(model, graph, few, {"left", "right"})
    assert not evaluator.trial.division.proves
    plan = refine(evaluator, quickly_coded(evaluator, evaluator.lowest())).plan
    assert plan.accuracy.samples == 60
    assert evaluator.measure(tuple(map(coarser, plan.quantizers))).accuracy.loss <= BUDGET


def test_sensitivities_hold_every_value_and_precision(forked):
    model, graph, data = forked
    evaluator = evaluator_at(model, graph, data, {"left", "right"})
    found = refine(evaluator, evaluator.lowest()).sensitivities
    assert [(one.name, one.bits) for one in found] == [
        (name, bits) for name in ("left", "right") for bits in range(MIN_BITS, MAX_BITS + 1)
    ]
    by_place = {(one.name, one.bits): one.divergence for one in found}
    assert by_place["left", 2] > by_place["left", 8]
    assert by_place["left", 3] > by_place["right", 3]
    assert {one.samples for one in found} == {PROBE_SAMPLES}


def test_bytes_are_those_of_the_frames(forked):
    model, graph, data = forked
    evaluator = evaluator_at(model, graph, data, {"left", "right"})
    quantizers = evaluator.quantizers(3)
    layouts, size = layouts_of(evaluator, quantizers)
    codes = evaluator.codes(quantizers, 16)
    assert size == pytest.approx(
        sum(
            np.mean([coded_size(array, 3, layout, place == 1) for array in arrays])
            for place, (arrays, layout) in enumerate(zip(codes, layouts, strict=True))
        )
    )
    for arrays, layout in zip(codes, layouts, strict=True):
        bits, back = decode_frame(encode_frame(arrays[0], 3, layout), arrays[0].shape, (3,), layout)
        assert bits == 3
        assert np.array_equal(back, arrays[0])


def test_a_front_holds_what_nothing_beats():
    rng = np.random.default_rng(0)
    points = [Point((), (), float(s), float(d)) for s, d in rng.integers(0, 30, (60, 2))]
    front = pareto(points)
    for point in points:
        beaten = any(
            (f.size_bytes, f.divergence) != (point.size_bytes, point.divergence)
            and f.size_bytes <= point.size_bytes
            and f.divergence <= point.divergence
            for f in front
        )
        assert beaten or any((f.size_bytes, f.divergence) == (point.size_bytes, point.divergence) for f in front)
    assert [p.size_bytes for p in front] == sorted({p.size_bytes for p in front})


class TestLayouts:
    def codes(self, bits, seed=0):
        rng = np.random.default_rng(seed)
        spread = np.linspace(0.05, 2.0, 32).reshape(1, 32, 1, 1)
        values = np.maximum(rng.standard_normal((1, 32, 24, 24)) * spread, 0)
        return np.minimum(np.rint(values * (2**bits - 1) / 4), 2**bits - 1).astype(np.uint8)

    @pytest.mark.parametrize("bits", range(2, 9))
    def test_the_best_is_near_the_entropy_and_never_above_packing(self, bits):
        arrays = [self.codes(bits, seed) for seed in range(4)]
        _, size = choose_layout(arrays, bits)
        entropy = np.mean([entropy_bytes(array) for array in arrays])
        packed = np.mean([coded_size(array, bits, Layout()) for array in arrays])
        assert size <= packed
        assert size <= 1.05 * entropy, f"{size:.0f} bytes, entropy {entropy:.0f}"
        for coding, memory in CODINGS:
            assert size <= np.mean([coded_size(a, bits, Layout("bytes", (), coding, memory)) for a in arrays])

    def test_noise_stays_packed(self):
        arrays = [np.random.default_rng(seed).integers(0, 8, (1, 4, 9, 9)).astype(np.uint8) for seed in range(3)]
        layout, size = choose_layout(arrays, 3)
        assert layout == Layout()
        assert size == coded_size(arrays[0], 3, Layout())

    def test_channels_are_put_in_order_of_their_entropy(self):
        arrays = [self.codes(4)[:, ::-1].copy()]
        order = entropy_order(arrays)
        entropies = [entropy_bytes(arrays[0][:, channel]) for channel in order]
        assert entropies == sorted(entropies)
        assert entropy_order([np.zeros((3, 5), np.uint8)]) == ()

    def test_entropy_by_hand(self):
        assert entropy_bytes(np.array([0, 0, 1, 1, 2, 2, 3, 3] * 4, np.uint8)) == pytest.approx(8.0)
        assert entropy_bytes(np.zeros(100, np.uint8)) == 0.0
