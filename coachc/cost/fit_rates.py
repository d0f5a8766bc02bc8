"""Fit a target's rates to published times of whole networks.

A handful of times for as many numbers leaves some of them open, so each has a value that it is held to where the times
do not say otherwise, and a spread about it. Large errors weigh more than their square, so that no network is given up
for the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from coachc.core.graph import WORK_KINDS, GraphView
from coachc.cost.device import Roofline

#: An error of this size counts as much as a number that is one spread away.
ERROR = 0.05
#: Weight of the numbers' own values beside the errors.
HELD = 0.3
#: Spreads, as natural logarithms: of a rate that other rates do not tell, of one that is near that of 1x1
#: convolutions, of memory throughput, of an operator's start, and of the start of a kind beside it.
FREE, NEAR, MEMORY, START, START_OF_KIND = 1.0, 0.1, 0.3, 0.5, 0.3
#: Multiplications that Winograd's method leaves of a 3x3 convolution's, tiles of 2x2: the one rate above the peak.
WINOGRAD = 2.25
LONGEST_START_S = 1e-2
#: Rates that are near that of 1x1 convolutions, and how near.
LIKE_CONV1X1: Mapping[str, float] = {"conv": NEAR, "gemm": 1.0}


@dataclass(frozen=True)
class Peak:
    """What no rate can exceed.

    Attributes
    ----------
    flops_per_s : float
        Of the arithmetic units.
    bytes_per_s : float
        Of the memory.
    """

    flops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class NetworkWork:
    """What a network's operators compute and move, one row each; those that are free left out."""

    kinds: np.ndarray
    flops: np.ndarray
    elements: np.ndarray
    output_elements: np.ndarray
    launches: np.ndarray


def work_of(graph: GraphView) -> NetworkWork:
    """The rows of a graph; free operators keep their launches, which eager execution pays for."""
    works = [node.work for node in graph.nodes]
    moved = [0 if w.free else w.weight_elements + w.input_elements + w.output_elements for w in works]
    return NetworkWork(
        np.array([-1 if w.free else WORK_KINDS.index(w.kind) for w in works]),
        np.array([w.flops for w in works], float),
        np.array(moved, float),
        np.array([w.output_elements for w in works], float),
        np.array([node.unfused_operators for node in graph.nodes], float),
    )


def network_s(work: NetworkWork, roofline: Roofline, element_bytes: int, *, eager: bool) -> float:
    """Seconds of a whole network, as `coachc.cost.roofline.estimate` sums them."""
    rates = np.array([roofline.rate(kind) if kind != "memory" else np.inf for kind in WORK_KINDS])
    starts = np.array([roofline.overheads_s.get(kind, roofline.overhead_s) for kind in WORK_KINDS])
    runs = work.kinds >= 0
    busy = np.maximum(work.flops / rates[work.kinds], work.elements * element_bytes / roofline.bytes_per_s)
    if not eager:
        return float((busy + starts[work.kinds])[runs].sum())
    others = (work.launches - 1) * 2 * work.output_elements * element_bytes / roofline.bytes_per_s
    return float(max((work.launches * roofline.overhead_s).sum(), (busy + others).sum()))


