"""The lowest precision of a cut that keeps the accuracy budget, measured on the calibration set.

All values of the cut are quantized at once, with the same number of bits. The search over bits is dichotomous as in
COACH (section III-B) and ends with one number that passes and its neighbour that does not, since accuracy is only
empirically monotone in the bits. The prefix of the model runs once per cut; each number of bits only runs the suffix.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from calib.accuracy import CHANGED_LOSS, Judge, paired_loss_bound
from calib.dataset import CACHE_BYTES, RANDOM, Dataset, Mixed
from calib.ranges import RangeSample
from coachc.core.graph import Value
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Accuracy, BitPlan, Quantizer, Rejected, quantizer_for
from coachc.frontend import ort
from runtime.bundle import numeric

#: Above this top-1 on its labelled samples a model was trained on them, and its loss on them says little about others:
#: a CIFAR ResNet56 with 100 % of them right loses 0.2 points at 2 bits on them and 2.8 on unseen pictures.
KNOWN_ACCURACY = 0.99
#: Samples a range is chosen from.
RANGE_SAMPLES = 256
#: A precision is given up early where the first samples show a loss above the budget by this many standard errors;
#: looked at every `LOOK_SAMPLES`, up to `MAX_LOOK_SAMPLES`.
LOOK_Z = 3.0
LOOK_SAMPLES = 64
MAX_LOOK_SAMPLES = 512

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """Samples and what counts as right on them."""

    data: Dataset | Mixed
    judge: Judge


def trials_of(
    model: onnx.ModelProto, data: Dataset, *, advance: Callable[[int], None] = lambda done: None
) -> list[Trial]:
    """What a cut is tried on: the samples, and blends of them where the model knows the samples by heart.

    Parameters
    ----------
    model : onnx.ModelProto
        The whole model.
    data : Dataset
    advance : callable
        Samples done.
    """
    judge = Judge(float_outputs(model, data, advance=advance), data.labels, noise=data.kind == RANDOM)
    trials = [Trial(data, judge)]
    if judge.kind == "labels" and float(np.mean(judge.float_right)) > KNOWN_ACCURACY:
        mixed = data.mixed()
        trials.append(Trial(mixed, Judge(float_outputs(model, mixed), data.labels, noise=False)))
    return trials


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
    ) -> None:
        self._head = ort.session(head, level="all")
        self._tail = ort.session(tail, level="all")
        self._boundary = tuple(boundary)
        self._outputs = tuple(outputs)
        self._trials = tuple(trials)
        self._budget = budget
        self._activations = [_Remembered(functools.partial(self._run_head, trial)) for trial in trials]
        self._ranges = self._sample_ranges()
        self._measured: dict[int, BitPlan] = {}

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
        """Quantizers and accuracy with every value of the cut at `bits` bits; measured once.

        The loss and its bound are those of the hardest trial, the accuracies those of the samples themselves.
        """
        if bits not in self._measured:
            quantizers = self._quantizers(bits)
            results = [
                self._compare(trial, list(self._answers(trial, made, quantizers)))
                for trial, made in zip(self._trials, self._activations, strict=True)
            ]
            hardest = max(results, key=lambda accuracy: accuracy.loss_bound)
            accuracy = dataclasses.replace(
                results[0],
                loss=hardest.loss,
                loss_bound=hardest.loss_bound,
                certified=hardest.certified,
                mixed_whole=results[1].whole if len(results) > 1 else None,
            )
            self._measured[bits] = BitPlan(quantizers, accuracy)
        return self._measured[bits]

    def _passes(self, bits: int) -> bool:
        if bits not in self._measured and self._hopeless(bits):
            return False
        accuracy = self.at(bits).accuracy
        return accuracy is not None and self._trials[0].judge.keeps(accuracy, self._budget)

    def _lost(self, bits: int) -> float:
        """Accuracy lost on the samples themselves, whatever answers changed."""
        accuracy = self.at(bits).accuracy
        assert accuracy is not None
        return accuracy.whole - accuracy.split

    def _hopeless(self, bits: int) -> bool:
        """Whether the first samples of the hardest trial already show, beyond doubt, a loss above the budget."""
        trial, activations = self._trials[-1], self._activations[-1]
        changed = 0
        for index, (_, same) in enumerate(self._answers(trial, activations, self._quantizers(bits)), 1):
            changed += not same
            if index % LOOK_SAMPLES == 0:
                if CHANGED_LOSS * paired_loss_bound(changed, 0, index, z=-LOOK_Z) > self._budget:
                    return True
                if index >= MAX_LOOK_SAMPLES:
                    return False
        return False

    def _compare(self, trial: Trial, answers: Sequence[tuple[bool, bool]]) -> Accuracy:
        right = np.array([right for right, _ in answers], bool)
        return trial.judge.compare(right, self._budget, changed=sum(not same for _, same in answers))

    def _quantizers(self, bits: int) -> tuple[Quantizer, ...]:
        return tuple(
            self._ranges[value.name].quantizer(value.name, bits)
            if value.quantizable
            else quantizer_for(value, UNQUANTIZED)
            for value, _ in self._boundary
        )

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
        tail_inputs = {item.name for item in self._tail.get_inputs()}
        names = [item.name for item in self._tail.get_outputs()]
        for index, made in enumerate(activations):
            feed = {}
            for quantizer, (value, name) in zip(quantizers, self._boundary, strict=True):
                array = made[name]
                if quantizer.codec == "packed":
                    codes = numeric.quantize(array, quantizer.scale, quantizer.zero_point, quantizer.bits)
                    array = numeric.dequantize(codes, quantizer.scale, quantizer.zero_point).astype(value.dtype)
                feed[name] = array
            answers = dict(zip(names, self._tail.run(None, {n: feed[n] for n in tail_inputs}), strict=True))
            outputs = [answers[n] if n in answers else made[n] for n in self._outputs]
            yield trial.judge.right(index, outputs), trial.judge.same(index, outputs)

    def _run_head(self, trial: Trial) -> Iterator[Tensors]:
        names = [item.name for item in self._head.get_outputs()]
        wanted = {item.name for item in self._head.get_inputs()}
        for feed in trial.data:
            inputs = {name: array for name, array in feed.items() if name in wanted}
            yield dict(zip(names, self._head.run(None, inputs), strict=True))


class _Remembered:
    """What a pass over the samples makes, made only as far as it is asked for.

    Kept up to `CACHE_BYTES`; what lies beyond is made again in every pass.
    """

    def __init__(self, make: Callable[[], Iterator[Tensors]]) -> None:
        self._make = make
        self._kept: list[Tensors] = []
        self._size_bytes = 0
        self._source: Iterator[Tensors] | None = None
        self._full = False

    def __iter__(self) -> Iterator[Tensors]:
        yield from self._kept
        if self._full:
            yield from itertools.islice(self._make(), len(self._kept), None)
            return
        if self._source is None:
            self._source = self._make()
        for made in self._source:
            self._size_bytes += sum(array.nbytes for array in made.values())
            if self._size_bytes > CACHE_BYTES:
                self._full, self._source = True, None
                yield from itertools.islice(self._make(), len(self._kept), None)
                return
            self._kept.append(made)
            yield made


def float_outputs(
    model: onnx.ModelProto, data: Dataset | Mixed, *, advance: Callable[[int], None] = lambda done: None
) -> list[list[np.ndarray]]:
    """Outputs of the whole model for each sample."""
    session = ort.session(model, level="all")
    wanted = {item.name for item in session.get_inputs()}
    answers = []
    for feed in data:
        answers.append(session.run(None, {name: array for name, array in feed.items() if name in wanted}))
        advance(len(answers))
    return answers
