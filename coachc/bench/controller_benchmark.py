"""What the online controller costs per task and per stream: `python -m coachc.bench.controller_benchmark [--json]`.

Scorers, features and answers are drawn; a tenth of the tasks would exit. What counts is the size: labels x features.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from coachc.runtime.online.controller import Answer, Observation, State, decide, learn
from coachc.runtime.online.feature import unit
from coachc.runtime.online.policy import ExitRule, MemoryRule, Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import SCORES, Scorer, score

SIZES = ((10, 64), (100, 512), (1000, 1024))
MEMORY = 64
#: Features that take turns, so that no task finds only its own numbers in the caches.
FEATURES = 256
EXIT_SHARE = 0.1


@dataclass(frozen=True)
class Result:
    """One score at one size.

    Attributes
    ----------
    labels, features : int
    kind : str
    decide_s, decide_p99_s, learn_s : float
        Of one call: median, 99th percentile, median.
    state_bytes : int
        Arrays that one stream's state owns; the anchors, which all streams share, are not among them.
    """

    labels: int
    features: int
    kind: str
    decide_s: float
    decide_p99_s: float
    learn_s: float
    state_bytes: int


def drawn(labels: int, size: int, kind: str, rng: np.random.Generator) -> tuple[Policy, np.ndarray]:
    """A policy with both ways to exit, and features near its centres, float32, shape (FEATURES, size)."""
    centres = np.maximum(rng.standard_normal((labels, size)), 0).astype(np.float32)
    near = centres[rng.integers(0, labels, FEATURES)]
    features = np.maximum(near + 0.5 * rng.standard_normal(near.shape), 0).astype(np.float32)
    mean = centres.mean(axis=0) if kind == "margin" else np.zeros(size, np.float32)
    weights = unit(centres - mean)
    scorer = Scorer(kind, tuple(range(labels)), weights, np.zeros(labels, np.float32), mean)
    threshold = float(np.quantile([score(scorer, feature, weights).score for feature in features], 1 - EXIT_SHARE))
    lengths = np.linalg.norm(centres - mean, axis=1).astype(np.float32)
    empty = np.zeros(0, np.float32)
    rule = ExitRule(
        scorer,
        (threshold, 2 * threshold),
        0.005,
        threshold / 2,
        0.02,
        empty if kind == "head" else lengths,
        empty if kind == "head" else np.full(labels, 50, np.float32),
    )
    rungs = tuple(Rung((bits,), bits * 12544.0, 0.0005) for bits in (2, 3, 4, 6, 8))
    adjust = (threshold, 0.75 * threshold, 0.5 * threshold, -math.inf, -math.inf)
    policy = Policy(
        "default", "cut", rule, MemoryRule(0.99, 0.005, MEMORY, mean), rungs, 3, adjust, device_s=0.02, cloud_s=0.01
    )
    return policy, features


def state_bytes(state: State) -> int:
    """Arrays that the state owns: not those that belong to the policy it was made of."""
    parts = [part for part in (state.centres, state.memory) if part is not None]
    arrays = [value for part in parts for value in vars(part).values() if isinstance(value, np.ndarray)]
    shared = ("_anchors", "_mean")
    borrowed = sum(getattr(part, name).nbytes for part in parts for name in shared if hasattr(part, name))
    return sum(array.nbytes for array in arrays) - borrowed


def times_of(function: Callable[[int], object], seconds: float) -> list[float]:
    """Seconds of each call, sorted; calls are numbered and go on for about so long."""
    times: list[float] = []
    for index in range(50):
        function(index)
    end = time.perf_counter() + seconds
    while len(times) < 200 or time.perf_counter() < end:
        start = time.perf_counter()
        function(len(times))
        times.append(time.perf_counter() - start)
    return sorted(times)


def measure(labels: int, size: int, kind: str, *, seconds: float, seed: int) -> Result:
    """Decisions on a stream whose memory is full, and the server's answers to it."""
    rng = np.random.default_rng(seed)
    policy, features = drawn(labels, size, kind, rng)
    state = State(policy)
    seen = [Observation(feature, 5e6, draw=1.0) for feature in features]
    decisions = [decide(observation, state, policy) for observation in seen]
    # What the server says is what the device would have said: a stream without drift, so that nothing is given up.
    answers = [Answer(decision.label, 0.9) for decision in decisions]

    def learn_of(index: int) -> None:
        learn(state, policy, features[index % FEATURES], decisions[index % FEATURES], answers[index % FEATURES])

    learning = times_of(learn_of, seconds)
    deciding = times_of(lambda index: decide(seen[index % FEATURES], state, policy), seconds)
    return Result(
        labels,
        size,
        kind,
        decide_s=statistics.median(deciding),
        decide_p99_s=deciding[int(0.99 * len(deciding))],
        learn_s=statistics.median(learning),
        state_bytes=state_bytes(state),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each number; default %(default)s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [
        measure(labels, size, kind, seconds=options.seconds, seed=options.seed)
        for labels, size in SIZES
        for kind in SCORES
    ]
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
        return
    print(f"{'labels x features':<20}{'score':<14}{'decide us':>10}{'p99':>8}{'learn us':>10}{'state kB':>10}")
    for r in results:
        cells = f"{r.decide_s * 1e6:>10.1f}{r.decide_p99_s * 1e6:>8.1f}{r.learn_s * 1e6:>10.1f}"
        print(f"{f'{r.labels} x {r.features}':<20}{r.kind:<14}{cells}{r.state_bytes / 1e3:>10,.0f}")
    print(
        f"""
One task at a time, a memory of {MEMORY} full. state: arrays that one stream owns; the anchors, which all streams of a
policy share, are not counted. A head has no centres to move."""
    )


if __name__ == "__main__":
    main()
