"""What a cut loses, its features and codes: against the reference model of the whole with inserted quantizers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import Dataset, open_dataset
from coachc.calib.division import divide
from coachc.calib.reference_answers import float_outputs, trial_of
from coachc.core.plan import UNQUANTIZED, Rejected
from coachc.frontend import ort
from coachc.models import synthetic
from coachc.passes.cut import boundary_name, split
from coachc.passes.ideals import all_ideals
from coachc.passes.insert_qdq import insert_reference
from coachc.runtime.bundle import numeric
from tests.helpers.halves import integers_between
from tests.helpers.noise_data import noise_dataset
from tests.helpers.onnx_models import constant, imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

SAMPLES = 500


def evaluator(model, graph, mask, trial, budget):
    head, tail = split(model, graph, mask)
    boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(mask)]
    return CutEvaluator(head, tail, boundary, model.outputs, trial=trial, budget=budget)


def by_reference(model, graph, mask, quantizers, data):
    """Outputs of the whole model with inserted quantizers for each sample."""
    cloud = {name for i, node in enumerate(graph.nodes) if not mask >> i & 1 for name in node.members}
    session = ort.session(insert_reference(model, quantizers, cloud), "all")
    return [session.run(None, feed) for feed in data]


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
    trial = trial_of(model.proto, data, "classify", budget)
    kept, seen = trial.kept, trial.seen
    assert len(seen) + len(kept) == SAMPLES
    found_bits = set()
    for mask in all_ideals(graph)[0][:-1]:
        where = f"cut at {graph.cut_values(mask)}, seed 0"
        scan = evaluator(model, graph, mask, trial, budget)
        passes = {}
        for bits in range(2, 9):
            plan = scan.at(bits)
            assert {q.bits for q in plan.quantizers} == {bits}
            outputs = by_reference(model, graph, mask, plan.quantizers, data)
            wrong = np.array([output[0].argmax() for output in outputs]) != wanted
            assert scan.losses(plan.quantizers)[:, 0].tolist() == wrong[seen].tolist(), f"{where}, {bits} bits"
            assert scan.losses(plan.quantizers, kept=True)[:, 0].tolist() == wrong[kept].tolist()
            lost = wrong[seen].sum()
            assert plan.accuracy.loss == pytest.approx(lost / len(seen))
            assert (plan.accuracy.whole, plan.accuracy.samples, plan.accuracy.kind) == (1.0, len(seen), "agreement")
            # Clopper and Pearson, of as many wrong ones as are to be expected among those kept back.
            expected = lost * len(kept) / len(seen)
            passes[bits] = stats.beta.cdf(1 - budget, len(kept) - expected, expected + 1) <= 0.05
        found = evaluator(model, graph, mask, trial, budget).lowest()
        if not passes[8]:
            assert isinstance(found, Rejected) == (scan.at(8).accuracy.loss > budget), where
            continue
        bits = found.quantizers[0].bits
        found_bits.add(bits)
        assert passes[bits], where
        assert bits == 2 or not passes[bits - 1], where
        if list(passes.values()) == sorted(passes.values()):
            assert bits == min(b for b, ok in passes.items() if ok), where
        assert found == scan.at(bits), where
    assert found_bits


def test_every_output_is_judged_as_the_reference_models(tmp_path):
    """Distances from the whole model's outputs, by their definition: in the deviations from the mean of those seen."""
    model, graph = imported(synthetic.two_outputs(), tmp_path)
    data = noise_dataset([model.values["input"]], samples=60)
    trial = trial_of(model.proto, data, "outputs", 0.2)
    early = graph.producer["early"]
    mask = next(m for m in all_ideals(graph)[0] if m >> early & 1 and m != graph.full_mask)
    scan = evaluator(model, graph, mask, trial, 0.2)
    whole = list(float_outputs(model.proto, data))
    for bits in (2, 4):
        quantizers = scan.quantizers(bits)
        expected = []
        for place in range(2):
            exact, moved = (
                np.concatenate([outputs[place] for outputs in of]).reshape(60, -1)
                for of in (whole, by_reference(model, graph, mask, quantizers, data))
            )
            mean, spread = exact[trial.seen].mean(axis=0), exact[trial.seen].std(axis=0)
            errors, deviations = (
                np.sqrt((((a - b) / spread) ** 2).mean(axis=1)) for a, b in ((moved, exact), (exact, mean))
            )
            expected.append(np.minimum(errors / deviations, 1.0))
        for kept, places in ((False, trial.seen), (True, trial.kept)):
            lost = scan.losses(quantizers, kept=kept)
            assert lost == pytest.approx(np.stack(expected, axis=1)[places], abs=1e-4)
        # The first output is made on the device: what crosses cannot change it.
        assert not lost[:, 0].any()
        assert lost[:, 1].min() > 0
        accuracy = scan.at(bits).accuracy
        assert (accuracy.kind, accuracy.worst) == ("outputs", model.outputs[1])
    assert scan.at(2).accuracy.loss > scan.at(4).accuracy.loss
    classified = evaluator(model, graph, mask, trial_of(model.proto, data, "classify", 0.2), 0.2)
    assert classified.at(2).accuracy.loss == 0.0


