"""What a bundle is planned for: one bandwidth and its best way to run the model, or a range and a few nested cuts."""

from __future__ import annotations

from coachc.core.progress import Progress, silent
from coachc.passes.partition import Limits
from coachc.planning.bandwidth_range import plan_cuts
from coachc.planning.calibration import Calibration
from coachc.planning.make_plan import Planned, make_plan
from coachc.planning.problem import Problem


def plan_bundle(
    problem: Problem,
    calibration: Calibration,
    limits: Limits,
    bandwidths: tuple[float, float] | None = None,
    *,
    mode: str = "auto",
    objective: str = "exact",
    method: str = "auto",
    progress: Progress = silent,
) -> Planned:
    """The plan of a bundle, its precision refined.

    Parameters
    ----------
    problem : Problem
        Its link has the bandwidth, or the one in the middle of the range.
    calibration : Calibration
    limits : Limits
    bandwidths : (float, float) or None
        The range, in bytes a second.
    mode, objective, method, progress
        As `make_plan.make_plan` takes them.

    Raises
    ------
    coachc.errors.InfeasibleError
        Nothing respects the limits; carries the closest.
    """
    if bandwidths is None:
        return make_plan(
            problem,
            calibration,
            limits,
            mode=mode,
            objective=objective,
            method=method,
            refined=True,
            progress=progress,
        )
    return plan_cuts(
        problem, calibration, limits, bandwidths, mode=mode, objective=objective, method=method, progress=progress
    )
