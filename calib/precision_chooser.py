"""The precision of a cut, chosen by what it loses on the samples that are seen.

The search over bits gives all values of a cut the same number, is dichotomous as in COACH (section III-B), and ends
with one number that passes and its neighbour that does not, since accuracy is only empirically monotone in the bits.
`calib.refine` goes on from there. A precision passes where the kept-back samples, if they lose as those seen do, will
prove the budget. Where none are kept back, it passes if it keeps the budget with one bit less.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence

import numpy as np

from coachc.calib.certificate import UnitLosses, by_unit, expects_proof
from coachc.calib.measurements import Measured, Measurements, measurement_key
from coachc.calib.ranges import DEFAULT_SCHEME, Scheme, coarser
from coachc.calib.reference_answers import Trial
from coachc.core.plan import MAX_BITS, MIN_BITS, Accuracy, BitPlan, Quantizer, Rejected

#: Standard errors by which a loss has to be beyond the budget before the rest of the samples is not looked at.
CERTAINLY = 3.0


class PrecisionChooser(abc.ABC):
    """Chooses the precision of one cut.

    Parameters
    ----------
    names : sequence of str
        Of the boundary values.
    trial : Trial
        The samples.
    budget : float
        Largest admissible loss, a fraction.
    store : Measurements, optional
        Where losses are kept and looked up.
    """

    def __init__(self, names: Sequence[str], trial: Trial, budget: float, store: Measurements | None = None) -> None:
        self._names = tuple(names)
        self._trial = trial
        self._budget = budget
        self._store = store if store is not None else Measurements()
        self._losses: dict[tuple[bool, tuple[Quantizer, ...]], np.ndarray] = {}

    @abc.abstractmethod
    def rows(self, quantizers: tuple[Quantizer, ...], *, kept: bool) -> Iterator[np.ndarray]:
        """What each sample of a part loses, shape (measures,), in order."""

    @abc.abstractmethod
    def quantizers(self, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> tuple[Quantizer, ...]:
        """Every value of the cut at `bits` bits, its range by one rule."""

    @property
    def trial(self) -> Trial:
        """What the cut is tried on."""
        return self._trial

    @property
    def budget(self) -> float:
        """Largest admissible loss, a fraction."""
        return self._budget

    def lowest(self, most_bits: int = MAX_BITS) -> BitPlan | Rejected:
        """The fewest bits within the budget, or why there are none up to `most_bits`.

        Where not even 8 bits promise to be proven, 8 bits are taken if the measured loss is within the budget.
        """
        if not self._passes(most_bits):
            if most_bits == MAX_BITS and self._measured(self.quantizers(MAX_BITS)).accuracy.loss <= self._budget:
                return self.at(MAX_BITS)
            return Rejected(
                "cut at " + ", ".join(self._names),
                f"more than {self._budget:.2%} is lost at {MAX_BITS} bits"
                if most_bits == MAX_BITS
                else f"a loss of {self._budget:.2%} is not kept at {most_bits} bits, and with more it would not win",
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
        """What these quantizers lose on the samples that are seen; measured once."""
        return BitPlan(quantizers, self._measured(quantizers).accuracy)

    def passes(self, quantizers: tuple[Quantizer, ...]) -> bool:
        """Whether these quantizers may be chosen; stops at the sample that settles that they may not."""
        if not self._trial.division.proves:
            harder = tuple(coarser(quantizer) for quantizer in quantizers)
            found = None if None in harder else self._unless_too_much(tuple(filter(None, harder)))
            return found is not None and found.accuracy.loss <= self._budget
        found = self._unless_too_much(quantizers)
        return found is not None and found.promising

    def losses(self, quantizers: tuple[Quantizer, ...], *, kept: bool = False) -> np.ndarray:
        """What each sample of a part loses, shape (samples, measures); run once.

        Parameters
        ----------
        quantizers : tuple of Quantizer
        kept : bool
            The samples kept back, rather than those that are seen.
        """
        if (kept, quantizers) not in self._losses:
            self._losses[kept, quantizers] = self._stacked(list(self.rows(quantizers, kept=kept)))
        return self._losses[kept, quantizers]

    def by_unit(self, losses: np.ndarray, *, kept: bool = False) -> UnitLosses:
        """Losses of a part's samples, gathered by clip."""
        division = self._trial.division
        whole = self._trial.judge.whole_losses
        return by_unit(losses, division.units[division.kept == kept], division.longest, whole=whole)

    def _passes(self, bits: int) -> bool:
        return self.passes(self.quantizers(bits))

    def _unless_too_much(self, quantizers: tuple[Quantizer, ...]) -> Measured | None:
        """What is measured; None as soon as it is settled that too much is lost."""
        if self._store.get(self._key(quantizers)) is None and self._fails_early(quantizers):
            return None
        return self._measured(quantizers)

    def _measured(self, quantizers: tuple[Quantizer, ...]) -> Measured:
        key = self._key(quantizers)
        found = self._store.get(key)
        if found is None:
            division = self._trial.division
            lost = self.by_unit(self.losses(quantizers))
            promising = division.proves and expects_proof(lost, division.kept_size, self._budget)
            found = Measured(measured_accuracy(self._trial, lost, kept=False), promising)
            self._store.put(key, found)
        return found

    def _key(self, quantizers: Sequence[Quantizer]) -> str:
        return measurement_key(self._trial.fingerprint, self._budget, quantizers)

    def _fails_early(self, quantizers: tuple[Quantizer, ...]) -> bool:
        """Whether the samples seen lose too much; stops when that is as good as settled.

        If it never is, all losses are known and kept.
        """
        if (False, quantizers) in self._losses:
            return False
        rows: list[np.ndarray] = []
        lost = np.zeros(len(self._trial.judge.measures))
        squares = np.zeros(len(lost))
        for row in self.rows(quantizers, kept=False):
            rows.append(row)
            lost += row
            squares += row**2
            if row.any() and self._settled(rows, lost, squares):
                return True
        self._losses[False, quantizers] = self._stacked(rows)
        return False

    def _stacked(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(rows).reshape(len(rows), len(self._trial.judge.measures))

    def _settled(self, rows: Sequence[np.ndarray], lost: np.ndarray, squares: np.ndarray) -> bool:
        """Whether what some of the samples lost, their sum and their sum of squares, is too much already.

        It is where even those to come, if they lose nothing and win back what chance may, leave nothing to prove; and
        where the mean is beyond the budget by several standard errors.
        """
        division, count = self._trial.division, len(rows)
        if (lost - CERTAINLY * np.sqrt(squares) > self._budget * count).any():
            return True
        if not division.proves or division.longest > 1 or not (rows[-1] == 1).any():
            return False
        padded = np.zeros((len(self._trial.seen), len(lost)))
        padded[:count] = rows
        if self._trial.judge.kind == "labels":
            padded[count : count + int(lost[0] + CERTAINLY * np.sqrt(squares[0]))] = -1.0
        return not expects_proof(self.by_unit(padded), division.kept_size, self._budget)


def measured_accuracy(trial: Trial, lost: UnitLosses, *, kept: bool) -> Accuracy:
    """What a part's units lost, by the measure that lost most; nothing is proven yet."""
    judge, places = trial.judge, trial.kept if kept else trial.seen
    whole, loss = judge.whole(places), float(lost.means[lost.worst])
    return Accuracy(judge.kind, whole, whole - loss, len(places), loss, worst=judge.measures[lost.worst])
