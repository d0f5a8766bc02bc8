"""What happens when: the operations of one task, their schedule, and the record of a simulated stream of tasks.

Decides nothing: `passes.schedule` places one task, `passes.simulate` a whole stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: In the order in which a task meets them.
STAGES = ("device", "link", "cloud")

#: Two gaps between results are the same if they differ by less than this share of themselves.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a stage does for one task: run an operator, quantize, send, or dequantize a value.

    Attributes
    ----------
    name : str
    stage : str
        One of `STAGES`.
    duration_s : float
        Time for which it occupies the stage.
    after : tuple of int
        Positions, in the task's list, of what it waits for. The operations of one task on one stage run in the
        order of the list besides.
    lag_s : float
        From its end to the moment those that wait for it may start; for a send, the way to the server.
    """

    name: str
    stage: str
    duration_s: float
    after: tuple[int, ...] = ()
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """When one operation of one task ran.

    Attributes
    ----------
    name : str
    start_s, end_s : float
        Since the task began.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """One task on three idle stages.

    latency_s = device_s + (link_s - link_overlap_s) + (cloud_s - cloud_overlap_s) + idle_s.

    Attributes
    ----------
    device, link, cloud : tuple of Span
        In the order in which they ran.
    latency_s : float
        From the input until the last result is on the device.
    device_s, link_s, cloud_s : float
        Busy time of each stage: T_e, T_t and T_c.
    link_overlap_s : float
        Time in which link and device are both busy: T_t^p.
    cloud_overlap_s : float
        Time in which the cloud is busy, and the device or the link too: T_c^p.
    idle_s : float
        Time within the latency in which no stage is busy, the round trip included.
    """

    device: tuple[Span, ...]
    link: tuple[Span, ...]
    cloud: tuple[Span, ...]
    latency_s: float
    device_s: float
    link_s: float
    cloud_s: float
    link_overlap_s: float
    cloud_overlap_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class TaskSpan:
    """One bar of a Gantt chart.

    Attributes
    ----------
    task : int
    stage, name : str
    start_s, end_s : float
        On the clock of the arrivals.
    """

    task: int
    stage: str
    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Simulation:
    """What a stream of tasks did.

    Attributes
    ----------
    arrivals_s, starts_s, finishes_s : tuple of float
        Per task: when it came, when its first operation began, when its answer was there.
    spans : tuple of TaskSpan
        By start.
    capacity : mapping of str to int
        How many operations each stage runs at once.
    """

    arrivals_s: tuple[float, ...]
    starts_s: tuple[float, ...]
    finishes_s: tuple[float, ...]
    spans: tuple[TaskSpan, ...]
    capacity: Mapping[str, int]

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """Per task, from arrival to answer, waiting included."""
        return tuple(end - start for start, end in zip(self.arrivals_s, self.finishes_s, strict=True))

    @property
    def mean_latency_s(self) -> float:
        return math.fsum(self.latencies_s) / len(self.finishes_s)

    def latency_percentile_s(self, percent: float) -> float:
        """Latency that `percent` of the tasks do not exceed; linear between neighbours."""
        ordered = sorted(self.latencies_s)
        place = (len(ordered) - 1) * percent / 100
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        return below + (above - below) * (place % 1)

    @property
    def makespan_s(self) -> float:
        """From the first arrival to the last answer."""
        return max(self.finishes_s) - min(self.arrivals_s)

    @property
    def interval_s(self) -> float:
        """Makespan per task; the filling and draining of the pipeline included."""
        return self.makespan_s / len(self.finishes_s)

    @property
    def steady_period_s(self) -> float:
        """Time between results once the pipeline is full.

        Results may come in a rhythm: two workers that start together finish together. So this is the gap from a
        result to the k-th after it, over k, for the smallest k with which that gap is the same throughout the second
        half of the results. Without a rhythm it is the mean gap of that half; if that is 0, the interval.
        """
        ordered = sorted(self.finishes_s)
        half = ordered[len(ordered) // 2 - 1 :] if len(ordered) > 1 else ordered
        for step in range(1, len(half) // 2 + 1):
            gaps = [later - earlier for earlier, later in zip(half, half[step:], strict=False)]
            if max(gaps) > 0 and max(gaps) - min(gaps) <= _SAME * max(gaps):
                return math.fsum(gaps) / len(gaps) / step
        return (half[-1] - half[0]) / (len(half) - 1) if half[-1] > half[0] else self.interval_s

    @property
    def busy_share(self) -> Mapping[str, float]:
        """Per stage, the share of its capacity that was in use over the makespan."""
        busy = dict.fromkeys(self.capacity, 0.0)
        for span in self.spans:
            busy[span.stage] += span.end_s - span.start_s
        whole_s = self.makespan_s
        return {stage: busy[stage] / (whole_s * self.capacity[stage]) if whole_s > 0 else 0.0 for stage in busy}
