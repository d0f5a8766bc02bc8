"""What a run measured: as values, as JSON and as a table."""

import os
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..bundle.manifest_checks import DECODED
from ..bundle.skipped import Skipped, skipped_json, skipped_text
from ..errors import CoachRuntimeError
from ..paragraphs import hanging
from ..progress_lines import ProgressLines, can_redraw
from .sketch import Summary
from .planned_stages import Compared


class Online(NamedTuple):
    """What the online controller did in one run.

    Attributes
    ----------
    policy : str
    exits : mapping of str to int
        Tasks that ended on the device, by `Done.exit`.
    audits : int
        Exits that went through the server all the same.
    audits_agreed : int
        Those where it answered with the exit's class.
    by_cut : mapping of str to int
        Tasks by the cut that answered them.
    by_bits : mapping of str to int
        Tasks that were sent, by the bits of their packed values: "4", "4,8".
    moves : int
        How often a task took another cut than the one before it.
    bandwidth_bytes_per_s : float or None
        Of the link at the end, as estimated; None where there was no server to reach.
    load_s : float
        Time that loading the engines of all cuts the run may take has taken.
    """

    policy: str
    exits: Mapping[str, int]
    audits: int
    audits_agreed: int
    by_cut: Mapping[str, int]
    by_bits: Mapping[str, int]
    moves: int
    bandwidth_bytes_per_s: Optional[float]
    load_s: float

    @property
    def fallbacks(self) -> int:
        """Tasks that were sent, got no answer, and were computed again on the device."""
        return self.exits.get("fallback", 0)

    def to_json(self) -> Dict[str, Any]:
        """A JSON object."""
        return {
            "policy": self.policy,
            "exits": dict(self.exits),
            "audits": self.audits,
            "audit_agreement": self.audits_agreed / self.audits if self.audits else None,
            "fallbacks": self.fallbacks,
            "tasks_by_cut": dict(self.by_cut),
            "tasks_by_bits": dict(self.by_bits),
            "moves": self.moves,
            "bandwidth_bytes_per_s": self.bandwidth_bytes_per_s,
            "load_s": self.load_s,
        }

    def lines(self, tasks: int) -> List[Tuple[str, str]]:
        """For the table: what is worth a line."""
        lines = [("policy", self.policy)]
        early = [(reason, self.exits.get(reason, 0)) for reason in ("score", "memory")]
        if self.policy != "none":
            shown = ", ".join(f"{count} by {reason}" for reason, count in early if count) or "none"
            share = 100 * sum(count for _, count in early) / max(tasks, 1)
            lines.append(("early exits", f"{shown} ({share:.1f} %)"))
            agreed = f"{self.audits} sent to the server all the same, {self.audits_agreed} got the same answer"
            lines.append(("exits checked", agreed if self.audits else "none"))
            if self.fallbacks:
                lines.append(("fallbacks", f"{self.fallbacks} sent without an answer, computed on the device"))
        if self.by_bits:
            lines.append(("bits", _counts(self.by_bits)))
        if len(self.by_cut) > 1 or self.moves:
            lines.append(("cuts", f"{_counts(self.by_cut)}; changed {self.moves} times"))
        if self.bandwidth_bytes_per_s is not None and self.policy != "none":
            lines.append(("link", f"{self.bandwidth_bytes_per_s * 8 / 1e6:.1f} Mbit/s estimated at the end"))
        lines.append(("loading", f"{_ms(self.load_s)} ms"))
        return lines


