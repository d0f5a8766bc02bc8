"""What a run adds up to while it goes on, in memory that does not grow with its tasks."""

import threading
from collections import Counter, defaultdict
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..bundle.manifest_types import Manifest
from ..errors import LocalProtocolError
from .outcome import Done, Failed, Outcome
from .report import Online
from .run_log import log_event
from .sketch import Sketch, StageTimes
from .stats_file import StatsFile


class Tally:
    """Counts outcomes, from any thread, and writes each as a line of JSON.

    Parameters
    ----------
    manifest : Manifest
    bandwidth : callable
        The link's estimated rate at that moment, bytes per second on the wire.
    stats : StatsFile or None
    ended : sequence of callable
        Get each outcome too.

    Attributes
    ----------
    submitted, answered : int
    errors : Counter
        Tasks without an answer, by stage.
    """

    def __init__(
        self,
        manifest: Manifest,
        bandwidth: Callable[[], float],
        stats: Optional[StatsFile] = None,
        ended: Sequence[Callable[[Outcome], None]] = (),
    ) -> None:
        self.submitted = 0
        self.answered = 0
        self.late = 0
        self.errors: "Counter[str]" = Counter()
        self.latency = Sketch()
        self._manifest = manifest
        self._bandwidth = bandwidth
        self._stats = stats
        self._tell = tuple(ended)
        self._classes = manifest.task == "classify"
        self._lock = threading.Lock()
        self._open: Dict[int, Optional[Sequence[int]]] = {}
        self._bytes = [0, 0, 0]
        self._device_s = 0.0
        self._round_trip = Sketch()
        self._right = self._labelled = 0
        self._exits: "Counter[str]" = Counter()
        self._cuts: "Counter[str]" = Counter()
        self._bits: "Counter[str]" = Counter()
        self._audits = self._agreed = 0
        self._stages: Dict[str, StageTimes] = defaultdict(lambda: StageTimes(Sketch(), Sketch(), Sketch()))

    def submit(self, task: int, labels: Optional[Sequence[int]] = None) -> None:
        """A task has come, with the label of each of its rows where they are known."""
        with self._lock:
            self.submitted += 1
            self._open[task] = labels

    def end(self, outcome: Outcome) -> None:
        """A task has ended.

        Raises
        ------
        LocalProtocolError
            If it never came, or has ended before.
        """
        bandwidth = self._bandwidth()
        with self._lock:
            if outcome.task not in self._open:
                raise LocalProtocolError(f"task {outcome.task} has ended twice, or never came")
            labels = self._open.pop(outcome.task)
            if isinstance(outcome, Failed):
                self.errors[outcome.stage] += 1
            else:
                self._add(outcome, labels)
        if isinstance(outcome, Failed):
            log_event("task failed", task=outcome.task, stage=outcome.stage, reason=outcome.reason)
        if self._stats is not None:
            self._stats.write(self._line(outcome, bandwidth))
        for tell in self._tell:
            tell(outcome)

    @property
    def open(self) -> int:
        """Tasks that came and have not ended."""
        with self._lock:
            return len(self._open)

    @property
    def accuracy(self) -> Optional[float]:
        """Share of labelled rows of answered tasks whose class is their label."""
        return self._right / self._labelled if self._labelled else None

    @property
    def bytes_per_task(self) -> Tuple[float, ...]:
        """Means of what was written to sockets, of the tensors' share, and of that before coding."""
        return tuple(each / max(self.answered, 1) for each in self._bytes)

    @property
    def device_s(self) -> float:
        """Mean of the device's stage."""
        return self._device_s / max(self.answered, 1)

    @property
    def round_trip_s(self) -> float:
        """Mean time from sending to the answer, of tasks that the server answered."""
        return self._round_trip.total_s / max(self._round_trip.count, 1)

    def stages(self, cut: str) -> StageTimes:
        """Stage times of the tasks that took a cut."""
        with self._lock:
            return self._stages[cut]

    def online(self, policy: str, moves: int, bandwidth_bytes_per_s: Optional[float], load_s: float) -> Online:
        """What they say of the controller."""
        with self._lock:
            return Online(
                policy,
                _sorted(self._exits),
                self._audits,
                self._agreed,
                _sorted(self._cuts),
                _sorted(self._bits),
                moves,
                bandwidth_bytes_per_s,
                load_s,
            )

    def _add(self, done: Done, labels: Optional[Sequence[int]]) -> None:
        self.answered += 1
        self.late += done.late
        self.latency.add(done.latency_s)
        self._bytes[0] += done.sent_bytes
        self._bytes[1] += done.payload_bytes
        self._bytes[2] += done.packed_bytes
        self._device_s += done.device_s
        if labels is not None and self._classes and done.predictions:
            self._labelled += len(labels)
            self._right += sum(label == found for label, found in zip(labels, done.predictions))
        self._cuts[done.cut] += 1
        times = self._stages[done.cut]
        times.device.add(done.device_s)
        if done.exit:
            self._exits[done.exit] += 1
            return
        self._round_trip.add(done.round_trip_s)
        times.link.add(done.round_trip_s - max(done.server_s, 0.0))
        if done.work_s >= 0:
            times.cloud.add(done.work_s)
        self._audits += bool(done.audit)
        self._agreed += bool(done.audit) and done.agreed
        bits = self._bits_of(done)
        if bits:
            self._bits[",".join(map(str, bits))] += 1

    def _bits_of(self, done: Done) -> Sequence[int]:
        """Of the packed values that were sent."""
        if done.exit:
            return ()
        cut = self._manifest.cut(done.cut)
        depths = cut.precisions(done.bits)
        return [depth for value, depth in zip(cut.values, depths) if value.packed]

    def _line(self, outcome: Outcome, bandwidth_bytes_per_s: float) -> Dict[str, Any]:
        if isinstance(outcome, Failed):
            error = {"stage": outcome.stage, "reason": outcome.reason}
            return {"task": outcome.task, "error": error, "cut": outcome.cut, "latency_s": outcome.latency_s}
        labels: List[int] = list(outcome.predictions) if self._classes else []
        return {
            "task": outcome.task,
            "cut": outcome.cut,
            "exit": outcome.exit,
            "audit": outcome.audit,
            "bits": list(self._bits_of(outcome)),
            "label": labels if len(labels) != 1 else labels[0],
            "bytes": outcome.sent_bytes,
            "latency_s": outcome.latency_s,
            "late": outcome.late,
            "bandwidth_bytes_per_s": bandwidth_bytes_per_s,
        }


def _sorted(counts: "Counter[str]") -> Dict[str, int]:
    return dict(sorted(counts.items()))
