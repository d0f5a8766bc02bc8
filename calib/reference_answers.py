"""What a cut is tried on: the calibration samples in two parts, and what counts as lost on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx

from coachc.calib.dataset import RANDOM, Dataset
from coachc.calib.division import Division, divide, undivided
from coachc.calib.judges import ClassJudge, Judge, OutputJudge
from coachc.calib.metric_judge import Metric, MetricJudge
from coachc.core.ahead import ahead
from coachc.frontend import ort


@dataclass(frozen=True)
class Trial:
    """Samples and what counts as lost on them.

    Attributes
    ----------
    data : Dataset
    judge : Judge
    division : Division
        Samples that precision is chosen on, and those that are kept back.
    fingerprint : str
        Changes with the model's answers on the samples, so with the model and with the samples, and with what is
        judged of them.
    """

    data: Dataset
    judge: Judge
    division: Division
    fingerprint: str = ""

    @property
    def seen(self) -> np.ndarray:
        """Places of the samples that precision is chosen on."""
        return np.flatnonzero(~self.division.kept)

    @property
    def kept(self) -> np.ndarray:
        """Places of those that are kept back."""
        return np.flatnonzero(self.division.kept)


def trial_of(
    model: onnx.ModelProto,
    data: Dataset,
    task: str,
    budget: float | None,
    *,
    metric: Metric | None = None,
    truths: Sequence[Any] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Trial:
    """Run the whole model on the samples, and divide them.

    Parameters
    ----------
    model : onnx.ModelProto
    data : Dataset
    task : str
        One of `runtime.bundle.manifest_types.TASKS`.
    budget : float or None
        Admissible loss, a fraction: so many samples are kept back as can prove it. None: nothing is proven.
    metric : Metric, optional
        Of the tasks that have one: boxes, masks.
    truths : sequence, optional
        What it compares with, for each row of the samples; without, what the whole model finds.
    advance : callable
        Samples done.
    """
    answers = hashlib.sha256(task.encode())
    for known in (data.labels, data.groups):
        answers.update(b"none" if known is None else known.tobytes())

    def hashed() -> Iterator[list[np.ndarray]]:
        for outputs in float_outputs(model, data, advance=advance):
            for array in outputs:
                answers.update(array.tobytes())
            yield outputs

    def divided(*, whole: bool) -> Division:
        if budget is None:
            return undivided(data.samples, data.groups)
        return divide(data.samples, data.groups, budget, whole=whole)

    noise = data.kind == RANDOM
    judge: Judge
    if task == "classify":
        judge = ClassJudge(hashed(), data.labels, noise=noise)
        division = divided(whole=judge.whole_losses)
    elif metric is not None:
        division = divided(whole=False)
        names = [output.name for output in model.graph.output]
        judge = MetricJudge(hashed(), names, metric, truths, ~division.kept, noise=noise)
    else:
        division = divided(whole=False)
        names = [output.name for output in model.graph.output]
        judge = OutputJudge(hashed(), names, ~division.kept, noise=noise)
    return Trial(data, judge, division, answers.hexdigest())


def float_outputs(
    model: onnx.ModelProto, data: Dataset, *, advance: Callable[[int], None] = lambda done: None
) -> Iterator[list[np.ndarray]]:
    """Outputs of the whole model for each sample."""
    session = ort.session(model, level="all", threads=1)
    for done, outputs in enumerate(ahead(partial(ort.run_sample, session), data), 1):
        yield outputs
        advance(done)
