"""One cut, run on calibration samples: what it loses at any precision, its ranges, codes and features.

The prefix of the model runs once per cut and sample; each precision only runs the suffix. All values of the cut are
quantized at once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from coachc.calib.activation_cache import Remembered
from coachc.calib.divergence import Probe
from coachc.calib.judges import ClassJudge
from coachc.calib.measurements import Measurements
from coachc.calib.precision_chooser import PrecisionChooser
from coachc.calib.ranges import DEFAULT_SCHEME, RangeSample, Scheme
from coachc.calib.reference_answers import Trial
from coachc.core.ahead import ahead
from coachc.core.graph import Value
from coachc.core.plan import UNQUANTIZED, Quantizer, quantizer_for
from coachc.frontend import ort
from coachc.runtime.bundle import numeric

#: Samples a range is chosen from.
RANGE_SAMPLES = 256

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Tensors = Mapping[str, np.ndarray]


class CutEvaluator(PrecisionChooser):
    """Measures one cut.

    Parameters
    ----------
    head, tail : onnx.ModelProto
        Unquantized halves.
    boundary : sequence of (Value, str)
        Each boundary value with its name in the halves.
    outputs : sequence of str
        The model's outputs, on whichever side they are made.
    trial : Trial
        The calibration samples.
    budget : float
        Largest admissible loss, a fraction.
    store : Measurements, optional
        Where losses are kept and looked up.
    """

    def __init__(
        self,
        head: onnx.ModelProto,
        tail: onnx.ModelProto,
        boundary: Sequence[tuple[Value, str]],
        outputs: Sequence[str],
        *,
        trial: Trial,
        budget: float,
        store: Measurements | None = None,
    ) -> None:
        super().__init__(tuple(value.name for value, _ in boundary), trial, budget, store)
        self._head = ort.session(head, level="all", threads=1)
        self._tail = ort.session(tail, level="all", threads=1)
        self._boundary = tuple(boundary)
        self._outputs = tuple(outputs)
        self._activations = {
            kept: Remembered(functools.partial(_run_head, self._head, trial, kept)) for kept in (False, True)
        }
        self._ranges = self._sample_ranges()
        self._answers: dict[tuple[bool, tuple[Quantizer, ...]], list[Any]] = {}
        self._exact: list[list[np.ndarray]] = []

    def rows(self, quantizers: tuple[Quantizer, ...], *, kept: bool) -> Iterator[np.ndarray]:
        """What each sample of a part loses, as it is run."""
        judge, found = self._trial.judge, []
        for sample, outputs in self._answered(self._activations[kept], quantizers, kept=kept):
            found.append(judge.answer(sample, outputs))
            yield judge.lost(sample, found[-1])
        self._answers[kept, quantizers] = found

    def answers(self, quantizers: tuple[Quantizer, ...], *, kept: bool) -> Sequence[Any]:
        """What counts of each sample of a part, as the judge says: `calib.judges.Judge.answer`."""
        if (kept, quantizers) not in self._answers:
            self._losses.pop((kept, quantizers), None)
            self.losses(quantizers, kept=kept)
        return self._answers[kept, quantizers]

    def probe(self, quantizers: tuple[Quantizer, ...], samples: int) -> Probe:
        """How far the first samples' outputs move: needs fewer samples than counting wrong answers does."""
        if not self._exact:
            plain = self._answered(self._activations[False], self.quantizers(UNQUANTIZED))
            self._exact = [outputs for _, (_, outputs) in zip(range(samples), plain, strict=False)]
        judge, moved, lost = self._trial.judge, [], []
        rounded = self._answered(self._activations[False], quantizers)
        for exact, (sample, outputs) in zip(self._exact, rounded, strict=False):
            moved.append(judge.moved(sample, exact, outputs))
            answer = judge.answer(sample, outputs)
            if isinstance(judge, ClassJudge):
                lost.append([np.mean(answer != judge.answer(sample, exact))])
            else:
                lost.append(judge.lost(sample, answer).tolist())
        return Probe(float(np.mean(moved)), float(np.mean(lost, axis=0).max()), len(moved))

    def pooled(self, values: Sequence[str], *, kept: bool) -> list[np.ndarray]:
        """Boundary values of every sample of a part, averaged over their positions: (samples, channels) each.

        What the device half puts out as features; `runtime.online.feature.join` makes one of them.
        """
        names = {value.name: name for value, name in self._boundary}
        rows: list[list[np.ndarray]] = [[] for _ in values]
        for made in self._activations[kept]:
            for pooled, value in zip(rows, values, strict=True):
                array = made[names[value]]
                pooled.append(array.reshape(*array.shape[:2], -1).mean(axis=2, dtype=np.float32))
        return [np.concatenate(pooled) for pooled in rows]

    def raw_bytes(self, place: int) -> int:
        """Bytes of one value of the cut as it is."""
        return self._boundary[place][0].size_bytes

    def codes(self, quantizers: tuple[Quantizer, ...], samples: int) -> list[list[np.ndarray]]:
        """Codes of the first samples, for each packed value a list of arrays of uint8; nothing for raw ones."""
        found: list[list[np.ndarray]] = [[] for _ in quantizers]
        for made in itertools.islice(self._activations[False], samples):
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

    def _sample_ranges(self) -> dict[str, RangeSample]:
        ranges = {value.name: RangeSample(RANGE_SAMPLES) for value, _ in self._boundary if value.quantizable}
        for made in itertools.islice(self._activations[False], RANGE_SAMPLES):
            for value, name in self._boundary:
                if value.quantizable:
                    ranges[value.name].add(made[name])
        return ranges

    def _answered(
        self, activations: Iterable[Tensors], quantizers: Sequence[Quantizer], *, kept: bool = False
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Place and outputs of each sample of a part, with the boundary values rounded."""
        names = [item.name for item in self._tail.get_outputs()]
        places = self._trial.kept if kept else self._trial.seen

        def answer(sample: tuple[int, Tensors]) -> tuple[int, list[np.ndarray]]:
            place, made = sample
            feed = {}
            for quantizer, (value, name) in zip(quantizers, self._boundary, strict=True):
                array = made[name]
                if quantizer.packed:
                    codes = numeric.quantize(array, quantizer.scale, quantizer.zero_point, quantizer.bits)
                    array = numeric.dequantize(codes, quantizer.scale, quantizer.zero_point).astype(value.dtype)
                feed[name] = array
            answers = dict(zip(names, ort.run_sample(self._tail, feed), strict=True))
            return place, [answers[n] if n in answers else made[n] for n in self._outputs]

        return ahead(answer, zip(places.tolist(), activations, strict=True))


def _run_head(head: InferenceSession, trial: Trial, kept: bool) -> Iterator[Tensors]:
    """Boundary values of each sample of a part. No method: an evaluator nobody holds frees its files at once."""
    names = [item.name for item in head.get_outputs()]
    feeds = (feed for _, feed in trial.data.part(trial.division.kept == kept))
    for outputs in ahead(functools.partial(ort.run_sample, head), feeds):
        yield dict(zip(names, outputs, strict=True))
