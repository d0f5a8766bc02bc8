"""What counts as lost: a sample's outputs of the split model beside the whole one's, as losses between -1 and 1.

What is judged is one of `runtime.bundle.manifest_types.TASKS`. "classify": the first output is a row of classes, and
its largest one is the answer. "outputs": every output is judged in its own scale (`calib.output_scale`), and the worst
of them decides. Boxes and masks are `calib.metric_judge`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from coachc.calib.divergence import divergence
from coachc.calib.output_scale import OutputScale, scales_of
from coachc.calib.spool import Spool
from coachc.runtime.bundle.classes import classes_of

Outputs = Sequence[np.ndarray]


class Judge(Protocol):
    """Judges a task on samples given by their places.

    Attributes
    ----------
    task : str
    measures : sequence of str
        What is lost is counted in, each held to the budget; one without a name where there is one only.
    kind : {"labels", "agreement", "outputs", "metric", "random"}
        What the split model is compared with: labels, the whole model's answers, its outputs; a metric of the user's
        says; noise compares nothing.
    whole_losses : bool
        A sample loses -1, 0 or 1, nothing between.
    """

    task: str
    measures: tuple[str, ...]
    kind: str

    @property
    def whole_losses(self) -> bool: ...

    def whole(self, samples: np.ndarray) -> float:
        """The whole model's score on some samples, in [0, 1]."""

    def answer(self, sample: int, outputs: Outputs) -> Any:
        """What counts of a sample's outputs."""

    def lost(self, sample: int, answer: Any) -> np.ndarray:
        """What an answer loses, shape (measures,), in [-1, 1]."""

    def moved(self, sample: int, exact: Outputs, outputs: Outputs) -> float:
        """How far outputs are from those without rounding: a measure that needs fewer samples than answers do."""


class ClassJudge:
    """Judges the class that the first output says.

    With labels a row loses 1 where only the whole model is right, and -1 where only the split one is: what is promised
    is about accuracy. Without, it loses 1 where the answer is another one than the whole model's.

    Parameters
    ----------
    whole : iterable of outputs
        The whole model's, for each sample in order; gone over once.
    labels : ndarray of int, shape (samples * rows,), or None
    noise : bool
        The samples are noise: the kind is then "random".
    """

    task = "classify"
    measures: tuple[str, ...] = ("",)

    def __init__(self, whole: Iterable[Outputs], labels: np.ndarray | None, *, noise: bool) -> None:
        answers = []
        for outputs in whole:
            found = top1(outputs[0])
            assert found is not None
            answers.append(found)
        self._answers = np.array(answers)
        self._labels = None if labels is None else labels[: self._answers.size].reshape(self._answers.shape)
        self.kind = "random" if noise else "agreement" if labels is None else "labels"

    @property
    def whole_losses(self) -> bool:
        """Whether a sample loses all or nothing: it has one row."""
        return self._answers.shape[1:] == (1,)

    @property
    def answers(self) -> np.ndarray:
        """The whole model's class of each row, shape (samples * rows,)."""
        return self._answers.ravel()

    @property
    def labels(self) -> np.ndarray | None:
        """The rows' classes, where the data holds them."""
        return None if self._labels is None else self._labels.ravel()

    @property
    def right(self) -> np.ndarray:
        """Rows on which the whole model is right: all, where there are no labels."""
        return np.ones(self._answers.size, bool) if self.labels is None else self.answers == self.labels

    def whole(self, samples: np.ndarray) -> float:
        """Accuracy of the whole model on some samples, given by their places."""
        return float(self.right.reshape(self._answers.shape)[samples].mean())

    def answer(self, sample: int, outputs: Outputs) -> np.ndarray:
        """The class of each row."""
        answer = top1(outputs[0])
        assert answer is not None
        return answer

    def lost(self, sample: int, answer: np.ndarray) -> np.ndarray:
        """What an answer loses, shape (1,): the mean of the sample's rows."""
        return np.array([self.losses_of_answers(np.array([sample]), answer[None]).mean()])

    def moved(self, sample: int, exact: Outputs, outputs: Outputs) -> float:
        """Kullback-Leibler divergence of the classes' probabilities, in nats."""
        return divergence(exact[0], outputs[0])

    def losses_of_answers(self, samples: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What answers lose, both of shape (samples, rows), in -1, 0 and 1."""
        whole = self._answers[samples]
        truth = whole if self._labels is None else self._labels[samples]
        return (whole == truth).astype(float) - (answers == truth)


class OutputJudge:
    """Judges every output by how far it moves, in its own scale.

    Parameters
    ----------
    whole : iterable of outputs
        The whole model's, for each sample in order; gone over once, and kept in a temporary file.
    names : sequence of str
        Of the outputs.
    seen : ndarray of bool, shape (samples,)
        Samples that the scales are made of: those precision is chosen on.
    noise : bool
    """

    task = "outputs"
    whole_losses = False

    def __init__(self, whole: Iterable[Outputs], names: Sequence[str], seen: np.ndarray, *, noise: bool) -> None:
        self.measures = tuple(names)
        self.kind = "random" if noise else "outputs"
        self._whole = Spool()
        for outputs in whole:
            self._whole.append(outputs)
        places = [place for place in range(len(self._whole)) if seen[place]]
        self.scales: tuple[OutputScale, ...] = scales_of(lambda: (self._whole[place] for place in places))

    def whole(self, samples: np.ndarray) -> float:
        """1: what is lost is counted from the whole model's outputs on."""
        return 1.0

    def lost(self, sample: int, answer: np.ndarray) -> np.ndarray:
        """What an answer loses, shape (outputs,): 0 where the outputs are the whole model's, 1 at most."""
        return np.minimum(answer, 1.0)

    def moved(self, sample: int, exact: Outputs, outputs: Outputs) -> float:
        """The distance of the output that moves most."""
        return float(self.answer(sample, outputs).max())

    def answer(self, sample: int, outputs: Outputs) -> np.ndarray:
        """How far the outputs are from the whole model's, in how far those are from their mean; not limited."""
        pairs = zip(self.scales, self._whole[sample], outputs, strict=True)
        return np.array([scale.distance(whole, split) for scale, whole, split in pairs])


def top1(output: np.ndarray) -> np.ndarray | None:
    """Class of each row of an output of shape (batch, classes) or (batch, classes, 1, 1); None for any other.

    -1 where a row has a NaN: it says nothing.
    """
    if classes_of(output.shape, output.shape) is None:
        return None
    rows = output.reshape(output.shape[0], -1)
    return np.where(np.isnan(rows).any(axis=1), -1, rows.argmax(axis=1))


def losses_of(judge: Judge, answered: Iterable[tuple[int, Outputs]]) -> np.ndarray:
    """Losses of samples with their outputs, shape (samples, measures)."""
    rows = [judge.lost(sample, judge.answer(sample, outputs)) for sample, outputs in answered]
    return np.array(rows).reshape(len(rows), len(judge.measures))
