"""A plan and the models it takes, of which every one builds on its target.

What a target refuses of the model's own operators is known before the search. What coachc itself writes at a cut, and
what a half is once it stands alone, is known only when it is written: a partition that turns out to be refused is no
candidate any more, and the next best is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from coachc.emit.cuts import emit_cuts
from coachc.emit.find_placement import refusals
from coachc.emit.two_halves import Emitted
from coachc.errors import InfeasibleError
from coachc.passes.partition import Limits
from coachc.planning.make_plan import Planned
from coachc.planning.problem import Problem, Setting

#: Partitions that are given up at most before there is said to be none.
ATTEMPTS = 16


def emit_plan(
    setting: Setting, problem: Problem, limits: Limits, plan: Callable[[Limits], Planned]
) -> tuple[Planned, Emitted]:
    """The best plan whose models all build, and these.

    Parameters
    ----------
    setting : Setting
    problem : Problem
    limits : Limits
    plan : callable
        The best plan within limits.

    Raises
    ------
    coachc.errors.InfeasibleError
        There is none.
    """
    for _ in range(ATTEMPTS):
        planned = plan(limits)
        alone = not limits.placement.against(problem.graph, problem.graph.full_mask)
        emitted = emit_cuts(
            problem.model, problem.graph, planned.ways, setting.device, setting.cloud,
            alone=alone, observers=setting.observers,
        )  # fmt: skip
        refused = refusals(emitted, problem.model.proto, setting.device, setting.cloud)
        if not refused:
            return planned, emitted
        masks = {way.name: way.mask for way in planned.ways} | {"device-only": problem.graph.full_mask}
        cuts = {**limits.placement.cuts, **{masks[name]: reason for name, reason in refused.items()}}
        limits = dataclasses.replace(limits, placement=dataclasses.replace(limits.placement, cuts=cuts))
    raise InfeasibleError(
        f"none of the {ATTEMPTS} best plans builds on its targets",
        context=[f"{name}: {reason}" for name, reason in refused.items()],
        hint="choose other targets (coachc devices), or report this model",
    )
