"""The lowest precision of a cut that keeps the accuracy budget, measured on the calibration set.

All values of the cut are quantized at once, with the same number of bits. The search over bits is dichotomous as in
COACH (section III-B) and ends with one number that passes and its neighbour that does not, since accuracy is only
empirically monotone in the bits. The prefix of the model runs once per cut; each number of bits only runs the suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx

from calib.accuracy import Judge
from calib.dataset import CACHE_BYTES, Dataset
from calib.ranges import RangeSample
from coachc.core.graph import Value
from coachc.core.plan import Accuracy, BitPlan, Quantizer, Rejected
from coachc.frontend import ort
from runtime.bundle import numeric

MIN_BITS = 2
MAX_BITS = 8


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
    data : Dataset
    judge : Judge
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
        data: Dataset,
        judge: Judge,
        budget: float,
    ) -> None:
        self._head = ort.session(head, level="all")
        self._tail = ort.session(tail, level="all")
        self._boundary = tuple(boundary)
        self._outputs = tuple(outputs)
        self._data = data
        self._judge = judge
        self._budget = budget
        self._cache: list[dict[str, np.ndarray]] | None = None
        self._ranges = {value.name: RangeSample(data.samples) for value, _ in boundary if value.quantizable}
        self._measured: dict[int, BitPlan] = {}
        self._first_pass()

    def lowest(self) -> BitPlan | Rejected:
        """The fewest bits within the budget, or why there are none.

        The 95 % bound of the loss decides where the samples can certify the budget at all. Where even 8 bits are not
        certified, 8 bits are taken if the measured loss is within the budget, and the plan says "not certified".
        """
        if not self._passes(MAX_BITS):
            accuracy = self.at(MAX_BITS).accuracy
            assert accuracy is not None
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
        """Quantizers and accuracy with every value of the cut at `bits` bits; measured once."""
        if bits not in self._measured:
            quantizers = tuple(
                self._ranges[value.name].quantizer(value.name, bits) if value.quantizable else raw(value)
                for value, _ in self._boundary
            )
            self._measured[bits] = BitPlan(quantizers, self._accuracy(quantizers))
        return self._measured[bits]

    def _passes(self, bits: int) -> bool:
        accuracy = self.at(bits).accuracy
        return accuracy is not None and self._judge.keeps(accuracy, self._budget)

    def _accuracy(self, quantizers: Sequence[Quantizer]) -> Accuracy:
        right = []
        tail_inputs = {item.name for item in self._tail.get_inputs()}
        names = [item.name for item in self._tail.get_outputs()]
        for index, made in enumerate(self._activations()):
            feed = {}
            for quantizer, (value, name) in zip(quantizers, self._boundary, strict=True):
                array = made[name]
                if quantizer.codec == "packed":
                    codes = numeric.quantize(array, quantizer.scale, quantizer.zero_point, quantizer.bits)
                    array = numeric.dequantize(codes, quantizer.scale, quantizer.zero_point).astype(value.dtype)
                feed[name] = array
            answers = dict(zip(names, self._tail.run(None, {n: feed[n] for n in tail_inputs}), strict=True))
            right.append(self._judge.right(index, [answers[n] if n in answers else made[n] for n in self._outputs]))
        return self._judge.compare(np.array(right, bool), self._budget)

    def _first_pass(self) -> None:
        kept: list[dict[str, np.ndarray]] | None = []
        size = 0
        for made in self._run_head():
            for value, name in self._boundary:
                if value.quantizable:
                    self._ranges[value.name].add(made[name])
            size += sum(array.nbytes for array in made.values())
            if size > CACHE_BYTES:
                kept = None
            if kept is not None:
                kept.append(made)
        self._cache = kept

    def _activations(self) -> Iterator[dict[str, np.ndarray]]:
        return iter(self._cache) if self._cache is not None else self._run_head()

    def _run_head(self) -> Iterator[dict[str, np.ndarray]]:
        names = [item.name for item in self._head.get_outputs()]
        wanted = {item.name for item in self._head.get_inputs()}
        for feed in self._data:
            inputs = {name: array for name, array in feed.items() if name in wanted}
            yield dict(zip(names, self._head.run(None, inputs), strict=True))


def raw(value: Value) -> Quantizer:
    """A value that travels as it is."""
    return Quantizer(value.name, "raw", 8 * value.size_bytes // max(value.elements, 1))


def float_outputs(
    model: onnx.ModelProto, data: Dataset, *, advance: Callable[[int], None] = lambda done: None
) -> list[list[np.ndarray]]:
    """Outputs of the whole model for each sample."""
    session = ort.session(model, level="all")
    wanted = {item.name for item in session.get_inputs()}
    answers = []
    for feed in data:
        answers.append(session.run(None, {name: array for name, array in feed.items() if name in wanted}))
        advance(len(answers))
    return answers
