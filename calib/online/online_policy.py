"""The online policies of one cut: chosen on the samples that are seen, proven on those that are kept back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.online.default_policy import default_policy
from coachc.calib.online.exit_memory import Stream
from coachc.calib.online.exit_scores import Fitted, apply, fit
from coachc.calib.online.paper_policy import paper_policy
from coachc.calib.online.policy_choice import Chosen, choose
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting
from coachc.calib.online.policy_proof import ProvenPolicy, prove
from coachc.calib.proof import Proof
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import SCORES


@dataclass(frozen=True)
class CutTimes:
    """T_e and T_c of the plan, and the server's share."""

    device_s: float
    cloud_s: float
    server_share: float


@dataclass(frozen=True)
class Part:
    """One part of the samples at one cut.

    Attributes
    ----------
    features : ndarray of float32, shape (samples, D)
    answers : ndarray of int, shape (samples,)
        The whole model's.
    truth : ndarray of int, shape (samples,)
        The right ones: labels, or the whole model's.
    sent : Sent
        What a sample loses when it is sent.
    order : ndarray of int, shape (samples,), or None
        Places as they come from a camera; None where they are no stream.
    answers_at : callable, optional
        Rung -> what the split model answers at that precision, ndarray of int of shape (samples,); the whole model's
        answers where precision changes none. Asked for where there is an order.
    """

    features: np.ndarray
    answers: np.ndarray
    truth: np.ndarray
    sent: Sent
    order: np.ndarray | None = None
    answers_at: Callable[[int], np.ndarray] | None = None

    @property
    def right(self) -> np.ndarray:
        """Whether the whole model is."""
        return self.answers == self.truth

    def loss_of(self, places: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What answers to some of the samples lose."""
        return self.right[places].astype(float) - (answers == self.truth[places])

    def stream(self, mean: np.ndarray) -> Stream | None:
        """The samples as the memory sees them."""
        if self.order is None:
            return None
        answers_at = self.answers_at if self.answers_at is not None else lambda rung: self.answers

        def from_rung(lowest: int) -> np.ndarray:
            return np.stack([answers_at(rung) for rung in range(lowest, self.sent.rungs)])

        return Stream(self.features, mean.astype(np.float32), self.order, self.truth, self.right, from_rung)

    def scored(self, best: np.ndarray, score: np.ndarray, stream: Stream | None) -> ScoredTasks:
        """A score's labels and values as losses."""
        lost = self.loss_of(np.arange(len(best)), best)
        return ScoredTasks(self.sent, score, lost, best != self.answers, None if stream is None else stream.recalled)


@dataclass(frozen=True)
class Online:
    """The policies of a cut and what is proven of them.

    Attributes
    ----------
    policies : dict of str to Policy
        "none", "paper" and "default".
    chosen : Chosen
        By the samples that are seen.
    setting : Setting
        Of the default: what those kept back prove of it, or its precision alone.
    proof : Proof or None
        None where there are too few samples to keep any back.
    exit_share, memory_share : float
        Tasks that the default ends by score and by memory, of those kept back.
    lower_shares : tuple of float
        Tasks that may be sent at each lower precision.
    missing : int
        How many more independent samples it would take for any exits; 0 where there are enough.
    no_exits : str
        Why no score could be tried, so that the policies choose the precision only; "" where some were.
    """

    policies: dict[str, Policy]
    chosen: Chosen
    setting: Setting
    proof: Proof | None
    exit_share: float = 0.0
    memory_share: float = 0.0
    lower_shares: tuple[float, ...] = ()
    missing: int = 0
    no_exits: str = ""


def build(
    cut: str,
    seen: Part,
    kept: Part | None,
    rungs: Sequence[Rung],
    base: int,
    times: CutTimes,
    budget: float,
    level: float,
    *,
    missing: int = 0,
) -> tuple[Online, ProvenPolicy | None]:
    """Choose score, base precision and thresholds of one cut, and prove them.

    Parameters
    ----------
    cut : str
    seen : Part
        Samples to choose on.
    kept : Part or None
        Samples to prove it with; None where there are too few to keep any back.
    rungs : sequence of Rung
        Precisions of the cut, rising.
    base : int
        The offline one.
    times : CutTimes
    budget : float
        Of everything together.
    level : float
        What this cut's promise may err with.
    missing : int
        How many more samples it would take to keep any back.
    """
    fitted = {kind: fit(kind, seen.features, seen.answers) for kind in SCORES}
    usable = {kind: one for kind, one in fitted.items() if one is not None}
    samples = len(seen.answers)
    no_exits = "" if usable else f"one class only, in {samples:,} sample{'s' if samples > 1 else ''}"
    plain = Policy(
        "none", cut, None, None, tuple(rungs), base, _admitted_from(base, len(rungs)), times.device_s, times.cloud_s,
        times.server_share,
    )  # fmt: skip
    if kept is None:
        chosen = Chosen("", Setting(base), dict.fromkeys(usable, 0.0))
        return Online(
            _policies(plain, plain._replace(name="default"), seen, fitted, budget), chosen, chosen.setting, None,
            missing=missing, no_exits=no_exits,
        ), None  # fmt: skip
    mean = seen.features.mean(axis=0)
    seen_stream, kept_stream = seen.stream(mean), kept.stream(mean)
    by_score = {kind: seen.scored(one.best, one.score, seen_stream) for kind, one in usable.items()}
    sizes = [rung.size_bytes for rung in rungs]
    chosen = choose(by_score, seen.sent, sizes, base, kept.sent.size, budget)
    tasks = None
    if chosen.kind:
        tasks = kept.scored(*apply(usable[chosen.kind], kept.features), kept_stream)
    proven = prove(chosen, base, (seen.sent, by_score.get(chosen.kind)), (kept.sent, tasks), budget, level)
    plain = plain._replace(base=proven.precision, adjust=_admitted_from(proven.precision, len(rungs)))
    default = default_policy(plain, proven.setting, usable.get(chosen.kind), tasks, kept_stream, kept.answers)
    policies = _policies(plain, default, seen, fitted, budget)
    return _online(policies, chosen, proven, tasks, no_exits), proven


def _online(
    policies: dict[str, Policy], chosen: Chosen, proven: ProvenPolicy, tasks: ScoredTasks | None, no_exits: str
) -> Online:
    setting = proven.setting
    if tasks is None:
        return Online(policies, chosen, setting, proven.proof, no_exits=no_exits)
    exited = tasks.score > setting.exits
    ended = np.zeros(len(exited), bool)
    if tasks.recalled is not None and np.isfinite(setting.cosine):
        ended, _ = tasks.recalled(exited, setting.cosine, setting.lowest)
    lower = tuple(float(np.mean((tasks.score > score) & ~exited & ~ended)) for _, score in setting.lower)
    return Online(
        policies, chosen, setting, proven.proof, float(exited.mean()), float(ended.mean()), lower, no_exits=no_exits
    )


def _admitted_from(base: int, rungs: int) -> tuple[float, ...]:
    return (float("inf"),) * base + (float("-inf"),) * (rungs - base)


def _policies(
    plain: Policy, default: Policy, seen: Part, fitted: dict[str, Fitted | None], budget: float
) -> dict[str, Policy]:
    def right_at(rung: int) -> np.ndarray:
        return seen.right - seen.sent.at(rung) > 0

    paper = paper_policy(seen.features, seen.right, seen.truth, fitted["separability"], plain, right_at, budget)
    return {"none": plain, "paper": paper, "default": default}
