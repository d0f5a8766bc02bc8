"""Calibration samples opened: what measures accuracy, and what a JPEG of them takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from coachc.calib.accuracy import Judge
from coachc.calib.answer_doubts import doubts_of_answers
from coachc.calib.data_report import DataReport, report_on
from coachc.calib.dataset import RANDOM, open_dataset
from coachc.calib.input_overview import Observer
from coachc.calib.jpeg import JpegCost, estimate_jpeg, measure_jpeg
from coachc.calib.measurements import Measurements
from coachc.calib.reference_answers import trials_of
from coachc.planning.precisions import FixedPrecision, MeasuredPrecision, PrecisionSource
from coachc.planning.problem import Problem, Progress, silent
from coachc.runtime.bundle.label_check import classes_of
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
    judge : Judge or None
        None without samples.
    jpeg : JpegCost or None
        None where the model does not take one picture.
    measured : MeasuredPrecision or None
        None without samples; on noise it measures what the search does not ask for.
    data : DataReport or None
        How the samples were read and what came out; None without real ones.
    """

    kind: str
    precision: PrecisionSource
    judge: Judge | None
    jpeg: JpegCost | None
    measured: MeasuredPrecision | None
    data: DataReport | None = None

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
    budget: float,
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
    budget : float
        Admissible accuracy loss, a fraction.
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
    observer = Observer(inputs)
    data.watch = observer
    progress("whole model", 0, data.samples)
    trials = trials_of(model.proto, data, advance=lambda done: progress("whole model", done, data.samples))
    judge = trials[0].judge
    report = None
    if data.kind != RANDOM:
        seen = report_on(source, data, preprocess, observer)
        report = dataclasses.replace(seen, doubts=(*seen.doubts, *doubts_of_answers(judge)))
        for doubt in report.doubts:
            warn(doubt)
    jpeg = measure_jpeg(model.proto, inputs, data, judge, budget)
    measured = MeasuredPrecision(problem, trials, budget, progress, store)
    if data.kind == RANDOM:
        return Calibration(data.kind, FixedPrecision(problem.graph), judge, jpeg, measured)
    return Calibration(data.kind, measured, judge, jpeg, measured, report)


def without_samples(problem: Problem, bits: int) -> Calibration:
    """Every cut at a precision that is taken for granted; the size of a JPEG estimated."""
    inputs = [problem.model.values[name] for name in problem.model.inputs]
    return Calibration("none", FixedPrecision(problem.graph, bits), None, estimate_jpeg(inputs), None)
