"""Mixed plans: some tasks through one cut, others through another, so that all three stages balance.

The mean stage times of a mixture are the convex combination of its cuts', so the least period is a linear program, and
three stages need at most three cuts. Only nested cuts are mixed: they share their segments, so that a device and a
server hold each operator once. Source: the observation is JPS' (Duan and Wu); the program and the cloud as third stage
are ours.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import numpy as np

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Rejected, Way
from coachc.passes.partition import Limits, Precision, unfit
from coachc.passes.strategy import Part, Strategy
from coachc.passes.timeline import Costs, uniform_way, way_at

#: Shares below this are rounding of the linear program.
MIN_SHARE = 1e-6
#: Linear programs solved at most before the best nested mixture so far is returned.
MAX_PROGRAMS = 400


def best_mixture(ways: Sequence[Way], costs: Costs, *, max_programs: int = MAX_PROGRAMS) -> Strategy:
    """The mixture of nested cuts with the least period.

    Parameters
    ----------
    ways : sequence of Way
        Candidates with their costs.
    costs : Costs
    max_programs : int
        Branch and bound: the program over all cuts is solved first; where two cuts of its solution are not nested, one
        or the other is left out. Exact unless this many programs do not suffice.

    Returns
    -------
    Strategy
        At most three parts.
    """
    times = np.array(
        [[w.timeline.device_s, w.timeline.link_s, w.timeline.cloud_s / costs.server_share] for w in ways]
    ).T
    best = min(range(len(ways)), key=lambda i: ways[i].timeline.period_s)
    best_s, best_mix = ways[best].timeline.period_s, [(best, 1.0)]
    tie = itertools.count()
    period_s, mix = _solve(times, frozenset())
    queue = [(period_s, next(tie), frozenset[int](), mix)]
    solved = 1
    while queue and solved < max_programs:
        period_s, _, without, mix = heapq.heappop(queue)
        if period_s >= best_s * (1 - 1e-9):
            break
        clash = _not_nested([ways[i].mask for i, _ in mix])
        if clash is None:
            best_s, best_mix = period_s, mix
            break
        for loser in clash:
            fewer = without | {mix[loser][0]}
            solution = _solve(times, fewer)
            solved += 1
            if solution[0] < best_s:
                heapq.heappush(queue, (solution[0], next(tie), fewer, solution[1]))
    exact = "" if not queue or solved < max_programs else ", best found"
    chosen = tuple(Part(share, ways[i]) for i, share in best_mix)
    return Strategy("coachc, mixture", chosen, f"least mean period over nested cuts{exact}")


def search_mixture(
    graph: GraphView, costs: Costs, masks: Sequence[int], precision: Precision, *, limits: Limits
) -> Strategy | None:
    """The mixture of nested cuts with the least period, each cut at its lowest admissible precision.

    A cut counts with the fewest bits until a mixture needs it; then its accuracy is measured, and the mixture is
    sought anew. What is left in the end is measured, and no other can be better. Each cut may also send its tensors as
    they are.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    masks : sequence of int
        Candidates; all nodes on the device may be among them.
    precision : callable
        Asked about each cut once, with `MAX_BITS`.
    limits : Limits
        The latency limit holds for every part.

    Returns
    -------
    Strategy or None
        None if no candidate keeps limits and accuracy.
    """
    ways: dict[tuple[int, int], Way] = {}
    for mask in masks:
        if unfit(graph, mask, costs, limits):
            continue
        for bits in (MIN_BITS, UNQUANTIZED):
            found = uniform_way(graph, mask, bits, costs)
            if limits.admits(found):
                ways[mask, bits] = found
    sure = {(mask, UNQUANTIZED) for mask in masks} | {(graph.full_mask, MIN_BITS)}
    while ways:
        keys = {id(way): key for key, way in ways.items()}
        best = best_mixture(list(ways.values()), costs)
        unsure = [key for one in best.parts if (key := keys[id(one.way)]) not in sure]
        if not unsure:
            return best
        for key in unsure:
            sure.add(key)
            mask = key[0]
            answer = precision(mask, graph.cut_values(mask), MAX_BITS)
            if not isinstance(answer, Rejected):
                ways[key] = way_at(graph, mask, answer, costs)
            if isinstance(answer, Rejected) or not limits.admits(ways[key]):
                del ways[key]
    return None


def _solve(times: np.ndarray, without: frozenset[int]) -> tuple[float, list[tuple[int, float]]]:
    """Least max of the mean stage times over the columns of `times` (3, n); shares of the columns used."""
    from scipy.optimize import linprog

    columns = [i for i in range(times.shape[1]) if i not in without]
    scale = float(times.max()) or 1.0
    rows = np.hstack([times[:, columns] / scale, -np.ones((3, 1))])
    share_sum = np.array([[1.0] * len(columns) + [0.0]])
    objective = np.array([0.0] * len(columns) + [1.0])
    found = linprog(objective, A_ub=rows, b_ub=np.zeros(3), A_eq=share_sum, b_eq=[1.0], method="highs-ds")
    shares = [(columns[i], float(x)) for i, x in enumerate(found.x[:-1]) if x > MIN_SHARE]
    total = sum(share for _, share in shares)
    return float(found.fun) * scale, [(i, share / total) for i, share in shares]


def _not_nested(masks: Sequence[int]) -> tuple[int, int] | None:
    """Positions of two cuts neither of which contains the other."""
    for (i, a), (j, b) in itertools.combinations(enumerate(masks), 2):
        if a & b not in (a, b):
            return i, j
    return None