def fit_rates(
    works: Sequence[NetworkWork],
    seconds: Sequence[float],
    start: Roofline,
    peak: Peak,
    element_bytes: int,
    *,
    eager: bool = False,
) -> Roofline:
    """Rates, bandwidth and starts that give networks these times.

    Parameters
    ----------
    works : sequence of NetworkWork
    seconds : sequence of float
        Published.
    start : Roofline
        The value each number is held to; only kinds that it has are fitted.
    peak : Peak
    element_bytes : int
    eager : bool
    """
    kinds, own = tuple(start.flops_per_s), tuple(start.overheads_s)
    begin = np.log([*start.flops_per_s.values(), start.bytes_per_s, start.overhead_s, *start.overheads_s.values()])

    def roofline(logs: np.ndarray) -> Roofline:
        numbers = [float(number) for number in np.exp(logs)]
        rates = dict(zip(kinds, numbers, strict=False))
        memory, overhead, *starts = numbers[len(kinds) :]
        return dataclasses.replace(
            start,
            flops_per_s=rates, bytes_per_s=memory, overhead_s=overhead, overheads_s=dict(zip(own, starts, strict=True)),
        )  # fmt: skip

    def away(logs: np.ndarray) -> np.ndarray:
        base = logs[kinds.index("conv1x1")] - begin[kinds.index("conv1x1")] if "conv1x1" in kinds else 0.0
        moved = logs - begin
        for place, kind in enumerate(kinds):
            moved[place] = (moved[place] - base) / LIKE_CONV1X1[kind] if kind in LIKE_CONV1X1 else moved[place] / FREE
        place = len(kinds)
        moved[place + 2 :] = (moved[place + 2 :] - moved[place + 1]) / START_OF_KIND
        moved[place] /= MEMORY
        moved[place + 1] /= START
        return moved * HELD

    def residuals(logs: np.ndarray) -> np.ndarray:
        found = roofline(logs)
        errors = np.array(
            [
                np.log(network_s(work, found, element_bytes, eager=eager) / published) / ERROR
                for work, published in zip(works, seconds, strict=True)
            ]
        )
        return np.concatenate([np.sign(errors) * errors**2, away(logs)])

    rates = [peak.flops_per_s * (WINOGRAD if kind == "conv3x3" else 1) for kind in kinds]
    most = np.log([*rates, peak.bytes_per_s, *[LONGEST_START_S] * (1 + len(own))])
    return roofline(least_squares(residuals, np.minimum(begin, most - 0.01), bounds=(-np.inf, most), max_nfev=400).x)


def fit_scales(
    works: Sequence[NetworkWork],
    ratios: Sequence[float],
    parent: Roofline,
    element_bytes: tuple[int, int],
    *,
    memory: float,
    overhead: float,
    compute: float | None = None,
    smaller: bool = False,
    eager: bool = False,
) -> tuple[float, float]:
    """By what a target's rates and starts are another's, from how many times as long networks take on it.

    Parameters
    ----------
    works : sequence of NetworkWork
    ratios : sequence of float
        Time on the one by time on the other, both of one source.
    parent : Roofline
        The other's.
    element_bytes : (int, int)
        The other's, and this one's.
    memory : float
        By what memory throughput is the other's.
    overhead : float
        The value that the factor of the starts is held to.
    compute : float, optional
        The factor of the rates, where it is not to be fitted.
    smaller : bool
        The target is the other's smaller sister, which is faster at nothing: rates at most as high, starts no shorter.
    eager : bool
    """
    base = np.array([network_s(work, parent, element_bytes[0], eager=eager) for work in works])

    def residuals(logs: np.ndarray) -> np.ndarray:
        start, rates = np.exp(logs[0]), compute if compute is not None else np.exp(logs[1])
        child = scaled(parent, float(rates), memory, float(start))
        times = np.array([network_s(work, child, element_bytes[1], eager=eager) for work in works])
        return np.append(np.log(times / base / np.array(ratios)) / ERROR, (logs[0] - np.log(overhead)) / START)

    begin = np.log([overhead, *([1 / np.median(ratios)] if compute is None else [])])
    least, most = np.full(len(begin), -np.inf), np.full(len(begin), np.inf)
    if smaller:
        least[0], most[1:] = 0.0, 0.0
    inside = np.clip(begin, least + 1e-6, most - 1e-6)
    found = np.exp(least_squares(residuals, inside, bounds=(least, most)).x)
    return float(found[1]) if compute is None else compute, float(found[0])


def scaled(parent: Roofline, compute: float, memory: float, overhead: float) -> Roofline:
    """A roofline with rates, bandwidth and starts so many times as large."""
    return dataclasses.replace(
        parent,
        flops_per_s={kind: rate * compute for kind, rate in parent.flops_per_s.items()},
        bytes_per_s=parent.bytes_per_s * memory,
        overhead_s=parent.overhead_s * overhead,
        overheads_s={kind: seconds * overhead for kind, seconds in parent.overheads_s.items()},
    )
