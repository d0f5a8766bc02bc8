"""The lowest precision of a cut that keeps the accuracy budget, measured on the calibration set.

All values of the cut are quantized at once, with the same number of bits. The search over bits is dichotomous as in
COACH (section III-B) and ends with one number that passes and its neighbour that does not, since accuracy is only
empirically monotone in the bits. The prefix of the model runs once per cut; each number of bits only runs the suffix.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from calib.accuracy import Judge
from calib.dataset import CACHE_BYTES, RANDOM, Dataset, Mixed
from calib.ranges import RangeSample
from coachc.core.graph import Value
from coachc.core.plan import Accuracy, BitPlan, Quantizer, Rejected
from coachc.frontend import ort
from runtime.bundle import numeric

MIN_BITS = 2
MAX_BITS = 8
#: Above this top-1 on its labelled samples a model was trained on them, and its loss on them says little about others:
#: a CIFAR ResNet56 with 100 % of them right loses 0.2 points at 2 bits on them and 2.8 on unseen pictures.
KNOWN_ACCURACY = 0.99

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
        self._ranges = {v.name: RangeSample(trials[0].data.samples) for v, _ in boundary if v.quantizable}
        self._measured: dict[int, BitPlan] = {}
        self._activations = [_Remembered(functools.partial(self._run_head, trial)) for trial in self._trials]
        for made in self._activations[0]:
            for value, name in self._boundary:
                if value.quantizable:
                    self._ranges[value.name].add(made[name])

    def lowest(self) -> BitPlan | Rejected:
        """The fewest bits within the budget, or why there are none.

        The 95 % bound of the loss decides where the samples can certify the budget at all. Where even 8 bits are not
        certified, 8 bits are taken if the measured loss is within the budget, and the plan says "not certified".
        """
        if not self._passes(MAX_BITS):
            accuracy = self._accuracy_at(MAX_BITS)
            if accuracy.loss <= self._budget:
                return self.at(MAX_BITS)
            return Rejected(
                "cut at " + ", ".join(value.name for value, _ in self._boundary),
                f"loses {accuracy.loss:.2%} at {MAX_BITS} bits, the budget is {self._budget:.2%}",
            )
        low, high = MIN_BITS - 1, MAX_BITS
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
            quantizers = tuple(
                self._ranges[value.name].quantizer(value.name, bits) if value.quantizable else raw(value)
                for value, _ in self._boundary
            )
            results = [
                trial.judge.compare(self._right(trial, made, quantizers), self._budget)
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

    def _accuracy_at(self, bits: int) -> Accuracy:
        accuracy = self.at(bits).accuracy
        assert accuracy is not None
        return accuracy

    def _passes(self, bits: int) -> bool:
        return self._trials[0].judge.keeps(self._accuracy_at(bits), self._budget)

    def _right(self, trial: Trial, activations: Iterable[Tensors], quantizers: Sequence[Quantizer]) -> np.ndarray:
        """Whether each sample is right with the boundary values rounded; bool, shape (samples,)."""
        right = []
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
            right.append(trial.judge.right(index, [answers[n] if n in answers else made[n] for n in self._outputs]))
        return np.array(right, bool)

    def _run_head(self, trial: Trial) -> Iterator[Tensors]:
        names = [item.name for item in self._head.get_outputs()]
        wanted = {item.name for item in self._head.get_inputs()}
        for feed in trial.data:
            inputs = {name: array for name, array in feed.items() if name in wanted}
            yield dict(zip(names, self._head.run(None, inputs), strict=True))


class _Remembered:
    """What a pass over the samples makes: kept up to `CACHE_BYTES`, made again for every pass beyond that."""

    def __init__(self, make: Callable[[], Iterator[Tensors]]) -> None:
        self._make = make
        self._kept: list[Tensors] | None = None

    def __iter__(self) -> Iterator[Tensors]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Tensors] = []
        size = 0
        for made in self._make():
            yield made
            size += sum(array.nbytes for array in made.values())
            if size <= CACHE_BYTES:
                kept.append(made)
            else:
                kept.clear()
        if size <= CACHE_BYTES:
            self._kept = kept


def raw(value: Value) -> Quantizer:
    """A value that travels as it is."""
    return Quantizer(value.name, "raw", 8 * value.size_bytes // max(value.elements, 1))


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
