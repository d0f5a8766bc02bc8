"""The online policy that the samples which are seen suggest: score, base precision, thresholds and memory of one cut.

Nothing is promised here. What is chosen, and every more cautious setting on the way to it, is proven by samples that
chose nothing (`calib.online.policy_proof`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.certificate import expects_proof
from coachc.calib.online.exit_memory import COSINES
from coachc.calib.online.exit_rules import exit_threshold, lower_threshold, with_lower
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting, losses

#: Higher base precisions that are tried: they leave more of the budget to exits.
HIGHER_BASES = 1
#: Lower precisions that may be admitted by score.
LOWER_RUNGS = 2
#: Parts of the budget that exits by score may use beside all of it, where the samples are streams and the rest may be
#: the memory's.
SCORE_PARTS = (0.5, 0.25)


@dataclass(frozen=True)
class Chosen:
    """What the samples that are seen suggest.

    Attributes
    ----------
    kind : str
        The score; "" where none is of use.
    setting : Setting
    shares : mapping of str to float
        Tasks that each score would end, of those seen.
    """

    kind: str
    setting: Setting
    shares: Mapping[str, float]


def choose(
    seen: Mapping[str, ScoredTasks],
    sent: Sent,
    sizes_bytes: Sequence[float],
    base: int,
    kept_size: float,
    budget: float,
) -> Chosen:
    """Score, base precision and thresholds, by the samples that are seen.

    Parameters
    ----------
    seen : mapping of str to ScoredTasks
        By score.
    sent : Sent
        Of the same samples.
    sizes_bytes : sequence of float
        By rung.
    base : int
        The cut's own precision.
    kept_size : float
        Units of full weight that will have to prove it.
    budget : float
    """
    options: list[tuple[float, str, Setting]] = [(sizes_bytes[base], "", Setting(base))]
    shares = dict.fromkeys(seen, 0.0)
    for rung in range(base, min(base + HIGHER_BASES, sent.rungs - 1) + 1):
        if not expects_proof(sent.by_unit(sent.worst(rung)), kept_size, budget):
            continue
        for kind, tasks in seen.items():
            for part in (1.0, *(SCORE_PARTS if tasks.recalled is not None else ())):
                threshold = exit_threshold(tasks, rung, kept_size, budget * part)
                setting = _with_memory(tasks, Setting(rung, threshold), kept_size, budget)
                over = float(np.mean(tasks.score > threshold))
                shares[kind] = max(shares[kind], over)
                ended = over + _recalled_share(tasks, setting)
                if ended:
                    options.append((sizes_bytes[rung] * (1 - ended), kind, setting))
    _, kind, setting = min(options, key=lambda option: option[0])
    if not kind and seen:
        kind = "margin" if "margin" in seen else next(iter(seen))
    if kind:
        setting = _with_lower_rungs(seen[kind], setting, kept_size, budget)
    useful = kind if np.isfinite(setting.exits) or setting.lower or np.isfinite(setting.cosine) else ""
    return Chosen(useful, setting, shares)


def _with_memory(tasks: ScoredTasks, setting: Setting, kept_size: float, budget: float) -> Setting:
    """The setting with the lowest cosine that promises to be proven."""
    if tasks.recalled is None:
        return setting
    best = setting
    for cosine in COSINES:
        tried = dataclasses.replace(setting, cosine=cosine)
        if not expects_proof(tasks.sent.by_unit(losses(tasks, tried)), kept_size, budget):
            break
        if _recalled_share(tasks, tried):
            best = tried
    return best


def _recalled_share(tasks: ScoredTasks, setting: Setting) -> float:
    if tasks.recalled is None or not np.isfinite(setting.cosine):
        return 0.0
    return float(tasks.recalled(tasks.score > setting.exits, setting.cosine, setting.lowest)[0].mean())


def _with_lower_rungs(tasks: ScoredTasks, setting: Setting, kept_size: float, budget: float) -> Setting:
    """Lower rungs that some scores admit, each with a threshold no lower than that of the rung above."""
    for rung in range(setting.base - 1, max(setting.base - 1 - LOWER_RUNGS, -1), -1):
        score = lower_threshold(tasks, setting, rung, kept_size, budget)
        if not np.isfinite(score):
            break
        setting = with_lower(setting, rung, score)
    return setting
