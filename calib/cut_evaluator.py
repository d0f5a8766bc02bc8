"""Accuracy of a cut at any precision, measured on the calibration set, and its lowest admissible number of bits.

All values of the cut are quantized at once. The search over bits gives them all the same number, is dichotomous as in
COACH (section III-B), and ends with one number that passes and its neighbour that does not, since accuracy is only
empirically monotone in the bits. `calib.refine` goes on from there. The prefix of the model runs once per cut; each
precision only runs the suffix.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx

from coachc.calib.accuracy import most_changed
from coachc.calib.activation_cache import Remembered
from coachc.calib.divergence import Probe, changed, divergence
from coachc.calib.measurements import Measurements, measurement_key
from coachc.calib.ranges import DEFAULT_SCHEME, RangeSample, Scheme
from coachc.calib.reference_answers import Trial
from coachc.core.graph import Value
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Accuracy, BitPlan, Quantizer, Rejected, quantizer_for
from coachc.frontend import ort
from coachc.runtime.bundle import numeric

#: Samples a range is chosen from.
RANGE_SAMPLES = 256

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Tensors = Mapping[str, np.ndarray]


class CutEvaluator:
    """Measures one cut.

    Parameters
    ----------
    head, tail : onnx.ModelProto
        Unquantized halves.
    boundary : sequence of (Value, str)
        Each boundary value with its name in the halves.
    outputs : sequence of str
        The model's outputs, on whichever side they are made.
    trials : sequence of Trial
        The calibration samples first.
    budget : float
        Largest admissible accuracy loss, a fraction.
    store : Measurements, optional
        Where accuracies are kept and looked up.
    """

    def __init__(
        self,
        head: onnx.ModelProto,
        tail: onnx.ModelProto,
        boundary: Sequence[tuple[Value, str]],
        outputs: Sequence[str],
        *,
        trials: Sequence[Trial],
        budget: float,
        store: Measurements | None = None,
    ) -> None:
        self._head = ort.session(head, level="all")
        self._tail = ort.session(tail, level="all")
        self._boundary = tuple(boundary)
        self._outputs = tuple(outputs)
        self._trials = tuple(trials)
        self._budget = budget
        self._activations = [Remembered(functools.partial(_run_head, self._head, trial)) for trial in trials]
        self._ranges = self._sample_ranges()
        self._store = store if store is not None else Measurements()
        self._exact: list[list[np.ndarray]] = []
        self._answered: tuple[tuple[Quantizer, ...], list[tuple[bool, bool]]] = ((), [])

    def lowest(self, most_bits: int = MAX_BITS) -> BitPlan | Rejected:
        """The fewest bits within the budget, or why there are none up to `most_bits`.

        The 95 % bound of the loss decides where the samples can certify the budget at all. Where even 8 bits are not
        certified, 8 bits are taken if the measured loss is within the budget, and the plan says "not certified".
        """
        if not self._passes(most_bits):
            if most_bits == MAX_BITS and self._lost(MAX_BITS) <= self._budget:
                return self.at(MAX_BITS)
            return Rejected(
                "cut at " + ", ".join(value.name for value, _ in self._boundary),
                f"more than {self._budget:.2%} accuracy is lost at {most_bits} bits"
                + (", and with more bits it would not win" if most_bits < MAX_BITS else ""),
            )
        low, high = MIN_BITS - 1, most_bits
        while high - low > 1:
            middle = (low + high) // 2
            if self._passes(middle):
                high = middle
            else:
                low = middle
        return self.at(high)

    def at(self, bits: int) -> BitPlan:
        """Quantizers and accuracy with every value of the cut at `bits` bits."""
        return self.measure(self.quantizers(bits))

    def measure(self, quantizers: tuple[Quantizer, ...]) -> BitPlan:
        """Accuracy with these quantizers; measured once.

        The loss and its bound are those of the hardest trial, the accuracies those of the samples themselves.
        """
        key = self._key(quantizers)
        accuracy = self._store.get(key)
        if accuracy is None:
            results = [
                self._compare(trial, self._all_answers(place, quantizers)) for place, trial in enumerate(self._trials)
            ]
            hardest = max(results, key=lambda accuracy: accuracy.loss_bound)
            accuracy = dataclasses.replace(
                results[0],
                loss=hardest.loss,
                loss_bound=hardest.loss_bound,
                certified=hardest.certified,
                mixed_whole=results[1].whole if len(results) > 1 else None,
            )
            self._store.put(key, accuracy)
        return BitPlan(quantizers, accuracy)

    def _all_answers(self, place: int, quantizers: tuple[Quantizer, ...]) -> list[tuple[bool, bool]]:
        if place == len(self._trials) - 1 and self._answered[0] == quantizers:
            return self._answered[1]
        return list(self._answers(self._trials[place], self._activations[place], quantizers))

    def _key(self, quantizers: Sequence[Quantizer]) -> str:
        return measurement_key([trial.fingerprint for trial in self._trials], self._budget, quantizers)

    def passes(self, quantizers: tuple[Quantizer, ...]) -> bool:
        """Whether these quantizers keep the accuracy budget; stops at the answer that settles that they do not."""
        if self._store.get(self._key(quantizers)) is None and self._fails_early(quantizers):
            return False
        accuracy = self.measure(quantizers).accuracy
        return accuracy is not None and self._trials[0].judge.keeps(accuracy, self._budget)

    def probe(self, quantizers: tuple[Quantizer, ...], samples: int) -> Probe:
        """How far the first samples' outputs move: needs fewer samples than counting wrong answers does."""
        if not self._exact:
            plain = self._outputs_of(self._activations[0], self.quantizers(UNQUANTIZED))
            self._exact = [outputs for _, outputs in zip(range(samples), plain, strict=False)]
        rounded = self._outputs_of(self._activations[0], quantizers)
        pairs = list(zip(self._exact, rounded, strict=False))
        classifies = self._trials[0].judge.answers is not None
        return Probe(
            divergence=float(np.mean([divergence(*pair, classifies=classifies) for pair in pairs])),
            changed=float(np.mean([changed(*pair, classifies=classifies) for pair in pairs])),
            samples=len(pairs),
        )

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What the cut is tried on: the samples first, the hardest last."""
        return self._trials

    def pooled(self, trial: int, values: Sequence[str]) -> list[np.ndarray]:
        """Boundary values of every sample of a trial, averaged over their positions: (samples, channels) each.

        What the device half puts out as features; `runtime.online.feature.join` makes one of them.
        """
        names = {value.name: name for value, name in self._boundary}
        rows: list[list[np.ndarray]] = [[] for _ in values]
        for made in self._activations[trial]:
            for kept, value in zip(rows, values, strict=True):
                array = made[names[value]]
                kept.append(array.reshape(*array.shape[:2], -1).mean(axis=2, dtype=np.float32))
        return [np.concatenate(kept) for kept in rows]

    def changed(self, trial: int, quantizers: tuple[Quantizer, ...]) -> np.ndarray:
        """Samples of a trial whose answer with these quantizers is not the whole model's, shape (samples,)."""
        answers = self._answers(self._trials[trial], self._activations[trial], quantizers)
        return np.array([not same for _, same in answers], bool)

    def raw_bytes(self, place: int) -> int:
        """Bytes of one value of the cut as it is."""
        return self._boundary[place][0].size_bytes

    def codes(self, quantizers: tuple[Quantizer, ...], samples: int) -> list[list[np.ndarray]]:
        """Codes of the first samples, for each packed value a list of arrays of uint8; nothing for raw ones."""
        found: list[list[np.ndarray]] = [[] for _ in quantizers]
        for made in itertools.islice(self._activations[0], samples):
            for kept, quantizer, (_, name) in zip(found, quantizers, self._boundary, strict=True):
                if quantizer.packed:
                    codes = numeric.quantize(made[name], quantizer.scale, quantizer.zero_point, quantizer.bits)
                    kept.append(codes)
        return found

    def quantizers(self, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> tuple[Quantizer, ...]:
        """Every value of the cut at `bits` bits, its range by one rule."""
        return tuple(self.quantizer(place, bits, scheme) for place in range(len(self._boundary)))

    def quantizer(self, place: int, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> Quantizer:
        """One value of the cut at `bits` bits, its range by one rule; raw where it is never quantized."""
        value, _ = self._boundary[place]
        if bits == UNQUANTIZED or not self._quantizable(value):
            return quantizer_for(value, UNQUANTIZED)
        return self._ranges[value.name].quantizer(value.name, bits, scheme)

    def per_channel(self, place: int) -> bool:
        """Whether one range per channel makes sense: a channel of a feature map, with several values."""
        value, _ = self._boundary[place]
        return self._quantizable(value) and len(value.shape) >= 3 and value.shape[1] > 1

    def _quantizable(self, value: Value) -> bool:
        return value.quantizable and self._ranges[value.name].finite

    def _passes(self, bits: int) -> bool:
        return self.passes(self.quantizers(bits))

    def _lost(self, bits: int) -> float:
        """Accuracy lost on the samples themselves, whatever answers changed."""
        accuracy = self.at(bits).accuracy
        assert accuracy is not None
        return accuracy.whole - accuracy.split

    def _fails_early(self, quantizers: tuple[Quantizer, ...]) -> bool:
        """Whether too many answers of the hardest trial change; stops at the first one too many.

        Exactly what the whole trial would say: a changed answer is never taken back. If there are not too many, all
        of the trial's answers are known and kept.
        """
        trial, activations = self._trials[-1], self._activations[-1]
        allowed = most_changed(trial.data.samples, self._budget)
        answers: list[tuple[bool, bool]] = []
        found = 0
        for answer in self._answers(trial, activations, quantizers):
            answers.append(answer)
            found += not answer[1]
            if found > allowed:
                return True
        self._answered = (quantizers, answers)
        return False

    def _compare(self, trial: Trial, answers: Sequence[tuple[bool, bool]]) -> Accuracy:
        right = np.array([right for right, _ in answers], bool)
        return trial.judge.compare(right, self._budget, changed=sum(not same for _, same in answers))

    def _sample_ranges(self) -> dict[str, RangeSample]:
        ranges = {value.name: RangeSample(RANGE_SAMPLES) for value, _ in self._boundary if value.quantizable}
        for made in itertools.islice(self._activations[0], RANGE_SAMPLES):
            for value, name in self._boundary:
                if value.quantizable:
                    ranges[value.name].add(made[name])
        return ranges

    def _answers(
        self, trial: Trial, activations: Iterable[Tensors], quantizers: Sequence[Quantizer]
    ) -> Iterator[tuple[bool, bool]]:
        """With the boundary values rounded: whether each sample is right, whether its answer is the whole model's."""
        for index, outputs in enumerate(self._outputs_of(activations, quantizers)):
            yield trial.judge.right(index, outputs), trial.judge.same(index, outputs)

    def _outputs_of(
        self, activations: Iterable[Tensors], quantizers: Sequence[Quantizer]
    ) -> Iterator[list[np.ndarray]]:
        """The model's outputs for each sample, with the boundary values rounded."""
        names = [item.name for item in self._tail.get_outputs()]
        for made in activations:
            feed = {}
            for quantizer, (value, name) in zip(quantizers, self._boundary, strict=True):
                array = made[name]
                if quantizer.packed:
                    codes = numeric.quantize(array, quantizer.scale, quantizer.zero_point, quantizer.bits)
                    array = numeric.dequantize(codes, quantizer.scale, quantizer.zero_point).astype(value.dtype)
                feed[name] = array
            answers = dict(zip(names, ort.run_sample(self._tail, feed), strict=True))
            yield [answers[n] if n in answers else made[n] for n in self._outputs]


def _run_head(head: InferenceSession, trial: Trial) -> Iterator[Tensors]:
    """Boundary values of each sample. No method, so that an evaluator nobody holds frees its files at once."""
    names = [item.name for item in head.get_outputs()]
    for feed in trial.data:
        yield dict(zip(names, ort.run_sample(head, feed), strict=True))
