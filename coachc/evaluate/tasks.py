"""What a bundle's halves make of each sample at each cut and precision: run for real, once, when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

from coachc.calib.judges import top1
from coachc.calib.spool import Spool
from coachc.evaluate.run_halves import RunHalves
from coachc.runtime.bundle.feeds import Source
from coachc.runtime.bundle.manifest_types import Cut
from coachc.runtime.bundle.store import Bundle
from coachc.runtime.errors import CoachRuntimeError
from coachc.runtime.online.feature import feature_of
from coachc.runtime.online.policy import Policy


class Sent(NamedTuple):
    """A task that went through the server.

    Attributes
    ----------
    label : int
    confidence : float
        The model's probability for the label.
    size_bytes : int
        Of the values on the wire, entropy coding included.
    """

    label: int
    confidence: float
    size_bytes: float


class HalfKind(NamedTuple):
    """What a device half can do: run at any precision of its cut; quantize the task it has run once more."""

    tunable: bool = True
    adjustable: bool = True


class Tasks(Protocol):
    """Samples to replay."""

    def __len__(self) -> int: ...

    def feature(self, task: int, cut: str) -> np.ndarray:
        """The task's feature at a cut, shape (D,)."""

    def sent(self, task: int, cut: str, rung: int) -> Sent:
        """What the server says at a precision of the cut."""

    def alone(self, task: int) -> int:
        """The whole model's answer, on the device."""

    def truth(self, task: int) -> int:
        """The right answer: the sample's label, else the whole model's answer."""


class BundleTasks:
    """Samples through the halves of a bundle, request by request as they would travel.

    Parameters
    ----------
    bundle : Bundle
    source : Source
        One row a task.
    policies : mapping of str to Policy
        Any policy of each cut: its rungs count.
    limit : int, optional
        At most that many samples.
    progress : callable
        Samples read.
    """

    def __init__(
        self,
        bundle: Bundle,
        source: Source,
        policies: dict[str, Policy],
        limit: int | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._feeds = Spool()
        names: tuple[str, ...] = ()
        for feed in _first(source, limit):
            names = tuple(feed)
            self._feeds.append(list(feed.values()))
            progress(len(self._feeds))
        self._names = names
        self._labels = source.labels
        self._bundle = bundle
        self._policies = policies
        self._halves = RunHalves(bundle)
        self._made: dict[tuple[int, str, int], Sent] = {}
        self._features: dict[tuple[int, str], np.ndarray] = {}
        self._alone: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def half_kinds(self) -> dict[str, HalfKind]:
        """What the device half of each cut can do."""
        halves = [self._halves.half(name) for name in self._policies]
        return {half.cut.name: HalfKind(half.tunable, half.adjustable) for half in halves}

    def feature(self, task: int, cut: str) -> np.ndarray:
        if (task, cut) not in self._features:
            self.sent(task, cut, self._policies[cut].base)
        return self._features[task, cut]

    def sent(self, task: int, cut: str, rung: int) -> Sent:
        if (task, cut, rung) not in self._made:
            self._made[task, cut, rung] = self._send(task, self._bundle.manifest.cut(cut), rung)
        return self._made[task, cut, rung]

    def alone(self, task: int) -> int:
        if task not in self._alone:
            outputs = self._halves.whole.run(self._feed(task))
            self._alone[task] = _label(outputs[self._bundle.manifest.model.outputs[0].name])[0]
        return self._alone[task]

    def truth(self, task: int) -> int:
        return self.alone(task) if self._labels is None else int(self._labels[task])

    def _feed(self, task: int) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._feeds[task], strict=True))

    def _send(self, task: int, cut: Cut, rung: int) -> Sent:
        bits = self._policies[cut.name].rungs[rung].bits
        answered = self._halves.run(f"task {task}", cut, self._feed(task), bits)
        if cut.features:
            self._features[task, cut.name] = feature_of(answered.device, cut.features)
        answer = answered.outputs[self._bundle.manifest.model.outputs[0].name]
        return Sent(*_label(answer), float(answered.payload_bytes))


def _first(source: Source, limit: int | None) -> Iterable[dict[str, np.ndarray]]:
    for index, feed in enumerate(source):
        if limit is not None and index >= limit:
            return
        yield feed


def _label(output: np.ndarray) -> tuple[int, float]:
    """Class of the only row, and the softmax of its logit."""
    labels = top1(output)
    if labels is None or len(labels) != 1:
        raise CoachRuntimeError(f"an output of shape {list(output.shape)} is not one row of classes")
    logits = output.reshape(-1).astype(np.float64)
    # Outputs that are probabilities already stay what they are.
    if logits.min() >= 0 and abs(logits.sum() - 1) < 1e-3:
        return int(labels[0]), float(logits.max())
    return int(labels[0]), float(1 / np.exp(logits - logits.max()).sum())
