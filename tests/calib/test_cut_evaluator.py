"""The lowest precision of a cut, against a scan over all bits with the reference model of the whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from coachc.calib import cut_evaluator as module
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import Dataset, open_dataset
from coachc.calib.reference_answers import float_outputs, trials_of
from coachc.core.plan import Rejected
from coachc.frontend import ort
from coachc.models import synthetic
from coachc.passes.cut import boundary_name, split
from coachc.passes.ideals import all_ideals
from coachc.passes.insert_qdq import insert_reference
from tests.helpers.halves import integers_between
from tests.helpers.noise_data import noise_dataset
from tests.helpers.onnx_models import constant, imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

SAMPLES = 500


def evaluator(model, graph, mask, trials, budget):
    head, tail = split(model, graph, mask)
    boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(mask)]
    return CutEvaluator(head, tail, boundary, model.outputs, trials=trials, budget=budget)


def right_by_reference(model, graph, mask, plan, data, wanted):
    """Which samples the whole model with inserted quantizers answers as `wanted`."""
    cloud = {name for i, node in enumerate(graph.nodes) if not mask >> i & 1 for name in node.members}
    session = ort.session(insert_reference(model, plan.quantizers, cloud), "all")
    return np.array([session.run(None, feed)[0].argmax() for feed in data]) == wanted


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """A network that answers noise with every class: the linear layer sees all positions, not their mean."""
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("Tanh", "c", "r"),
        op("Conv", "r b", "d", pads=[1] * 4, strides=[2, 2]), op("Flatten", "d", "f"), op("Gemm", "f k", "y"),
    ]  # fmt: skip
    weights = [random_weight("a", 4, 4, 3, 3), random_weight("b", 4, 4, 3, 3), random_weight("k", 64, 5)]
    model, graph = imported(net(nodes, ["x"], ["y"], weights), tmp_path_factory.mktemp("varied"))
    data = noise_dataset([model.values[name] for name in model.inputs])
    wanted = np.array([answer[0].argmax() for answer in float_outputs(model.proto, data)])
    assert np.bincount(wanted).min() > SAMPLES / 50, "the network answers nearly every sample alike"
    return model, graph, data, wanted


@pytest.mark.parametrize("budget", [0.01, 0.03, 0.1])
def test_the_lowest_bits_equal_a_linear_scan(varied, budget):
    model, graph, data, wanted = varied
    trials = trials_of(model.proto, data)
    assert len(trials) == 1
    masks = all_ideals(graph)[0]
    seen = set()
    for mask in masks[:-1]:
        where = f"cut at {graph.cut_values(mask)}, seed 0"
        scan = evaluator(model, graph, mask, trials, budget)
        passes = {}
        for bits in range(2, 9):
            plan = scan.at(bits)
            assert {q.bits for q in plan.quantizers} == {bits}
            right = right_by_reference(model, graph, mask, plan, data, wanted)
            assert plan.accuracy.split == pytest.approx(right.mean()), f"{where}, {bits} bits"
            assert (plan.accuracy.whole, plan.accuracy.samples, plan.accuracy.kind) == (1.0, SAMPLES, "agreement")
            wrong, total = np.count_nonzero(~right), SAMPLES + 2
            bound = wrong / total + 1.645 * math.sqrt(wrong + 1 - wrong**2 / total) / total
            assert plan.accuracy.loss_bound == pytest.approx(bound)
            passes[bits] = bound <= budget
            assert plan.accuracy.certified == passes[bits]
        found = evaluator(model, graph, mask, trials, budget).lowest()
        if not any(passes.values()):
            assert scan.at(8).accuracy.loss > budget or found.quantizers[0].bits == 8, where
            continue
        bits = found.quantizers[0].bits
        seen.add(bits)
        assert passes[bits], where
        assert bits == 2 or not passes[bits - 1], where
        if list(passes.values()) == sorted(passes.values()):
            assert bits == min(b for b, ok in passes.items() if ok), where
        assert found == scan.at(bits), where
    assert seen


def test_more_budget_never_needs_more_bits(varied):
    model, graph, data, _ = varied
    trials = trials_of(model.proto, data)
    bits = []
    for budget in (0.02, 0.05, 0.2, 0.6):
        found = evaluator(model, graph, 0b11, trials, budget).lowest()
        assert found.accuracy.loss <= budget
        bits.append(found.quantizers[0].bits)
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1]


def test_no_more_bits_than_are_asked_for(varied):
    model, graph, data, _ = varied
    trials = trials_of(model.proto, data)
    needed = evaluator(model, graph, 0b11, trials, 0.02).lowest().quantizers[0].bits
    assert needed > 2
    assert evaluator(model, graph, 0b11, trials, 0.02).lowest(needed).quantizers[0].bits == needed
    refused = evaluator(model, graph, 0b11, trials, 0.02).lowest(needed - 1)
    assert isinstance(refused, Rejected)
    assert refused.what.startswith("cut at ")
    assert refused.reason == (
        f"more than 2.00% accuracy is lost at {needed - 1} bits, and with more bits it would not win"
    )


def test_even_8_bits_lose_too_much(tmp_path):
    """One channel of thousands beside one of ones that decides: its sign is lost in a step of 16."""
    nodes = [op("MaxPool", "x", "v", kernel_shape=[1, 1]), op("Flatten", "v", "f"), op("Gemm", "f k", "y")]
    model, graph = imported(
        net(nodes, [info("x", (1, 2, 1, 1))], [info("y", (1, 2))], [constant("k", np.float32([[0, 0], [1, -1]]))]),
        tmp_path,
    )
    data = noise_dataset([model.values["x"]])
    for feed in data:
        feed["x"][0, 0] *= 2000
    found = evaluator(model, graph, 1, trials_of(model.proto, data), 0.05).lowest()
    assert isinstance(found, Rejected)
    assert found.what == f"cut at {graph.cut_values(1)[0]}"
    assert found.reason == "more than 5.00% accuracy is lost at 8 bits"


def test_what_8_bits_keep_but_cannot_certify_is_taken_and_said(varied):
    model, graph, data, _ = varied
    trials = trials_of(model.proto, data)
    scan = evaluator(model, graph, 0b11, trials, 0.5)
    accuracy = scan.at(8).accuracy
    # Between the measured loss and its bound, and enough samples that the bound decides.
    budget = (max(accuracy.loss, 1.645 / (SAMPLES + 2)) + accuracy.loss_bound) / 2
    assert accuracy.loss <= budget < accuracy.loss_bound
    found = evaluator(model, graph, 0b11, trials, budget).lowest()
    assert found.quantizers[0].bits == 8
    assert not found.accuracy.certified
    assert scan.at(8).accuracy.certified


def test_few_samples_are_judged_as_measured(varied):
    model, graph, data, _ = varied
    few = Dataset("unlabelled", 40, None, None, list(data)[:40])
    found = evaluator(model, graph, 0b11, trials_of(model.proto, few), 0.025).lowest()
    bits, loss = found.quantizers[0].bits, found.accuracy.loss
    assert loss <= 0.025 < found.accuracy.loss_bound
    assert not found.accuracy.certified
    below = evaluator(model, graph, 0b11, trials_of(model.proto, few), 0.025).at(max(bits - 1, 2)).accuracy.loss
    assert bits == 2 or below > 0.025


def test_a_hopeless_precision_is_given_up_early(varied, monkeypatch):
    model, graph, data, _ = varied
    trials = trials_of(model.proto, data)
    counted = evaluator(model, graph, 0b11, trials, 0.02)
    runs = 0
    judged = trials[0].judge.right

    def right(*arguments):
        nonlocal runs
        runs += 1
        return judged(*arguments)

    monkeypatch.setattr(trials[0].judge, "right", right)
    found = counted.lowest()
    tried = runs
    monkeypatch.setattr(module, "most_changed", lambda samples, budget: samples)
    runs = 0
    thorough = evaluator(model, graph, 0b11, trials, 0.02)
    assert thorough.lowest() == found
    assert tried < runs


def test_labels_and_a_model_that_knows_them_by_heart(varied):
    model, graph, data, wanted = varied
    known = dataclasses.replace(data, kind="labels", labels=wanted)
    trials = trials_of(model.proto, known)
    assert [trial.judge.kind for trial in trials] == ["labels", "labels"]
    blended = trials[1].data
    agree = np.mean([a[0].argmax() == w for a, w in zip(float_outputs(model.proto, blended), wanted, strict=True)])
    assert 0.3 < agree < 1
    accuracy = evaluator(model, graph, 0b11, trials, 0.5).at(3).accuracy
    assert accuracy.mixed_whole == pytest.approx(agree)
    assert accuracy.whole == 1.0
    alone = evaluator(model, graph, 0b11, trials[:1], 0.5).at(3).accuracy
    assert (accuracy.split, alone.mixed_whole) == (alone.split, None)
    # Blends are harder: theirs is the bound that counts.
    assert accuracy.loss_bound >= alone.loss_bound


def test_a_model_that_errs_is_tried_on_the_samples_alone(varied):
    model, _, data, wanted = varied
    labels = np.where(np.arange(SAMPLES) % 50 == 0, (wanted + 1) % 5, wanted)
    trials = trials_of(model.proto, dataclasses.replace(data, kind="labels", labels=labels))
    assert len(trials) == 1
    assert np.mean(trials[0].judge.float_right) == pytest.approx(0.98)


def test_noise_is_noise(varied):
    model, graph, _, _ = varied
    seen = []
    data = open_dataset("random", [model.values[n] for n in model.inputs], None, max_samples=100)
    trials = trials_of(model.proto, data, advance=seen.append)
    assert seen == list(range(1, 17))
    accuracy = evaluator(model, graph, 0b11, trials, 0.5).at(8).accuracy
    assert (accuracy.kind, accuracy.certified, accuracy.samples) == ("random", False, 16)


def test_integers_cross_beside_codes(tmp_path):
    model, graph = imported(integers_between(), tmp_path)
    mask = next(m for m in all_ideals(graph)[0] if "i" in graph.cut_values(m))
    plan = evaluator(
        model, graph, mask, trials_of(model.proto, noise_dataset([model.values["x"]], samples=30)), 0.5
    ).lowest()
    assert [(q.name, q.codec) for q in plan.quantizers] == [("f", "packed"), ("i", "raw")]
    assert plan.quantizers[1].bits == 64


def test_what_holds_an_infinity_crosses_as_it_is(tmp_path):
    """A code cannot stand for the minus infinity of a mask: saturated, it would let through what is masked."""
    masked = constant("mask", np.tri(8)[None, None] > 0)
    nodes = [
        op("Conv", "x w", "c"), op("Where", "mask c low", "m"), op("Softmax", "m", "s", axis=-1),
        op("Flatten", "s", "f"), op("Gemm", "f k", "y"),
    ]  # fmt: skip
    weights = [random_weight("w", 4, 4, 1, 1), random_weight("k", 256, 5), masked, constant("low", np.float32(-np.inf))]
    model, graph = imported(net(nodes, ["x"], ["y"], weights), tmp_path)
    trials = trials_of(model.proto, noise_dataset([model.values["x"]], samples=30))
    for name, codec in (("m", "raw"), ("c", "packed"), ("s", "packed")):
        for mask in (m for m in all_ideals(graph)[0] if graph.cut_values(m) == (name,)):
            found = evaluator(model, graph, mask, trials, 0.5)
            assert [q.codec for q in found.at(8).quantizers] == [codec]
            assert found.at(8).accuracy.split > 0.9
            assert found.per_channel(0) == (codec == "packed")


def test_outputs_of_both_sides_are_judged(tmp_path):
    """The first output, which labels are for, is made on the device: quantizing what crosses cannot change it."""
    model, graph = imported(synthetic.two_outputs(), tmp_path)
    data = noise_dataset([model.values["input"]], samples=20)
    whole = [outputs[0].argmax() for outputs in float_outputs(model.proto, data)]
    labelled = dataclasses.replace(data, kind="labels", labels=np.array(whole))
    early = graph.producer["early"]
    mask = next(m for m in all_ideals(graph)[0] if m >> early & 1 and m != graph.full_mask)
    assert model.outputs[0] == "early"
    assert evaluator(model, graph, mask, trials_of(model.proto, labelled)[:1], 0.5).at(2).accuracy.split == 1.0
    # Without labels it is no more the answer than the second one.
    assert evaluator(model, graph, mask, trials_of(model.proto, data), 0.5).at(2).accuracy.split < 1.0


def test_activations_beyond_memory_are_made_again(varied, monkeypatch):
    model, graph, data, _ = varied
    trials = trials_of(model.proto, data)
    expected = [evaluator(model, graph, 0b11, trials, 0.5).at(bits) for bits in (2, 8, 3)]
    monkeypatch.setattr("coachc.calib.activation_cache.CACHE_BYTES", 3000)
    again = evaluator(model, graph, 0b11, trials, 0.5)
    assert [again.at(bits) for bits in (2, 8, 3)] == expected
    assert len(again._activations[0]._kept) == 3000 // 256
