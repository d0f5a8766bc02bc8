"""What an output's budget is worth: what 8 bits on the link, and the model in float16, lose of the same outputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from coachc.calib.judges import losses_of
from coachc.calib.reference_answers import Trial
from coachc.core.ahead import ahead
from coachc.core.plan import MAX_BITS, Way
from coachc.emit.half_precision import in_half_precision
from coachc.errors import CoachError
from coachc.frontend import ort
from coachc.planning.calibration import Calibration
from coachc.planning.problem import Problem

#: Samples that the model is run on in float16.
SAMPLES = 32


def output_yardsticks(problem: Problem, calibration: Calibration, way: Way) -> Mapping[str, float | str]:
    """Mean loss of the output that loses most: "8 bits" at the way's cut, "float16" of the whole model.

    A string says why one was not measured.
    """
    trial, measured = calibration.trial, calibration.measured
    assert trial is not None
    assert measured is not None
    found: dict[str, float | str] = {}
    if way.bits.packed:
        evaluator = measured.evaluator(way.mask)
        accuracy = evaluator.at(MAX_BITS).accuracy
        assert accuracy is not None
        found["8 bits"] = accuracy.loss
    try:
        found["float16"] = _float16_loss(problem, trial)
    except CoachError as exc:
        found["float16"] = exc.message
    return found


def _float16_loss(problem: Problem, trial: Trial) -> float:
    half, _ = in_half_precision(problem.model.proto, "the model", {})
    session = ort.session(half, level="all", threads=1)
    seen = np.zeros(trial.data.samples, bool)
    seen[trial.seen[:SAMPLES]] = True
    places = np.flatnonzero(seen).tolist()
    outputs = ahead(partial(ort.run_sample, session), (feed for _, feed in trial.data.part(seen)))
    return float(losses_of(trial.judge, zip(places, outputs, strict=True)).mean(axis=0).max())