def test_more_budget_never_needs_more_bits(varied):
    model, graph, data, _ = varied
    bits = []
    for budget in (0.02, 0.05, 0.2, 0.6):
        found = evaluator(model, graph, 0b11, trial_of(model.proto, data, "classify", budget), budget).lowest()
        assert found.accuracy.loss <= budget
        bits.append(found.quantizers[0].bits)
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1]


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
    found = evaluator(model, graph, 1, trial_of(model.proto, data, "classify", 0.05), 0.05).lowest()
    assert isinstance(found, Rejected)
    assert found.what == f"cut at {graph.cut_values(1)[0]}"
    assert found.reason == "more than 5.00% is lost at 8 bits"


def test_with_few_samples_the_same_ranges_have_to_do_with_one_bit_less(varied):
    model, graph, data, wanted = varied
    few = Dataset("unlabelled", 40, None, None, list(data)[:40])
    trial = trial_of(model.proto, few, "classify", 0.025)
    assert not trial.division.proves
    found = evaluator(model, graph, 0b11, trial, 0.025).lowest()
    assert found.accuracy.samples == 40
    scan = evaluator(model, graph, 0b11, trial, 0.025)
    keeps = {}
    for bits in range(3, 9):
        (quantizer,) = scan.quantizers(bits)
        # By hand: the ends of the range stay, and one bit less makes about half as many steps between them.
        scale = quantizer.scale[0] * quantizer.qmax / (2 ** (bits - 1) - 1)
        zero_point = round(quantizer.zero_point[0] * (2 ** (bits - 1) - 1) / quantizer.qmax)
        harder = dataclasses.replace(quantizer, bits=bits - 1, scale=(scale,), zero_point=(zero_point,))
        outputs = by_reference(model, graph, 0b11, (harder,), few)
        keeps[bits] = np.mean([output[0].argmax() for output in outputs] != wanted[:40]) <= 0.025
    bits = found.quantizers[0].bits
    assert keeps[bits]
    assert bits == 3 or not keeps[bits - 1]


def test_labels_count_what_gets_better_too(varied):
    model, graph, data, wanted = varied
    labels = np.where(np.arange(SAMPLES) % 3 == 0, (wanted + 1) % 5, wanted)
    labelled = dataclasses.replace(data, kind="labels", labels=labels)
    scan = evaluator(model, graph, 0b11, trial_of(model.proto, labelled, "classify", 0.1), 0.1)
    quantizers = scan.quantizers(2)
    answers = np.array([o[0].argmax() for o in by_reference(model, graph, 0b11, quantizers, data)])
    expected = (wanted == labels).astype(int) - (answers == labels)
    assert set(expected.tolist()) == {-1, 0, 1}
    seen = scan.trial.seen
    assert scan.losses(quantizers)[:, 0].tolist() == expected[seen].tolist()
    accuracy = scan.at(2).accuracy
    assert accuracy.kind == "labels"
    assert accuracy.whole == pytest.approx(np.mean((wanted == labels)[seen]))
    assert accuracy.split == pytest.approx(np.mean((answers == labels)[seen]))


def test_noise_is_noise(varied):
    model, graph, _, _ = varied
    done = []
    data = open_dataset("random", [model.values[n] for n in model.inputs], None, max_samples=100)
    trial = trial_of(model.proto, data, "classify", 0.5, advance=done.append)
    assert done == list(range(1, 17))
    accuracy = evaluator(model, graph, 0b11, trial, 0.5).at(8).accuracy
    assert (accuracy.kind, accuracy.certified, accuracy.loss_bound) == ("random", False, None)


def test_integers_cross_beside_codes(tmp_path):
    model, graph = imported(integers_between(), tmp_path)
    mask = next(m for m in all_ideals(graph)[0] if "i" in graph.cut_values(m))
    trial = trial_of(model.proto, noise_dataset([model.values["x"]], samples=30), "classify", 0.5)
    plan = evaluator(model, graph, mask, trial, 0.5).lowest()
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
    trial = trial_of(model.proto, noise_dataset([model.values["x"]], samples=30), "classify", 0.5)
    for name, codec in (("m", "raw"), ("c", "packed"), ("s", "packed")):
        for mask in (m for m in all_ideals(graph)[0] if graph.cut_values(m) == (name,)):
            found = evaluator(model, graph, mask, trial, 0.5)
            assert [q.codec for q in found.at(8).quantizers] == [codec]
            assert found.at(8).accuracy.split > 0.9
            assert found.per_channel(0) == (codec == "packed")


