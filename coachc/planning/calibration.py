"""Calibration samples opened: what measures accuracy, and what a JPEG of them takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from coachc.calib.answer_doubts import doubts_of_answers
from coachc.calib.data_report import DataReport, report_on
from coachc.calib.dataset import RANDOM, open_dataset
from coachc.calib.find_task import BUDGETS, METRIC_BUDGET, Judged, Reading, find_task
from coachc.calib.input_overview import Observer
from coachc.calib.jpeg import JpegCost, estimate_jpeg, measure_jpeg
from coachc.calib.measurements import Measurements
from coachc.calib.reference_answers import Trial, trial_of
from coachc.core.progress import Progress, silent
from coachc.planning.precisions import FixedPrecision, MeasuredPrecision, PrecisionSource
from coachc.planning.problem import Problem
from coachc.planning.scenes import Scenes, by_metric, guessed_reading, scenes_of
from coachc.runtime.bundle.classes import classes_of
from coachc.runtime.bundle.manifest_types import Preprocess


@dataclass(frozen=True)
class Calibration:
    """Where precision and accuracy come from.

    Attributes
    ----------
    kind : str
        "labels", "unlabelled", "random", or "none" where no samples were given.
    precision : PrecisionSource
        What the search asks.
    trial : Trial or None
        None without samples.
    jpeg : JpegCost or None
        None where the model does not take one picture.
    measured : MeasuredPrecision or None
        None without samples; on noise it measures what the search does not ask for.
    data : DataReport or None
        How the samples were read and what came out; None without real ones.
    judged : Judged or None
        What is judged and why; None without samples.
    budget : float
        Admissible loss of it, a fraction.
    input_ranges : tuple of tuple of float
        Least and largest value of each input, over all samples; none on noise.
    """

    kind: str
    precision: PrecisionSource
    trial: Trial | None
    jpeg: JpegCost | None
    measured: MeasuredPrecision | None
    data: DataReport | None = None
    judged: Judged | None = None
    budget: float = BUDGETS["classify"]
    input_ranges: tuple[tuple[float, ...], ...] = ()

    def at(self, problem: Problem) -> Calibration:
        """The same measurements for another link."""
        if self.measured is None:
            return self
        measured = self.measured.at(problem)
        precision = measured if self.precision is self.measured else self.precision
        return dataclasses.replace(self, precision=precision, measured=measured)


def open_calibration(
    problem: Problem,
    source: str,
    preprocess: Preprocess | None,
    *,
    max_samples: int,
    budget: float | None = None,
    task: str | None = None,
    decode: Reading | None = None,
    truth: str | None = None,
    metric: str | None = None,
    progress: Progress = silent,
    warn: Callable[[str], None] = lambda text: None,
    store: Measurements | None = None,
) -> Calibration:
    """Open samples, run the whole model on them, and get ready to measure cuts.

    Parameters
    ----------
    problem : Problem
    source : str
        Path or "random".
    preprocess : Preprocess or None
        How images become the input.
    max_samples : int
    budget : float or None
        Admissible loss, a fraction; None: that of the task, `calib.find_task.BUDGETS`.
    task : str or None
        What is judged, one of `runtime.bundle.manifest_types.TASKS`; None: what is certain.
    decode : Reading or None
        How the user says that outputs are read as boxes or masks.
    truth : str or None
        Their annotations, as `planning.scenes` takes them.
    metric : str or None
        A function of the user's that scores samples instead, "file.py:function".
    progress : callable
    warn : callable
        Told what looks wrong with the samples before cuts are measured, which takes long.
    store : Measurements, optional
        Accuracies that are known already, and where new ones are kept.

    Raises
    ------
    coachc.errors.DataError
        The samples cannot be read or do not fit the model.
    """
    model = problem.model
    inputs = [model.values[name] for name in model.inputs]
    data = open_dataset(
        source,
        inputs,
        preprocess,
        max_samples=max_samples,
        classes=classes_of(model.values[model.outputs[0]].shape, inputs[0].shape),
        advance=lambda done, total: progress("read samples", done, total),
    )
    shapes = [model.values[name].shape for name in model.outputs]
    scenes: Scenes | None
    if metric is not None:
        others = {"--task": task, "--decode": decode, "--truth": truth}
        judged, scenes = by_metric(metric, model.outputs, data.source, inputs[0].shape[0], others)
    else:
        judged = find_task(
            task, model.proto, shapes, inputs[0].shape, data.labels is not None,
            given=decode, guessed=guessed_reading(model, preprocess), certain=data.kind != RANDOM,
        )  # fmt: skip
        scenes = scenes_of(judged, model, data, preprocess, truth)
    if budget is None:
        budget = METRIC_BUDGET if judged.metric else BUDGETS[judged.task]
    observer = Observer(inputs)
    data.watch = observer
    progress("whole model", 0, data.samples)
    trial = trial_of(
        model.proto,
        data,
        judged.task,
        budget,
        metric=None if scenes is None else scenes.metric,
        truths=None if scenes is None else scenes.truths,
        advance=lambda done: progress("whole model", done, data.samples),
    )
    report = None
    if data.kind != RANDOM:
        seen = report_on(source, data, preprocess, observer)
        report = dataclasses.replace(seen, doubts=(*seen.doubts, *doubts_of_answers(trial.judge, data.labels)))
        for doubt in report.doubts:
            warn(doubt)
    jpeg = measure_jpeg(model.proto, inputs, trial, budget)
    measured = MeasuredPrecision(problem, trial, budget, progress, store)
    precision = FixedPrecision(problem.graph) if data.kind == RANDOM else measured
    ranges = () if data.kind == RANDOM else observer.extremes()
    return Calibration(data.kind, precision, trial, jpeg, measured, report, judged, budget, ranges)


def without_samples(problem: Problem, bits: int) -> Calibration:
    """Every cut at a precision that is taken for granted; the size of a JPEG estimated."""
    inputs = [problem.model.values[name] for name in problem.model.inputs]
    return Calibration("none", FixedPrecision(problem.graph, bits), None, estimate_jpeg(inputs), None)
