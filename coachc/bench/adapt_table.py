"""Throughput while the bandwidth changes, against the static optimum.

    python -m coachc.bench.adapt_table MODEL.onnx TRACES

COACH Fig. 5: 20 -> 10 -> 5 and 100 -> 50 -> 20 Mbit/s, and ten measured traces. Rows: no adaptation (the plan for the
first bandwidth), QuantPipe's precision (no floor), Eq. 11 as printed, the default controller at that one cut, and with
the cuts a bundle for 2 to 100 Mbit/s holds. No task exits: what is compared is how each follows the link. Precision is
given, stage times are estimates, times are simulated; the controller sees its own transfers only.

The static optimum of a bandwidth is the shortest period of any cut at the given precision. Settled: the first moment
after a step from which 20 tasks in a row take at most 10 % longer than that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.evaluate.bandwidth_trace import Trace, load_trace, steps
from coachc.evaluate.replay import Outcome, Setup, replay
from coachc.evaluate.tasks import Sent
from coachc.passes.partition import Limits
from coachc.passes.timeline import stage_times, uniform, wire_bytes
from coachc.planning.bandwidth_range import plan_cuts
from coachc.planning.calibration import without_samples
from coachc.planning.make_plan import make_plan
from coachc.planning.online import alone_policies
from coachc.planning.problem import Problem, Setting, load_problem
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung

MBIT = 1e6 / 8
RTT_S = 5e-3
STEP_S = 15.0
TRACE_S = 120.0
#: Tasks looked at together, and how much longer than the optimum they may take.
WINDOW, TOLERANCE = 20, 1.1
TRACES = (
    "ghent4g/bus_0001", "ghent4g/car_0002", "ghent4g/foot_0002", "ghent4g/train_0002", "ghent4g/tram_0001",
    "ucc5g/Driving_B_2019.12.16_07.22.43", "ucc5g/Static_B_2020.01.16_10.43.34", "fcc_hd/trace0000",
    "norway3g/report.2010-09-21_1622CEST", "norway3g/report.2011-02-14_2032CET",
)  # fmt: skip


class Blank:
    """Tasks of which nothing is known but their bytes."""

    def __init__(self, policies: dict[str, Policy]) -> None:
        self._policies = policies

    def __len__(self) -> int:
        return 1

    def feature(self, task: int, cut: str) -> np.ndarray:
        return np.zeros(1, np.float32)

    def sent(self, task: int, cut: str, rung: int) -> Sent:
        return Sent(0, 1.0, self._policies[cut].rungs[rung].size_bytes)

    def alone(self, task: int) -> int:
        return 0

    def truth(self, task: int) -> int:
        return 0


@dataclass(frozen=True)
class Segment:
    """What one row did in one stretch of constant bandwidth."""

    bandwidth: float
    throughput: float
    optimum: float
    settled_s: float | None


def at_bandwidth(setting: Setting, bandwidth: float) -> Problem:
    """The same problem with another link."""
    return load_problem(
        Setting(model=setting.model, device=setting.device, cloud=setting.cloud, link=Link(bandwidth, RTT_S))
    )


def policy(problem: Problem, name: str, mask: int, bits: int) -> Policy:
    """A policy without exits: every precision, packed, the given one the floor."""
    graph = problem.graph
    cut = graph.cut_values(mask)
    rungs = []
    for width in range(2, 9):
        size = sum(wire_bytes(graph.values[q.name], q) for q in uniform(graph, cut, width))
        rungs.append(Rung((width,) * len(cut), float(size)))
    base = bits - 2
    timeline = stage_times(graph, mask, uniform(graph, cut, bits), problem.costs)
    adjust = (float("inf"),) * base + (float("-inf"),) * (len(rungs) - base)
    return Policy("default", name, None, None, tuple(rungs), base, adjust, timeline.device_s, timeline.cloud_s)


class Optimum:
    """Shortest period at a bandwidth, searched at some and looked up at the nearest below in between."""

    def __init__(self, setting: Setting, bits: int) -> None:
        self._setting, self._bits = setting, bits
        self._known: dict[float, float] = {}

    def period_s(self, bandwidth: float) -> float:
        if bandwidth not in self._known:
            problem = at_bandwidth(self._setting, bandwidth)
            plan = make_plan(problem, without_samples(problem, self._bits), Limits()).plan
            self._known[bandwidth] = plan.way.timeline.period_s
        return self._known[bandwidth]


def rows(setting: Setting, bits: int, first: float) -> list[tuple[str, str, dict[str, Policy], str]]:
    """(row, kind, policies, first cut)."""
    problem = at_bandwidth(setting, first)
    plan = make_plan(problem, without_samples(problem, bits), Limits(), mode="split").plan
    one = {"split": policy(problem, "split", plan.way.mask, bits)}
    low, high = 2 * MBIT, 100 * MBIT
    middle = at_bandwidth(setting, float(np.sqrt(low * high)))
    found = plan_cuts(middle, without_samples(middle, bits), Limits(), (low, high))
    ways = [way for way in found.ways if way.mode in ("split", "cloud-raw")]
    several = {way.name: policy(problem, way.name, way.mask, bits) for way in ways}
    several["device-only"] = alone_policies("device-only", problem)["default"]
    return [
        ("no adaptation", "none", {"split": one["split"]._replace(name="none")}, "split"),
        ("QuantPipe-like", "quantpipe", {"split": one["split"]._replace(name="none")}, "split"),
        ("paper, Eq. 11", "paper", {"split": one["split"]._replace(name="paper")}, "split"),
        ("default, one cut", "default", one, "split"),
        (f"default, {len(several)} cuts", "default", several, found.plan.way.name),
    ]


def follow(kind: str, policies: dict[str, Policy], cut: str, trace: Trace, until_s: float) -> list[Outcome]:
    """Saturate the pipeline for some time."""
    fastest = min(policy.device_s for policy in policies.values())
    count = int(until_s / fastest) + 100
    setup = Setup(trace, RTT_S, trace.rate_at(0.0) or float(trace.rates.max()))
    outcomes = replay(kind, Blank(policies), [0] * count, policies, cut, setup)
    return [outcome for outcome in outcomes if outcome.start_s < until_s]


def segment(outcomes: Sequence[Outcome], start_s: float, end_s: float, bandwidth: float, optimum_s: float) -> Segment:
    """Throughput and settling of one stretch; the throughput is that after settling, or of the last half."""
    finishes = np.sort([o.finish_s for o in outcomes])
    inside = finishes[(finishes >= start_s) & (finishes < end_s)]
    settled = None
    if len(inside) > WINDOW:
        spans = inside[WINDOW:] - inside[:-WINDOW]
        good = np.flatnonzero(spans <= WINDOW * optimum_s * TOLERANCE)
        settled = float(inside[good[0]] - start_s) if len(good) else None
    since = start_s + settled if settled is not None else (start_s + end_s) / 2
    late = inside[inside >= since]
    throughput = (len(late) - 1) / (late[-1] - late[0]) if len(late) > 1 else 0.0
    return Segment(bandwidth, throughput, 1 / optimum_s, settled)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("traces", nargs="?")
    parser.add_argument("--device", default="tx2")
    parser.add_argument("--bits", type=int, default=4)
    options = parser.parse_args()
    device, cloud = find_device(options.device, side="device"), find_device("a6000", side="cloud")
    setting = Setting(model=options.model, device=device, cloud=cloud, link=Link(20 * MBIT, RTT_S))
    optimum = Optimum(setting, options.bits)
    print(
        f"{Path(options.model).stem} on {options.device}, {options.bits} bits, {RTT_S * 1e3:g} ms round trip; simulated"
    )
    for rates in ((20, 10, 5), (100, 50, 20)):
        print(
            "\n"
            + " -> ".join(map(str, rates))
            + " Mbit/s: tasks/s after settling (share of the static optimum), settled after"
        )
        trace = steps([STEP_S] * (len(rates) - 1), [rate * MBIT for rate in rates])
        for name, kind, policies, cut in rows(setting, options.bits, rates[0] * MBIT):
            outcomes = follow(kind, policies, cut, trace, STEP_S * len(rates))
            cells = []
            for place, rate in enumerate(rates):
                found = segment(
                    outcomes, place * STEP_S, (place + 1) * STEP_S, rate * MBIT, optimum.period_s(rate * MBIT)
                )
                settled = f"{found.settled_s:.2f} s" if found.settled_s is not None else "never"
                cells.append(f"{found.throughput:7.1f} ({found.throughput / found.optimum:4.0%}) {settled:>7}")
            print(f"  {name:<18} " + " | ".join(cells), flush=True)
    if options.traces:
        _traces(setting, options.bits, options.traces, optimum)


def _traces(setting: Setting, bits: int, path: str, optimum: Optimum) -> None:
    print(f"\nshare of the static optimum of each moment, first {TRACE_S:g} s of each trace")
    grid = np.geomspace(0.1, 400, 25)
    periods = [optimum.period_s(rate * MBIT) for rate in grid]
    for name in (name for name in TRACES if name in json.loads(Path(path).read_text())):
        trace = load_trace(path, name)
        times = np.arange(0.05, TRACE_S, 0.1)
        rates = np.array([trace.rate_at(t) for t in times]) / MBIT
        # Between two bandwidths of the grid the optimum lies between theirs; in an outage it is the device's.
        best = float(np.sum(0.1 / np.interp(np.log(np.maximum(rates, grid[0])), np.log(grid), periods)))
        first = max(trace.rate_at(0.0), 0.5 * MBIT)
        cells = []
        for _, kind, policies, cut in rows(setting, bits, first):
            outcomes = follow(kind, policies, cut, trace, TRACE_S)
            done = sum(o.finish_s < TRACE_S for o in outcomes)
            cells.append(f"{done / best:4.0%}")
        print(f"  {name:<40} mean {rates.mean():6.1f} Mbit/s  " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