def test_activations_beyond_memory_are_made_again(varied, monkeypatch):
    model, graph, data, _ = varied
    trial = trial_of(model.proto, data, "classify", 0.5)
    expected = [evaluator(model, graph, 0b11, trial, 0.5).at(bits) for bits in (2, 8, 3)]
    monkeypatch.setattr("coachc.calib.activation_cache.CACHE_BYTES", 3000)
    again = evaluator(model, graph, 0b11, trial, 0.5)
    assert [again.at(bits) for bits in (2, 8, 3)] == expected
    assert len(again._activations[False]._kept) == 3000 // 256


def test_features_and_codes_are_of_the_samples_of_their_part(varied):
    model, graph, data, _ = varied
    trial = trial_of(model.proto, data, "classify", 0.1)
    name = graph.cut_values(0b1)[0]
    head, _ = split(model, graph, 0b1)
    made = np.concatenate([ort.run(head, feed)[boundary_name(graph, name)] for feed in list(data)[:100]])
    scan = evaluator(model, graph, 0b1, trial, 0.1)
    for kept, places in ((False, trial.seen), (True, trial.kept)):
        (pooled,) = scan.pooled([name], kept=kept)
        assert (pooled.shape, pooled.dtype) == ((len(places), 4), np.float32)
        early = places[places < 100]
        assert pooled[: len(early)] == pytest.approx(made[early].mean(axis=(2, 3)), abs=1e-5)
    (quantizer,) = quantizers = scan.quantizers(3)
    (codes,) = scan.codes(quantizers, 5)
    for array, place in zip(codes, trial.seen, strict=False):
        exact = numeric.quantize(made[place][None], quantizer.scale, quantizer.zero_point, 3)
        assert np.mean(array != exact) < 0.01
    assert len(codes) == 5
    assert scan.codes(scan.quantizers(UNQUANTIZED), 5) == [[]]


@pytest.mark.parametrize("task", ["classify", "outputs"])
def test_a_probe_tells_how_far_the_first_samples_move(varied, task):
    model, graph, data, _ = varied
    scan = evaluator(model, graph, 0b11, trial_of(model.proto, data, task, 0.1), 0.1)
    coarse, fine = (scan.probe(scan.quantizers(bits), 50) for bits in (2, 6))
    lost = {bits: scan.losses(scan.quantizers(bits))[:50].mean() for bits in (2, 6)}
    assert (coarse.samples, fine.samples) == (50, 50)
    assert coarse.divergence > 10 * fine.divergence > 0
    assert (coarse.changed, fine.changed) == (pytest.approx(lost[2]), pytest.approx(lost[6]))
    nothing = scan.probe(scan.quantizers(UNQUANTIZED), 50)
    assert (nothing.divergence, nothing.changed) == (0.0, 0.0)


def test_batches_lose_the_share_of_their_rows(tmp_path):
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4),
        op("Tanh", "c", "t"),
        op("Flatten", "t", "f"),
        op("Gemm", "f k", "y"),
    ]
    weights = [random_weight("a", 4, 4, 3, 3), random_weight("k", 256, 5)]
    batched = net(nodes, [info("x", (4, 4, 8, 8))], [info("y", (4, 5))], weights)
    model, graph = imported(batched, tmp_path)
    data = noise_dataset([model.values["x"]], samples=60)
    clips = dataclasses.replace(data, groups=np.repeat(np.arange(30), 8))
    trial = trial_of(model.proto, clips, "classify", 0.2)
    assert trial.division.units.tolist() == np.repeat(np.arange(30), 2).tolist()
    assert np.array_equal(trial.division.kept, divide(60, clips.groups, 0.2).kept)
    scan = evaluator(model, graph, 0b1, trial, 0.2)
    quantizers = scan.quantizers(2)
    whole, moved = (
        np.array([outputs[0].argmax(axis=1) for outputs in of])
        for of in (float_outputs(model.proto, data), by_reference(model, graph, 0b1, quantizers, data))
    )
    expected = (whole != moved).mean(axis=1)[trial.seen]
    assert set(expected.tolist()) & {0.25, 0.5, 0.75}
    assert scan.losses(quantizers)[:, 0].tolist() == expected.tolist()
    lost = scan.by_unit(scan.losses(quantizers))
    assert lost.lost[:, 0].tolist() == expected.reshape(-1, 2).mean(axis=1).tolist()
