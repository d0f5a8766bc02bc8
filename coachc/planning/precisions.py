"""The precision of a cut: measured on calibration data and remembered, or given."""

from __future__ import annotations

import copy
import dataclasses
import itertools

from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.measurements import Measurements
from coachc.calib.reference_answers import Trial
from coachc.calib.refine import quickly_coded
from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS, BitPlan, Rejected, quantizer_for
from coachc.core.progress import Progress, silent
from coachc.cost.link import CODING_S_PER_BYTE
from coachc.passes.cut import boundary_name, split
from coachc.passes.timeline import wire_bytes
from coachc.planning.problem import Problem
from coachc.runtime.bundle.frame import FRAME_HEADER_BYTES


class MeasuredPrecision:
    """Lowest number of bits of a cut that keeps the accuracy budget; each cut is measured once.

    Parameters
    ----------
    problem : Problem
    trial : Trial
        `calib.reference_answers.trial_of` the model.
    budget : float
        Admissible accuracy loss, a fraction.
    progress : callable
    store : Measurements, optional
        Where accuracies are kept and looked up.
    """

    def __init__(
        self,
        problem: Problem,
        trial: Trial,
        budget: float,
        progress: Progress = silent,
        store: Measurements | None = None,
    ) -> None:
        self._store = store if store is not None else Measurements()
        self._problem = problem
        self._trial = trial
        self._budget = budget
        self._progress = progress
        self._count = itertools.count(1)
        # Coded, whether or not that pays on this link.
        self._known: dict[int, BitPlan | Rejected] = {}
        self._least_bits: dict[int, int] = {}
        self._latest: tuple[int, CutEvaluator] | None = None

    def __call__(self, mask: int, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
        """The lowest admissible precision up to `most_bits`, or why there is none; see `passes.partition.Precision`."""
        if mask not in self._known:
            self._progress("precision of cut", next(self._count), 0)
            evaluator = self.evaluator(mask)
            answer = evaluator.lowest(most_bits)
            if isinstance(answer, Rejected):
                if most_bits < MAX_BITS:
                    self._least_bits[mask] = max(self.least_bits(mask), most_bits + 1)
                    return answer
                self._known[mask] = answer
            else:
                self._known[mask] = quickly_coded(evaluator, answer)
        answer = self._known[mask]
        return answer if isinstance(answer, Rejected) else where_it_pays(answer, self._problem)

    @property
    def trial(self) -> Trial:
        """The samples."""
        return self._trial

    def at(self, problem: Problem) -> MeasuredPrecision:
        """The same measurements for another link: what is measured for one is known to both."""
        other = copy.copy(self)
        other._problem = problem
        return other

    def measured(self) -> dict[int, BitPlan]:
        """Every cut that keeps the budget, as far as cuts were measured."""
        coded = {mask: answer for mask, answer in self._known.items() if isinstance(answer, BitPlan)}
        return {mask: where_it_pays(answer, self._problem) for mask, answer in coded.items()}

    @property
    def asked(self) -> int:
        """Cuts that were measured."""
        return len(self._known.keys() | self._least_bits.keys())

    def coded(self, mask: int) -> BitPlan | None:
        """A cut that keeps the budget with its values coded, whether or not that pays on this link."""
        answer = self._known.get(mask)
        return None if isinstance(answer, Rejected) else answer

    def known(self, mask: int) -> BitPlan | Rejected | None:
        """What no further call can change; None where nothing of that kind is known."""
        answer = self._known.get(mask)
        return where_it_pays(answer, self._problem) if isinstance(answer, BitPlan) else answer

    def least_bits(self, mask: int) -> int:
        """Fewest bits that no call has ruled out."""
        return self._least_bits.get(mask, MIN_BITS)

    def evaluator(self, mask: int) -> CutEvaluator:
        """What measures one cut; the last one asked for is kept, with what it has run."""
        if self._latest is None or self._latest[0] != mask:
            self._latest = None  # its files go before those of the next one come
            self._latest = mask, self._evaluator(mask)
        return self._latest[1]

    def _evaluator(self, mask: int) -> CutEvaluator:
        model, graph = self._problem.model, self._problem.graph
        head, tail = split(model, graph, mask)
        boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(mask)]
        return CutEvaluator(
            head, tail, boundary, model.outputs, trial=self._trial, budget=self._budget, store=self._store
        )


def where_it_pays(bits: BitPlan, problem: Problem) -> BitPlan:
    """The plan with its values coded, or packed only where coding takes longer than it saves on this link."""
    if bits.coded_bytes is None:
        return bits
    values, link = problem.graph.values, problem.costs.link
    packed = sum(wire_bytes(values[q.name], q) for q in bits.quantizers)
    saved_s = link.transfer_s(packed) - link.transfer_s(bits.coded_bytes)
    if saved_s > packed * CODING_S_PER_BYTE:
        return bits
    frames = sum(FRAME_HEADER_BYTES for q in bits.quantizers if q.packed)
    return dataclasses.replace(bits, layouts=(), coded_bytes=float(packed + frames))


class FixedPrecision:
    """The same number of bits for every cut, without a run; pictures keep the 8 bits a camera gives them.

    Parameters
    ----------
    graph : GraphView
    bits : int
    """

    def __init__(self, graph: GraphView, bits: int = MAX_BITS) -> None:
        self._graph = graph
        self._bits = bits

    def __call__(self, mask: int, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
        """That precision, even where it cannot win."""
        return self.known(mask)

    def known(self, mask: int) -> BitPlan:
        """That precision."""
        return BitPlan(
            tuple(
                quantizer_for(self._graph.values[name], MAX_BITS if name in self._graph.inputs else self._bits)
                for name in self._graph.cut_values(mask)
            )
        )

    def coded(self, mask: int) -> BitPlan:
        """That precision."""
        return self.known(mask)

    def least_bits(self, mask: int) -> int:
        """That precision."""
        return self._bits


#: Where precisions come from: a `passes.partition.Precision` that remembers.
PrecisionSource = MeasuredPrecision | FixedPrecision
