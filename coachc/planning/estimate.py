"""The best plan in each of many settings, and in one setting every way that no other beats: what hardware is worth.

A cell of the matrix is what `make_plan` chooses in its setting, beside the best way that does not split. Nothing is
decided here that is not decided there; this file asks in many settings, and says how certain the answers are. What
`coachc compile` finds out only from the models that it writes (refined precision, cuts that do not build) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Plan, Rejected, Way
from coachc.errors import InfeasibleError
from coachc.passes.candidates import auto
from coachc.passes.objective import rank
from coachc.passes.partition import Limits, search, unfit
from coachc.passes.timeline import Costs, forbidding, uniform_way, way_at
from coachc.planning.calibration import Calibration
from coachc.planning.decide import unsplit_ways
from coachc.planning.make_plan import Planned, make_plan
from coachc.planning.problem import Problem, Progress, Setting, limits_of_all, silent


@dataclass(frozen=True, slots=True)
class Certainty:
    """How far the times of a plan can be trusted: by the sides it uses, and the link taken as it is said to be.

    Attributes
    ----------
    measured : bool
        Whether every side that it uses was measured.
    band : float
        The largest of these sides' `Provenance.band`.
    """

    measured: bool
    band: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting.

    Attributes
    ----------
    setting : Setting
    costs : Costs
    plan : Plan or None
        None where no plan is possible.
    instead : Way or None
        The best way that does not split, by its period; None where none is possible.
    no_plan : str
        Why there is no plan, in a few words; empty where there is one.
    reasons : tuple of str
        What stands behind these words, by operator.
    """

    setting: Setting
    costs: Costs
    plan: Plan | None
    instead: Way | None = None
    no_plan: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def gain(self) -> float | None:
        """Results of a split for each of the best way that does not split; None where either is not there.

        Below 1 for a split that counts as equally fast (`Costs.tie`) and answers sooner.
        """
        if self.plan is None or self.instead is None or self.plan.way.mode != "split":
            return None
        return self.instead.timeline.period_s / self.plan.way.timeline.period_s

    @property
    def certainty(self) -> Certainty | None:
        """Of the plan; None where there is none."""
        return None if self.plan is None else certainty_of(self.plan.way, self.costs)


@dataclass(frozen=True, slots=True)
class Front:
    """The ways of one setting of which no other has both a shorter period and a lower latency.

    Attributes
    ----------
    ways : tuple of Way
        By ascending period, and so by descending latency; of equal ones the one with the fewest bytes.
    candidates : int
        Partitions looked at.
    method : str
        How they were found.
    complete : bool
        Whether these are all there are. Otherwise more ways may belong to the front, and beat some of these.
    """

    ways: tuple[Way, ...]
    candidates: int
    method: str
    complete: bool


def estimate_cells(
    settings: Sequence[Setting], problems: Sequence[Problem], calibration: Calibration, progress: Progress = silent
) -> tuple[Cell, ...]:
    """The best plan in each setting.

    Parameters
    ----------
    settings : sequence of Setting
        Of one model.
    problems : sequence of Problem
        `planning.problem.load_problems` of these settings.
    calibration : Calibration
        Of any of these problems: what is measured for one holds for all.
    progress : callable

    Returns
    -------
    tuple of Cell
        One a setting, in their order; one in which nothing is possible says so.
    """
    cells = []
    limits = limits_of_all(settings, problems[0])
    for place, (setting, problem, limit) in enumerate(zip(settings, problems, limits, strict=True)):
        progress("plan", place, len(settings))
        cells.append(estimate_cell(setting, problem, calibration.at(problem), limit))
    return tuple(cells)


def estimate_cell(setting: Setting, problem: Problem, calibration: Calibration, limits: Limits) -> Cell:
    """The best plan in one setting beside the best way that does not split; see `estimate_cells`."""
    try:
        planned = make_plan(problem, calibration, limits)
    except InfeasibleError as none:
        return Cell(setting, problem.costs, None, no_plan=none.message, reasons=none.context)
    return Cell(setting, problem.costs, planned.plan, _best_unsplit(problem, calibration, limits, planned))


