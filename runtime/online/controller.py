"""The online controller: what is known of one task in, what to do with it out. COACH Algorithm 1, lines 17 to 28.

No clock, socket or randomness: times, estimates and the draw for audits come with the observation. `decide` remembers
only the precision it sent at; `learn` takes what the server, or for the paper's policy the exit itself, has said.
"""

from typing import NamedTuple, Optional

import numpy as np

from . import drift, precision
from .centres import Centres
from .drift import Drift
from .memory import NO_MATCH, Match, Memory
from .policy import AUDIT_SHARE, SUSPICIOUS_AUDIT_SHARE, Policy
from .scoring import NOTHING, Scored, score

EXITS = ("score", "memory")


class Observation(NamedTuple):
    """One task after its device half.

    Attributes
    ----------
    feature : ndarray of float32, shape (D,)
    bandwidth_bytes_per_s : float
        Estimated.
    backlog_s : float
        How long the link is still busy with earlier tasks.
    interval_s : float
        Time between arrivals; 0 if tasks wait for the pipeline.
    draw : float
        Uniform in [0, 1): decides whether an exit is audited.
    """

    feature: np.ndarray
    bandwidth_bytes_per_s: float
    backlog_s: float = 0.0
    interval_s: float = 0.0
    draw: float = 1.0


class Decision(NamedTuple):
    """What to do with a task.

    Attributes
    ----------
    exit : {"", "score", "memory"}
        Why the task ends on the device; empty: it is offloaded.
    label : int
        The class an exit answers with, or would have; -1 without one.
    rung : int
        Precision of what is sent, among the policy's.
    audit : {"", "score", "memory"}
        What exit this offloaded task would have been.
    scored : Scored
    link_bound : bool
        Even the lowest admissible precision makes the link the bottleneck.
    """

    exit: str
    label: int
    rung: int
    audit: str
    scored: Scored
    link_bound: bool


class Answer(NamedTuple):
    """What the server said of a task that was offloaded: its class and the model's probability for it."""

    label: int
    confidence: float = 1.0


class State:
    """What one stream has taught so far. `learn` changes it in place.

    Attributes
    ----------
    centres : Centres or None
    memory : Memory or None
    climbed : int
        Thresholds given up because answers drifted.
    exits, band, memory_exits : Drift
    rung : int
        The last one sent at.
    """

    def __init__(self, policy: Policy) -> None:
        rule, recent = policy.exits, policy.memory
        self.centres: Optional[Centres] = None
        if rule is not None and rule.scorer.kind != "head":
            self.centres = Centres(rule.scorer, rule.lengths, rule.counts)
        self.memory: Optional[Memory] = None
        if recent is not None:
            self.memory = Memory(recent.capacity, len(recent.mean), recent.mean)
        self.climbed = 0
        self.exits = Drift(rule.wrong_share if rule else 1.0)
        self.band = Drift(rule.band_wrong_share if rule else 1.0)
        self.memory_exits = Drift(recent.wrong_share if recent else 1.0)
        self.rung = policy.base

    def threshold(self, policy: Policy) -> float:
        """The score an exit needs now."""
        if policy.exits is None or self.climbed >= len(policy.exits.thresholds):
            return float("inf")
        return policy.exits.thresholds[self.climbed]


def decide(observation: Observation, state: State, policy: Policy, prefer: str = "accuracy") -> Decision:
    """Exit or offload, and at which precision.

    Parameters
    ----------
    observation : Observation
    state : State
        Only `rung` changes.
    policy : Policy
    prefer : {"accuracy", "bytes"}
        What is done with spare time on the link: a higher precision, or nothing.
    """
    scored = _score(observation, state, policy)
    match = _match(observation, state, policy)
    reason, label = "", scored.best
    if policy.exits is not None and scored.best >= 0:
        label = policy.exits.scorer.labels[scored.best]
        # The paper exits above its threshold, and so do we: a score equal to it was seen to be wrong.
        if scored.score > state.threshold(policy):
            reason = "score"
    if not reason and match.label >= 0:
        reason, label = "memory", match.label
    audit = reason if reason and policy.name == "default" and observation.draw < _audit_share(state, reason) else ""
    choice = _precision(observation, state, policy, scored, prefer)
    if audit or not reason:
        state.rung = choice.rung
    return Decision("" if audit else reason, label, choice.rung, audit, scored, choice.link_bound)


def learn(
    state: State, policy: Policy, feature: np.ndarray, decision: Decision, answer: Optional[Answer] = None
) -> None:
    """Take in how a task ended.

    Parameters
    ----------
    state : State
    policy : Policy
    feature : ndarray of float32, shape (D,)
    decision : Decision
        The one made for the task.
    answer : Answer or None
        The server's; None for an exit, from which only the paper's policy learns.
    """
    if answer is None:
        if policy.name == "paper" and state.centres is not None and decision.exit == "score":
            state.centres.add_pseudo(decision.scored.best, feature)
        return
    if policy.name != "default":
        return
    _watch(state, policy, decision, answer)
    if state.memory is not None:
        state.memory.add(feature, answer.label)
    if state.centres is not None and policy.exits is not None and answer.label in policy.exits.scorer.labels:
        place = policy.exits.scorer.labels.index(answer.label)
        state.centres.add_verified(place, feature, answer.confidence)


def _score(observation: Observation, state: State, policy: Policy) -> Scored:
    if policy.exits is None:
        return NOTHING
    weights = policy.exits.scorer.weights if state.centres is None else state.centres.directions
    return score(policy.exits.scorer, observation.feature, weights)


def _match(observation: Observation, state: State, policy: Policy) -> Match:
    if state.memory is None or policy.memory is None:
        return NO_MATCH
    match = state.memory.match(observation.feature)
    return match if match.cosine > policy.memory.threshold else NO_MATCH


def _audit_share(state: State, reason: str) -> float:
    tests = (state.exits, state.band) if reason == "score" else (state.memory_exits,)
    return SUSPICIOUS_AUDIT_SHARE if any(test.suspicious for test in tests) else AUDIT_SHARE


def _precision(observation: Observation, state: State, policy: Policy, scored: Scored, prefer: str) -> precision.Choice:
    if policy.name == "none":
        return precision.Choice(policy.base, False)
    least = precision.lowest(policy.adjust, scored.score)
    rest_s = max(policy.rest_s, observation.interval_s)
    bandwidth = observation.bandwidth_bytes_per_s
    if policy.name == "paper":
        return precision.as_printed(policy.rungs, least, bandwidth, rest_s)
    best = precision.without_bubble(policy.rungs, least, state.rung, bandwidth, observation.backlog_s, rest_s)
    return best._replace(rung=least) if prefer == "bytes" else best


def _watch(state: State, policy: Policy, decision: Decision, answer: Answer) -> None:
    """Count a checked answer in the tests; an alarm climbs to the next threshold, or forgets the memory for good."""
    wrong = decision.label != answer.label
    if decision.audit == "memory":
        state.memory_exits = drift.observe(state.memory_exits, wrong)
        if state.memory_exits.alarmed:
            state.memory = None
        return
    if policy.exits is None or decision.label < 0:
        return
    if decision.audit == "score":
        state.exits = drift.observe(state.exits, wrong)
    elif policy.exits.band <= decision.scored.score <= state.threshold(policy):
        state.band = drift.observe(state.band, wrong)
    if state.exits.alarmed or state.band.alarmed:
        state.climbed += 1
        state.exits = Drift(policy.exits.wrong_share)
        state.band = Drift(policy.exits.band_wrong_share)