class Report(NamedTuple):
    """One run of a bundle over a source.

    Attributes
    ----------
    cut, mode, engine : str
        The cut it began at, and what ran the device's half ("none" where the device computes nothing).
    tasks : int
        That have an answer.
    submitted : int
        That came: all of them have an answer or an error.
    errors : mapping of str to int
        Tasks without an answer, by the stage where that was decided.
    late : int
        Answers after their deadline.
    accuracy : float or None
        Share of answered rows whose label is the largest of the first model output; None without labels.
    bytes_per_task : float
        Mean of what was written to sockets for requests, HTTP headers and repeats included.
    payload_bytes_per_task : float
        The boundary values' share of that, entropy coded where their layout says so.
    packed_bytes_per_task : float
        What they would have taken without entropy coding.
    latency_s : Summary
        From the start of the device half to the answer, waiting in the pipeline included; from a task's arrival, where
        tasks come at a pace.
    throughput_per_s : float
        Tasks over the whole run's time.
    device_s, round_trip_s : float
        Mean stage times: device half, of all tasks; sending, cloud half and answer, of those that were sent.
    skipped : tuple of Skipped
        Files of the source that were left out.
    online : Online
    task : str
        What the outputs are judged as: one of `runtime.bundle.manifest_types.TASKS`.
    outside : mapping of str to int
        By input, tasks with values that no calibration sample had.
    compared : Compared
        Stages and period beside the plan's.
    ended_by : CoachRuntimeError or None
        Of the source: what ended the run before it should have ended.
    stats_dropped : int
        Lines of statistics that could not be written.
    figures : mapping of str to float
        What is told of boxes or masks beside annotations: mAP, mIoU.
    """

    cut: str
    mode: str
    engine: str
    tasks: int
    submitted: int
    errors: Mapping[str, int]
    late: int
    accuracy: Optional[float]
    bytes_per_task: float
    payload_bytes_per_task: float
    packed_bytes_per_task: float
    latency_s: Summary
    throughput_per_s: float
    device_s: float
    round_trip_s: float
    skipped: Tuple[Skipped, ...]
    online: Online
    task: str
    outside: Mapping[str, int]
    compared: Compared
    ended_by: Optional[CoachRuntimeError] = None
    stats_dropped: int = 0
    figures: Mapping[str, float] = MappingProxyType({})

    def to_json(self) -> Dict[str, Any]:
        """A JSON object."""
        return {
            **self.online.to_json(),
            "cut": self.cut,
            "mode": self.mode,
            "engine": self.engine,
            "tasks": self.tasks,
            "submitted": self.submitted,
            "errors": dict(self.errors),
            "late": self.late,
            "stats_dropped": self.stats_dropped,
            "ended_by": None if self.ended_by is None else self.ended_by.message,
            "skipped": skipped_json(self.skipped),
            "task": self.task,
            "accuracy": self.accuracy,
            "figures": dict(self.figures),
            "inputs_outside_calibration": dict(self.outside),
            "bytes_per_task": self.bytes_per_task,
            "payload_bytes_per_task": self.payload_bytes_per_task,
            "packed_bytes_per_task": self.packed_bytes_per_task,
            "latency_s": dict(self.latency_s._asdict()),
            "throughput_per_s": self.throughput_per_s,
            "stage_s": {"device": self.device_s, "round_trip": self.round_trip_s},
            "against_plan": self.compared.to_json(),
        }

    def table(self, columns: Optional[int] = None) -> str:
        """Aligned lines for people, times in ms; wrapped at `columns`."""
        latency = self.latency_s
        payload = f"{self.payload_bytes_per_task:.0f} of tensors"
        if self.packed_bytes_per_task != self.payload_bytes_per_task:
            payload += f", {self.packed_bytes_per_task:.0f} before entropy coding"
        lines = [
            ("cut", f"{self.cut} ({self.mode})"),
            ("engine", self.engine),
            ("tasks", self._tasks()),
            ("accuracy", self._accuracy()),
            ("bytes per task", f"{self.bytes_per_task:.0f} ({payload})"),
            ("latency", "mean {} ms, p50 {}, p95 {}, p99 {}".format(*[_ms(value) for value in latency])),
            ("throughput", f"{self.throughput_per_s:.1f} tasks/s"),
        ] + self.compared.lines()
        for name, count in sorted(self.outside.items()):
            lines.append(("inputs", f"'{name}' of {count} tasks has values that no calibration sample had"))
        if self.stats_dropped:
            lines.append(("statistics", f"{self.stats_dropped} lines could not be written"))
        if self.skipped:
            lines.insert(3, ("skipped", skipped_text(self.skipped)))
        lines += self.online.lines(self.tasks)
        return "\n".join(hanging(f"{name:<16}{value}", columns, 16) for name, value in lines)

    def _tasks(self) -> str:
        """How many, where they are, and what ended them."""
        failed = ", ".join(f"{count} at the {stage}" for stage, count in self.errors.items())
        text = f"{self.submitted} = {self.tasks} answered + {sum(self.errors.values())} errors"
        late = f"; {self.late} late" if self.late else ""
        return text + (f" ({failed})" if failed else "") + late

    def _accuracy(self) -> str:
        if self.figures:
            return ", ".join(f"{name} {100 * value:.2f}" for name, value in self.figures.items())
        if self.task in DECODED:
            return f"{DECODED[self.task]}: annotations tell it (coachc run --truth), --answers has what was found"
        if self.task != "classify":
            return "not told by a label: outputs are judged (coachc eval does)"
        return "no labels" if self.accuracy is None else f"{100 * self.accuracy:.2f} %"


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} at {what}" for what, count in found.items())


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}"


def progress_of(stream: Any) -> Callable[[int, int], None]:
    """What shows how many tasks are done: a line that rewrites itself on a terminal, a line now and then elsewhere."""
    if not can_redraw(stream, os.environ.get("TERM", "")):
        lines = ProgressLines(stream)
        return lambda done, total: lines("tasks", done, total)

    def show(done: int, total: int) -> None:
        print(f"\r{done}/{total} tasks", end="\n" if done == total else "", file=stream, flush=True)

    return show
