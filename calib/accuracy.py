"""Accuracy of a split model beside the whole model's: what counts as right, and how sure the difference is."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

import numpy as np

from coachc.calib.spool import Spool
from coachc.core.plan import Accuracy
from coachc.runtime.bundle.label_check import classes_of

#: One-sided 95 % quantile of the normal distribution.
Z95 = 1.645
#: Relative L2 error within which an output of a model that does not classify counts as the same.
FIDELITY_TOLERANCE = 0.01
#: Share of changed answers that is taken to be lost on other pictures. A search over many cuts picks those that were
#: lucky on its samples, right answers won cancelling right answers lost; how many answers changed has less luck in it.
#: At most 0.43 of them were lost by a CIFAR ResNet56 over 7 cuts, 2 to 4 bits and 2,500 test images.
CHANGED_LOSS = 0.5


class Judge:
    """Says for each sample whether an output is right, given the float model's outputs and perhaps labels.

    Parameters
    ----------
    float_outputs : iterable of list of ndarray
        The whole model's outputs for each sample, in order. Gone over once; of a model that classifies only the
        classes are kept, any other's outputs go to a temporary file.
    labels : ndarray or None
    noise : bool
        The samples are noise: the kind is then "random".
    """

    def __init__(self, float_outputs: Iterable[list[np.ndarray]], labels: np.ndarray | None, *, noise: bool) -> None:
        self._answers: list[np.ndarray] = []
        self._outputs = Spool()
        self._labels = labels
        right = []
        for sample, outputs in enumerate(float_outputs):
            answer = self._class(outputs)
            if answer is None:
                self._outputs.append(outputs)
                right.append(all(_close(whole, whole) for whole in outputs))
            else:
                self._answers.append(answer)
                right.append(self.right(sample, outputs))
        self.float_right = np.array(right, bool)
        self.kind = "labels" if labels is not None else "agreement"
        if noise:
            self.kind = "random"
        elif not self._answers:
            self.kind = "fidelity"

    @property
    def answers(self) -> np.ndarray | None:
        """The float model's class of each sample, shape (samples * batch,); None unless it classifies."""
        return np.concatenate(self._answers) if self._answers else None

    @property
    def labels(self) -> np.ndarray | None:
        """The samples' classes, where the data holds them."""
        return self._labels

    def right(self, sample: int, outputs: list[np.ndarray]) -> bool:
        """Whether `outputs` of a sample are right: its label, else the float model's answer."""
        answer = self._class(outputs)
        if answer is None or self._labels is None:
            return self.same(sample, outputs)
        batch = len(answer)
        return bool(np.array_equal(answer, self._labels[sample * batch : (sample + 1) * batch]))

    def same(self, sample: int, outputs: list[np.ndarray]) -> bool:
        """Whether `outputs` of a sample say the same as the float model's, right or wrong."""
        answer = self._class(outputs)
        if answer is None:
            return all(_close(mine, whole) for mine, whole in zip(outputs, self._outputs[sample], strict=True))
        return bool(np.array_equal(answer, self._answers[sample]))

    def _class(self, outputs: list[np.ndarray]) -> np.ndarray | None:
        """The class that outputs say; None unless the model classifies.

        Of several outputs the first may be anything, such as a detector's scores of each place: only labels say that it
        is the answer.
        """
        return None if self._labels is None and len(outputs) > 1 else top1(outputs[0])

    def keeps(self, accuracy: Accuracy, budget: float) -> bool:
        """Whether a loss is admissible: by its bound if the samples can certify the budget at all, else as measured."""
        if accuracy.samples < samples_to_certify(budget):
            return accuracy.loss <= budget
        return accuracy.certified

    def compare(self, split_right: np.ndarray, budget: float, *, changed: int = 0) -> Accuracy:
        """Paired comparison of the split model with the whole one.

        Parameters
        ----------
        split_right : ndarray of bool, shape (samples,)
        budget : float
            Largest admissible loss, a fraction.
        changed : int
            Samples on which the split model says something else than the whole one, right or wrong. `CHANGED_LOSS` of
            them count as lost where that is more than what these samples happened to lose.
        """
        worse = int(np.sum(self.float_right & ~split_right))
        better = int(np.sum(~self.float_right & split_right))
        samples = len(split_right)
        bound = max(paired_loss_bound(worse, better, samples), CHANGED_LOSS * paired_loss_bound(changed, 0, samples))
        return Accuracy(
            kind=self.kind,
            whole=float(np.mean(self.float_right)),
            split=float(np.mean(split_right)),
            samples=samples,
            loss=max(worse - better, CHANGED_LOSS * changed) / samples,
            loss_bound=bound,
            certified=self.kind != "random" and bound <= budget,
        )


def paired_loss_bound(worse: int, better: int, samples: int, *, z: float = Z95) -> float:
    """One-sided upper bound of the accuracy lost, from paired samples; 95 % by default.

    Parameters
    ----------
    worse, better : int
        Samples that only the whole model, or only the split model, gets right.
    samples : int
    z : float
        Normal quantile; a negative one gives the lower bound.

    Notes
    -----
    Source: Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", 2005: Wald's
    interval with half an observation added to each of the four cells, so that no disagreement is not certainty.
    """
    total = samples + 2
    difference = (worse - better) / total
    variance = (worse + better + 1 - (worse - better) ** 2 / total) / total**2
    return difference + z * math.sqrt(max(variance, 0.0))


def most_changed(samples: int, budget: float) -> int:
    """Most changed answers among so many samples with which `Judge.keeps` can still hold."""
    certifies = samples >= samples_to_certify(budget)

    def keeps(changed: int) -> bool:
        if certifies:
            return CHANGED_LOSS * paired_loss_bound(changed, 0, samples) <= budget
        return CHANGED_LOSS * changed / samples <= budget

    return bisect.bisect_left(range(samples + 1), True, key=lambda changed: not keeps(changed)) - 1


def samples_to_certify(budget: float) -> int:
    """Fewest samples with which a budget can be certified at all, that is without one disagreement."""
    return max(math.ceil(Z95 / budget) - 2, 1)


def samples_needed(accuracy: Accuracy, budget: float) -> int | None:
    """About how many samples would certify a budget, if as large a share of them were lost; None if never.

    What a bound adds to the loss falls with the root of the number of samples.
    """
    if accuracy.loss >= budget:
        return None
    times = ((accuracy.loss_bound - accuracy.loss) / (budget - accuracy.loss)) ** 2
    return max(math.ceil(accuracy.samples * times), samples_to_certify(budget))


def top1(output: np.ndarray) -> np.ndarray | None:
    """Class of each row of an output of shape (batch, classes) or (batch, classes, 1, 1); None for any other."""
    if classes_of(output.shape, output.shape) is None:
        return None
    return output.reshape(output.shape[0], -1).argmax(axis=1)


def _close(mine: np.ndarray, whole: np.ndarray) -> bool:
    norm = float(np.linalg.norm(whole.astype(np.float64)))
    return float(np.linalg.norm(mine.astype(np.float64) - whole)) <= FIDELITY_TOLERANCE * max(norm, 1e-12)
