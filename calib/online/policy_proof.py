"""What the samples that are kept back prove of an online policy.

One list of settings carries the whole promise of a cut (`calib.proof`): its precision with one bit to spare and as
chosen, then exits from the most cautious threshold on, lower precisions, and the memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from coachc.calib.online.exit_memory import COSINES
from coachc.calib.online.exit_rules import cautious_to, with_lower
from coachc.calib.online.policy_choice import Chosen
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting, losses
from coachc.calib.proof import Proof, Step, walk

#: Settings between the most cautious one and the one chosen that are proven on the way, of each kind.
STEPS = 16


@dataclass(frozen=True)
class ProvenPolicy:
    """What the samples kept back prove.

    Attributes
    ----------
    setting : Setting
        The boldest proven; the most cautious one where none was.
    precision : int
        The rung of the cut's own precision, used where nothing adapts: proven, or one bit above what was not.
    proof : Proof
    """

    setting: Setting
    precision: int
    proof: Proof


def prove(
    chosen: Chosen,
    base: int,
    seen: tuple[Sent, ScoredTasks | None],
    kept: tuple[Sent, ScoredTasks | None],
    budget: float,
    level: float,
) -> ProvenPolicy:
    """Walk from the cut's precision, with a bit to spare, to the setting chosen.

    Parameters
    ----------
    chosen : Chosen
    base : int
        The cut's own precision.
    seen, kept : (Sent, ScoredTasks or None)
        Of each part of the samples; None where no score is of use.
    budget : float
    level : float
        Of this cut's promise.
    """
    spare = min(base + 1, seen[0].rungs - 1)
    settings = [Setting(spare), *([Setting(base)] if spare != base else [])]
    precisions = len(settings)
    if chosen.kind:
        settings += _settings_to(chosen.setting, seen[1])

    def losses_of(part: tuple[Sent, ScoredTasks | None], setting: Setting) -> np.ndarray:
        return part[0].worst(setting.base) if part[1] is None else losses(part[1], setting)

    steps = [
        Step(
            lambda setting=setting: seen[0].by_unit(losses_of(seen, setting)),  # type: ignore[misc]
            lambda setting=setting: kept[0].by_unit(losses_of(kept, setting)),  # type: ignore[misc]
        )
        for setting in settings
    ]
    proof = walk(steps, budget, level)
    precision = base if proof.steps >= precisions else spare
    return ProvenPolicy(settings[max(proof.steps - 1, 0)], precision, proof)


def _settings_to(chosen: Setting, tasks: ScoredTasks | None) -> list[Setting]:
    """From exits of the highest scores to all that was chosen, each bolder than the one before."""
    assert tasks is not None
    found = [Setting(chosen.base, score) for score in cautious_to(tasks.score, chosen.exits, STEPS)]
    reached = Setting(chosen.base, chosen.exits)
    for rung, score in chosen.lower:
        found += [with_lower(reached, rung, step) for step in cautious_to(tasks.score, score, STEPS // 2)]
        reached = with_lower(reached, rung, score)
    if np.isfinite(chosen.cosine):
        steps = [cosine for cosine in COSINES if cosine > chosen.cosine][:: max(len(COSINES) // STEPS, 1)]
        found += [dataclasses.replace(reached, cosine=cosine) for cosine in (*steps, chosen.cosine)]
    return found
