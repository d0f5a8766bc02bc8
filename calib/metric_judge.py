"""What counts as lost where outputs are boxes, masks or something else that has a metric: the score of each sample.

A score is a number of one sample, so its mean loss is proven as any other's. What is said of many pictures together, as
the mAP, is no such mean: what it loses is bounded by resampling, which is no proof but what the field has.

The truth is what the data says, or where it says nothing what the whole model finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from coachc.calib.judges import OutputJudge, Outputs


class Metric(Protocol):
    """How outputs are read and compared with the truth; one row of a sample's outputs at a time.

    Attributes
    ----------
    task : str
    """

    task: str

    def find(self, outputs: Outputs) -> Sequence[Any]:
        """What the outputs show, row by row: boxes, a mask."""

    def truth_of(self, found: Any) -> Any:
        """What is true where the whole model, which found this, is right."""

    def compare(self, found: Any, truth: Any, row: int) -> Any:
        """What is found beside what is true; `row` counts through all samples."""

    def score(self, compared: Any) -> float:
        """Of one row, in [0, 1], higher is better."""

    def figures(self, compared: Sequence[Any]) -> Mapping[str, float]:
        """What is said of many rows together, by the names that it has in the field."""

    def lost_together(
        self, whole: Sequence[Sequence[Any]], split: Sequence[Sequence[Any]], units: np.ndarray, level: float
    ) -> float | None:
        """Upper bound of what the first figure loses, by resampling units; None where it is a mean of scores."""


@dataclass(frozen=True)
class Together:
    """What a metric says of many samples: of the whole model's answers and of the split one's.

    Attributes
    ----------
    whole, split : mapping of str to float
        Figures by name.
    loss_bound : float or None
        By resampling, of the first one; None where the proof of the scores' mean is of it already.
    """

    whole: Mapping[str, float]
    split: Mapping[str, float]
    loss_bound: float | None


class MetricJudge:
    """Judges by a metric; how far outputs move is measured as `OutputJudge` does.

    Parameters
    ----------
    whole : iterable of outputs
        The whole model's, for each sample in order; gone over once.
    names : sequence of str
        Of the outputs.
    metric : Metric
    truths : sequence, or None
        Of each row of each sample; None: what the whole model finds.
    seen : ndarray of bool, shape (samples,)
        Samples that precision is chosen on.
    noise : bool
    """

    measures: tuple[str, ...] = ("",)
    whole_losses = False

    def __init__(
        self,
        whole: Iterable[Outputs],
        names: Sequence[str],
        metric: Metric,
        truths: Sequence[Any] | None,
        seen: np.ndarray,
        *,
        noise: bool,
    ) -> None:
        self.task = metric.task
        known = "metric" if metric.task == "outputs" else "agreement" if truths is None else "labels"
        self.kind = "random" if noise else known
        self._metric = metric
        self._truths: list[Any] = [] if truths is None else list(truths)
        self._own = truths is None
        self._whole: list[Sequence[Any]] = []
        self._moves = OutputJudge(self._looked_at(whole), names, seen, noise=noise)
        self._scores = np.array([self._score(answer) for answer in self._whole])

    def whole(self, samples: np.ndarray) -> float:
        """Mean score of the whole model."""
        return float(self._scores[samples].mean())

    def answer(self, sample: int, outputs: Outputs) -> Sequence[Any]:
        """Each row of a sample beside its truth."""
        return self._compared(sample, self._metric.find(outputs))

    def lost(self, sample: int, answer: Sequence[Any]) -> np.ndarray:
        """By how much the score is below the whole model's, shape (1,)."""
        return np.array([self._scores[sample] - self._score(answer)])

    def moved(self, sample: int, exact: Outputs, outputs: Outputs) -> float:
        """The distance of the output that moves most, in its own scale."""
        return self._moves.moved(sample, exact, outputs)

    def together(
        self, samples: np.ndarray, answers: Sequence[Sequence[Any]], units: np.ndarray, level: float
    ) -> Together:
        """What is said of some samples together.

        Parameters
        ----------
        samples : ndarray of int
            Their places.
        answers : sequence
            `answer` of the split model, in the same order.
        units : ndarray of int
            What is resampled: the clip of each.
        level : float
            What the bound may err with.
        """
        whole = [self._whole[sample] for sample in samples.tolist()]
        of_whole, of_split = (self._metric.figures([row for rows in some for row in rows]) for some in (whole, answers))
        return Together(of_whole, of_split, self._metric.lost_together(whole, answers, units, level))

    def _looked_at(self, whole: Iterable[Outputs]) -> Iterator[Outputs]:
        """The same outputs, each compared with its truth on the way."""
        for sample, outputs in enumerate(whole):
            found = self._metric.find(outputs)
            if self._own:
                self._truths += [self._metric.truth_of(row) for row in found]
            self._whole.append(self._compared(sample, found))
            yield outputs

    def _compared(self, sample: int, found: Sequence[Any]) -> Sequence[Any]:
        first = sample * len(found)
        return [
            self._metric.compare(row, self._truths[first + place], first + place) for place, row in enumerate(found)
        ]

    def _score(self, answer: Sequence[Any]) -> float:
        return float(np.mean([self._metric.score(row) for row in answer]))