def _best_unsplit(problem: Problem, calibration: Calibration, limits: Limits, planned: Planned) -> Way | None:
    """The model on the device, or behind its input: as a picture, as it is, or at the precision that accuracy takes."""
    graph, costs = problem.graph, problem.costs
    ways = unsplit_ways(graph, costs, calibration.jpeg, limits)
    at_input = search(
        graph,
        costs,
        calibration.precision,
        limits=limits,
        keep=lambda mask: mask == 0,
        candidates=planned.candidates,
    )
    if at_input.best is not None:
        ways.append(at_input.best)
    return min(ways, key=rank, default=None)


def certainty_of(way: Way, costs: Costs) -> Certainty:
    """How far the times of a way can be trusted.

    Parameters
    ----------
    way : Way
    costs : Costs
        Those that gave its times.
    """
    # What encodes a JPEG is no network, and no profile says how long it takes.
    uses_device = way.timeline.device_s > 0 and way.mode != "cloud-jpeg"
    used = [
        side.provenance for side, uses in ((costs.device, uses_device), (costs.cloud, way.timeline.cloud_s > 0)) if uses
    ]
    return Certainty(all(one.is_measured for one in used), max((one.band for one in used), default=1.0))


def front_of(problem: Problem, calibration: Calibration, limits: Limits, progress: Progress = silent) -> Front:
    """Every way that no other beats in both period and latency, the plan of `make_plan` among them.

    Parameters
    ----------
    problem : Problem
    calibration : Calibration
        A cut is measured only where it may belong to the front with the fewest bits.
    limits : Limits
    progress : callable

    Returns
    -------
    Front
        Empty where nothing is possible.

    Notes
    -----
    Times are compared in nanoseconds, and latencies with the stages one after the other, as `passes.objective` does for
    "latency". Whether a value may also travel as it is depends on how the candidates were found, as in
    `passes.partition`.
    """
    graph, costs = problem.graph, problem.costs
    progress("ways to cut the model", 0, 0)
    candidates = auto.candidates(graph, forbidding(costs, limits.placement), blocks=problem.blocks)
    complete = candidates.method == "exact" and candidates.complete
    masks = [mask for mask in candidates.masks if mask != graph.full_mask and unfit(graph, mask, costs, limits) is None]
    whole = unsplit_ways(graph, costs, calibration.jpeg, limits)
    as_they_are = [uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks] if complete else []
    front = _unbeaten(filter(limits.admits, [*whole, *as_they_are]))
    hopes = sorted((uniform_way(graph, mask, MIN_BITS, costs) for mask in masks), key=_order)
    for place, hope in enumerate(hopes):
        if not limits.admits(hope) or any(_beats(way, hope) for way in front):
            continue
        progress("front", place, len(hopes))
        bits = calibration.precision(hope.mask, hope.cut, MAX_BITS)
        if not isinstance(bits, Rejected):
            way = way_at(graph, hope.mask, bits, costs)
            front = _unbeaten(filter(limits.admits, [*front, way]))
    return Front(tuple(front), candidates.seen, candidates.method, complete)


def _order(way: Way) -> tuple[float, ...]:
    """Period first, then latency, bytes and the earlier cut."""
    latency, period, *last = rank(way, "latency")
    return (period, latency, *last)


def _beats(one: Way, other: Way) -> bool:
    """Whether one is no worse in either and better in one."""
    (period, latency, *_), (other_period, other_latency, *_) = _order(one), _order(other)
    return period <= other_period and latency <= other_latency and (period, latency) != (other_period, other_latency)


def _unbeaten(ways: Iterable[Way]) -> list[Way]:
    """Those that no other beats, the first of equals, by ascending period."""
    found: list[Way] = []
    for way in sorted(ways, key=_order):
        if not found or _order(way)[1] < _order(found[-1])[1]:
            found.append(way)
    return found
