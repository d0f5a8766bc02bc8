"""What a replay comes to: accuracy, exits, bytes, latency, throughput and busy shares, each with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.certificate import paired_loss_bound
from coachc.evaluate.replay import Outcome

#: Two-sided 95 % quantile of the normal distribution.
Z = 1.96


@dataclass(frozen=True)
class Share:
    """A share of tasks with its 95 % interval (Wilson, 1927)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """A mean with the half-width of its 95 % interval; tasks count as independent."""

    value: float
    half_width: float


@dataclass(frozen=True)
class Measured:
    """One replay.

    Attributes
    ----------
    tasks : int
    accuracy, exits : Share
        Right answers; tasks that ended on the device early.
    exit_agreement : Share
        Of the exits, those with the whole model's answer.
    loss, loss_bound : float
        Whole model's accuracy minus this one's on the same tasks, and its one-sided 95 % bound.
    bytes_per_task : Mean
    latency_s : Mean
    latency_p50_s, latency_p95_s, latency_p99_s : float
    throughput_per_s : float
    busy : mapping of str to float
        Share of the time that device, link and cloud (all its workers) work.
    exit_reasons : mapping of str to int
    rungs : mapping of int to int
        Tasks sent at each precision of the cut they took.
    cuts : mapping of str to int
    link_bound : float
        Share of tasks at which even the lowest admissible precision made the link the bottleneck.
    """

    tasks: int
    accuracy: Share
    exits: Share
    exit_agreement: Share
    loss: float
    loss_bound: float
    bytes_per_task: Mean
    latency_s: Mean
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    throughput_per_s: float
    busy: Mapping[str, float]
    exit_reasons: Mapping[str, int]
    rungs: Mapping[int, int]
    cuts: Mapping[str, int]
    link_bound: float


def measure(outcomes: Sequence[Outcome], whole_right: Sequence[bool], workers: int = 1) -> Measured:
    """Sum up a replay.

    Parameters
    ----------
    outcomes : sequence of Outcome
    whole_right : sequence of bool
        Whether the whole model is right on each of these tasks.
    workers : int
    """
    count = len(outcomes)
    latencies = np.array([o.finish_s - max(o.arrival_s, 0.0) for o in outcomes])
    # Of tasks that wait for the pipeline, what counts is their way through it.
    if all(o.arrival_s == 0 for o in outcomes):
        latencies = np.array([o.finish_s - o.start_s for o in outcomes])
    sizes = np.array([o.size_bytes for o in outcomes])
    exits = [o for o in outcomes if o.exit and o.exit != "device"]
    worse = sum(whole and not o.right for whole, o in zip(whole_right, outcomes, strict=True))
    better = sum(o.right and not whole for whole, o in zip(whole_right, outcomes, strict=True))
    span_s = max(o.finish_s for o in outcomes) - min(o.start_s for o in outcomes)
    p50, p95, p99 = (float(np.percentile(latencies, part)) for part in (50, 95, 99))
    return Measured(
        tasks=count,
        accuracy=share(sum(o.right for o in outcomes), count),
        exits=share(len(exits), count),
        exit_agreement=share(sum(o.kept for o in exits), len(exits)),
        loss=(worse - better) / count,
        loss_bound=paired_loss_bound(worse, better, count),
        bytes_per_task=mean(sizes),
        latency_s=mean(latencies),
        latency_p50_s=p50,
        latency_p95_s=p95,
        latency_p99_s=p99,
        throughput_per_s=count / span_s,
        busy={
            "device": sum(o.device_s for o in outcomes) / span_s,
            "link": sum(o.link_s for o in outcomes) / span_s,
            "cloud": sum(o.cloud_s for o in outcomes) / span_s / workers,
        },
        exit_reasons=_count([o.exit for o in outcomes if o.exit]),
        rungs=_count([o.rung for o in outcomes if o.rung >= 0]),
        cuts=_count([o.cut for o in outcomes]),
        link_bound=sum(o.link_bound for o in outcomes) / count,
    )


def share(events: int, count: int) -> Share:
    """Wilson's interval; (0, 0, 1) of nothing."""
    if count == 0:
        return Share(0.0, 0.0, 1.0)
    p, n = events / count, count
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Share(p, max(centre - half, 0.0), min(centre + half, 1.0))


def mean(values: np.ndarray) -> Mean:
    """Mean and half-width."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Mean(float(np.mean(values)), Z * spread / math.sqrt(len(values)))


def _count(values: Sequence[object]) -> dict:
    return {value: values.count(value) for value in sorted(set(values), key=str)}
