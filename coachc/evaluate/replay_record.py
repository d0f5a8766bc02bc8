"""A run that was recorded, through another driver: whether it decides the same at every call.

The driver is fed the arguments of each call and the numbers that were drawn, and learns from its own decisions. What it
says is compared but for the scores themselves, whose last digits depend on the machine that computed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coachc.evaluate.replay_figures import Mean, Share, mean, share
from coachc.runtime.bundle.manifest_types import Cut
from coachc.runtime.bundle.store import Bundle
from coachc.runtime.device.run_policies import plain_policy, read_policy
from coachc.runtime.errors import RecordError
from coachc.runtime.online.controller import Decision
from coachc.runtime.online.driver import Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.recording import (
    HINT,
    NAMES,
    Answered,
    AskedRate,
    AskingRate,
    Decide,
    Header,
    Lost,
    NextCut,
    Outage,
    Reached,
    Recording,
    RungAhead,
    Sending,
    WasAlone,
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """The first call that was answered otherwise: line of the record, number of the task, method, and both answers."""

    line: int
    task: int
    call: str
    recorded: str
    replayed: str


@dataclass(frozen=True)
class Side:
    """What the decisions of one driver come to.

    Attributes
    ----------
    exits : Share
        Tasks that ended on the device early.
    bits : Mean
        Of the packed values of tasks that were sent.
    """

    exits: Share
    bits: Mean


@dataclass(frozen=True)
class Replayed:
    """A replay of a record.

    Attributes
    ----------
    policy : str
    tasks : int
    decisions, equal : int
        Answers of the driver (cuts, precisions, exits, outages), and those that were as recorded.
    recorded, replayed : Side
    first : Difference or None
    cut_short : bool
        The last line was half written.
    """

    policy: str
    tasks: int
    decisions: int
    equal: int
    recorded: Side
    replayed: Side
    first: Difference | None
    cut_short: bool


def replay_record(bundle: Bundle, path: str) -> Replayed:
    """Feed a record to a new driver.

    Raises
    ------
    runtime.errors.RecordError
        If it cannot be read, is damaged, or was recorded with another bundle.
    """
    recording = Recording(path)
    header = recording.header
    if header.bundle_id != bundle.bundle_id:
        raise RecordError(
            f"{path} was recorded with another bundle",
            [f"expected  {bundle.bundle_id} ({bundle.path})", f"found     {header.bundle_id}"],
            "give coachc eval the bundle that ran",
        )
    replay = _Replay(bundle, header, path)
    for line, event in recording:
        replay.take(line, event)
    return replay.result(recording.cut_short)


def policies_of_record(bundle: Bundle, header: Header, path: str) -> dict[str, Policy]:
    """The policies that the recorded run used, by cut."""
    cuts = {cut.name: cut for cut in bundle.manifest.cuts}
    named = [*header.cuts, header.cut] + ([header.alone] if header.alone is not None else [])
    decides = header.policy != "none"
    unknown = [name for name in named if name not in cuts]
    unknown += [name for name in header.cuts if name in cuts and decides and cuts[name].policy is None]
    if unknown or header.cut not in header.cuts:
        raise RecordError(
            f"{path}, line 1: expected cuts of the bundle ({', '.join(cuts)}), found {', '.join(unknown or named)}",
            hint=HINT,
        )
    if not decides:
        return {name: plain_policy(cuts[name], header.bits) for name in header.cuts}
    return {name: read_policy(bundle, cuts[name], header.policy) for name in header.cuts}


@dataclass
class _Tally:
    """Exits, and mean bits of each task that was sent."""

    exits: int = 0
    bits: list[float] = field(default_factory=list)

    def add(self, decision: Decision, policy: Policy, cut: Cut) -> None:
        if decision.exit:
            self.exits += 1
            return
        depths = policy.rungs[decision.rung].bits
        packed = [bits for value, bits in zip(cut.values, depths, strict=True) if value.packed]
        if packed:
            self.bits.append(float(np.mean(packed)))

    def side(self, tasks: int) -> Side:
        return Side(share(self.exits, tasks), mean(np.array(self.bits)) if self.bits else Mean(0.0, 0.0))


class _Replay:
    """A driver and what it has said so far, beside what was recorded."""

    def __init__(self, bundle: Bundle, header: Header, path: str) -> None:
        self._path, self._header = path, header
        self._policies: Mapping[str, Policy] = policies_of_record(bundle, header, path)
        self._cuts = {name: bundle.manifest.cut(name) for name in self._policies}
        self._next_draw = 0.0
        self._driver = Driver(
            self._policies, header.cut, header.alone, header.bandwidth_bytes_per_s, header.prefer,
            lambda: self._next_draw, header.interval_s,
        )  # fmt: skip
        #: Feature and decision of each task that has no answer yet.
        self._sent: dict[int, tuple[np.ndarray | None, Decision]] = {}
        self._tasks = self._decisions = self._equal = 0
        self._recorded, self._replayed = _Tally(), _Tally()
        self._first: Difference | None = None

    def take(self, line: int, event: Any) -> None:
        """One call."""
        self._check(line, event)
        driver = self._driver
        if isinstance(event, NextCut):
            self._compare(line, event, event.cut, driver.next_cut(event.now_s, event.down))
        elif isinstance(event, Outage):
            self._compare(line, event, event.outage, driver.outage(event.now_s))
        elif isinstance(event, RungAhead):
            found = driver.rung_ahead(event.cut, event.now_s, event.tunable, event.adjustable)
            self._compare(line, event, event.rung, found)
        elif isinstance(event, Decide):
            self._decide(line, event)
        elif isinstance(event, WasAlone):
            driver.was_alone(event.cut, event.exited, event.now_s)
            self._tasks += 1
        elif isinstance(event, Reached):
            driver.reached(event.rtt_s)
        elif isinstance(event, Sending):
            driver.sending(event.task, event.now_s)
        elif isinstance(event, Answered):
            feature, decision = self._sent.pop(event.task, (None, None))
            driver.answered(event.task, event.cut, event.transfer, event.answer, feature, decision)
        elif isinstance(event, Lost):
            self._sent.pop(event.task, None)
            driver.lost(event.task)
        elif isinstance(event, AskingRate):
            driver.asking_rate()
        elif isinstance(event, AskedRate):
            driver.asked_rate(event.now_s, event.bytes_per_s, event.spent_bytes)

    def result(self, cut_short: bool) -> Replayed:
        """After the last call."""
        return Replayed(
            self._header.policy, self._tasks, self._decisions, self._equal, self._recorded.side(self._tasks),
            self._replayed.side(self._tasks), self._first, cut_short,
        )  # fmt: skip

    def _decide(self, line: int, event: Decide) -> None:
        self._next_draw = event.draw if event.draw is not None else 0.0
        found = self._driver.decide(event.task, event.cut, event.feature, event.now_s, event.rung)
        if not event.decision.exit:
            self._sent[event.task] = event.feature, found
        self._compare(line, event, _decided(event.decision), _decided(found))
        policy, cut = self._policies[event.cut], self._cuts[event.cut]
        self._recorded.add(event.decision, policy, cut)
        self._replayed.add(found, policy, cut)
        self._tasks += 1

    def _compare(self, line: int, event: Any, recorded: object, replayed: object) -> None:
        self._decisions += 1
        self._equal += recorded == replayed
        if recorded != replayed and self._first is None:
            call = NAMES[type(event)]
            self._first = Difference(line, self._tasks, call, _shown(recorded), _shown(replayed))

    def _check(self, line: int, event: Any) -> None:
        """Refuse what a driver of this bundle cannot have been asked, nor have said."""
        if isinstance(event, NextCut):
            self._expect(line, "cut", [*self._policies, self._header.alone], event.cut)
        elif hasattr(event, "cut"):
            self._expect(line, "cut", list(self._policies), event.cut)
        if isinstance(event, Decide | RungAhead):
            rungs = range(len(self._policies[event.cut].rungs))
            self._expect(line, "rung", [None, *rungs] if isinstance(event, Decide) else list(rungs), event.rung)
        if isinstance(event, Decide):
            self._expect(line, "decision.rung", list(rungs), event.decision.rung)
            size = _feature_size(self._policies[event.cut])
            if event.feature is not None and size is not None:
                self._expect(line, "feature", [f"{size} numbers"], f"{event.feature.size} numbers")

    def _expect(self, line: int, name: str, allowed: list[Any], found: Any) -> None:
        if found not in allowed:
            raise RecordError(
                f"{self._path}, line {line}: field '{name}': expected one of {', '.join(map(str, allowed))}, "
                f"found {found}",
                hint=HINT,
            )


def _feature_size(policy: Policy) -> int | None:
    if policy.exits is not None:
        return int(policy.exits.scorer.mean.size)
    return int(policy.memory.mean.size) if policy.memory is not None else None


def _decided(decision: Decision) -> dict[str, object]:
    """A decision without the score's value."""
    fields = decision._asdict()
    fields["best"] = fields.pop("scored").best
    return fields


def _shown(said: object) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in said.items()) if isinstance(said, dict) else str(said)
