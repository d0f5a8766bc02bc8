"""Simulate the whole procedure behind "loses at most ... (95 % sure)", and count how often that is wrong.

    python -m coachc.bench.promise_simulation [--trials 2000] [--processes 2]

Each trial draws samples of a population whose every loss is known, and does what `coachc compile` does: the lowest bits
of several cuts, the best of them refined over all rules of ranges, scores and thresholds of early exits chosen, all of
it proven on the samples kept back. It is wrong where something is certified and truly loses more than is said. No cell
may be wrong in more than 5 % of its trials: not by the lower end of its interval, which is corrected for the number of
cells, and not all cells together.
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from coachc.bench.simulated_answers import Population, World, bits_range
from coachc.calib.certificate import LEVEL, binomial_bound
from coachc.calib.divergence import Probe
from coachc.calib.division import divide
from coachc.calib.online.policy_choice import choose
from coachc.calib.online.policy_losses import ScoredTasks, Sent, losses
from coachc.calib.online.policy_proof import prove
from coachc.calib.precision_chooser import PrecisionChooser
from coachc.calib.precision_proof import prove_precision
from coachc.calib.ranges import DEFAULT_SCHEME, Scheme
from coachc.calib.reference_answers import Trial
from coachc.calib.refine import SCHEMES, refine
from coachc.core.plan import MIN_BITS, Quantizer, Rejected

CUTS = 3
UNITS = 60_000
RULES = (DEFAULT_SCHEME, *(scheme for scheme in SCHEMES if scheme != DEFAULT_SCHEME))
SIZES = (100, 330, 1000, 2000, 5000)
KINDS = {"agreement": 0.005, "labels": 0.005, "rows": 0.005, "outputs": 0.02}


@dataclass(frozen=True)
class Cell:
    """One setting of the simulation, and how many samples a user gives."""

    world: World
    samples: int

    @property
    def name(self) -> str:
        units = "clips" if self.world.clips else "single"
        return f"{self.world.kind}, {self.world.profile}, {units}, n = {self.samples:,}"


@dataclass(frozen=True)
class Count:
    """What a cell's trials came to: all, those that certified anything, and those that were wrong to."""

    trials: int
    certified: int
    wrong: int

    @property
    def least(self) -> float:
        """Lower end of the interval of the share that is wrong, 95 % one-sided for all cells together."""
        return 1 - float(binomial_bound(self.trials - self.wrong, self.trials, LEVEL / len(cells())))


def cells() -> tuple[Cell, ...]:
    """Every setting; exits only where an answer is a class and a task has one."""
    worlds = [
        World(kind, profile, clips, budget)
        for (kind, budget), profile, clips in itertools.product(
            KINDS.items(), ("edge", "slope", "exits"), (False, True)
        )
        if profile != "exits" or kind in ("agreement", "labels")
    ]
    return tuple(Cell(world, samples) for world, samples in itertools.product(worlds, SIZES))


class SimulatedCut(PrecisionChooser):
    """A cut whose losses are a population's."""

    def __init__(self, population: Population, cut: int, tasks: np.ndarray, trial: Trial, budget: float) -> None:
        super().__init__((f"cut {cut}",), trial, budget)
        self._population, self._cut, self._tasks = population, cut, tasks

    def rows(self, quantizers: tuple[Quantizer, ...], *, kept: bool) -> Iterator[np.ndarray]:
        places = self._trial.kept if kept else self._trial.seen
        rule = int(quantizers[0].scale[0]) - 1
        return iter(self._population.losses(self._cut, rule, quantizers[0].bits, self._tasks[places]))

    def passes(self, quantizers: tuple[Quantizer, ...]) -> bool:
        """Nothing has to be run, so nothing is gained by stopping early."""
        self.losses(quantizers)
        return super().passes(quantizers)

    def quantizers(self, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> tuple[Quantizer, ...]:
        return (self.quantizer(0, bits, scheme),)

    # What refining asks of a cut besides.

    def quantizer(self, place: int, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> Quantizer:
        """The rule is told by the scale."""
        return Quantizer(self._names[place], "packed", bits, (1.0 + RULES.index(scheme),))

    def per_channel(self, place: int) -> bool:
        """Every rule is tried."""
        return True

    def raw_bytes(self, place: int) -> int:
        """Of nothing in particular."""
        return 256

    def codes(self, quantizers: tuple[Quantizer, ...], samples: int) -> list[list[np.ndarray]]:
        """Fewer bits, fewer bytes; a little more or less by rule."""
        used = 48 + int(quantizers[0].scale[0])
        codes = np.arange(64 * used // 48) % (1 << quantizers[0].bits)
        return [[codes.astype(np.uint8).reshape(1, -1, 1, 1)]]

    def probe(self, quantizers: tuple[Quantizer, ...], samples: int) -> Probe:
        """Fewer bits, more divergence."""
        seed = zlib.crc32(repr(quantizers).encode())
        return Probe(2.0 ** -quantizers[0].bits * (1 + seed % 97 / 97), 0.0, samples)


@dataclass(frozen=True)
class Promise:
    """What one trial ends with: whether anything is certified, what is said, and what is true."""

    certified: bool
    said: float
    true: float


def one_trial(population: Population, samples: int, rng: np.random.Generator) -> Promise:
    """Choose and prove on one sample of a population."""
    world = population.world
    tasks, units = population.sample(samples, rng)
    division = divide(len(tasks), units, world.budget, seed=int(rng.integers(1 << 31)))
    if not division.proves:
        return Promise(False, 1.0, 0.0)
    measures = ("a", "b") if world.kind == "outputs" else ("",)
    single = world.kind in ("agreement", "labels")
    judge: Any = SimpleNamespace(kind=world.kind, measures=measures, whole=lambda places: 1.0, whole_losses=single)
    data: Any = SimpleNamespace(samples=len(tasks), groups=units)
    trial = Trial(data, judge, division)
    found = []
    for cut in range(CUTS):
        chooser = SimulatedCut(population, cut, tasks, trial, world.budget)
        answer = chooser.lowest()
        if not isinstance(answer, Rejected):
            found.append((answer.quantizers[0].bits, cut, chooser, answer))
    if not found:
        return Promise(False, 1.0, 0.0)
    _, cut, chooser, start = min(found, key=lambda item: item[:2])
    plan = refine(chooser, start).plan  # type: ignore[arg-type]
    chosen = plan.quantizers[0]
    rule = int(chosen.scale[0]) - 1
    ladder = [chooser.quantizers(bits, RULES[rule]) for bits in bits_range()]
    base = chosen.bits - MIN_BITS
    if len(measures) > 1 or world.kind == "rows":
        rung, proof = prove_precision(chooser, ladder, base, LEVEL)
        true = population.losses(cut, rule, rung + MIN_BITS).mean(axis=0).max() if proof.steps else 0.0
        return Promise(proof.steps > 0, proof.bound, float(true))

    def sent(kept: bool) -> Sent:
        places = trial.kept if kept else trial.seen
        return Sent(
            lambda rung: chooser.losses(ladder[rung], kept=kept)[:, 0], len(ladder), division.units[places],
            division.longest,
        )  # fmt: skip

    def scored(part: Sent, places: np.ndarray | slice, kind: str) -> ScoredTasks:
        lost = population.exit_loss(kind, places)
        return ScoredTasks(part, population.scores[kind][places], lost, lost > 0)

    seen, kept = sent(kept=False), sent(kept=True)
    by_score = {kind: scored(seen, tasks[trial.seen], kind) for kind in population.scores}
    sizes = [float(bits) for bits in bits_range()]
    policy = choose(by_score, seen, sizes, base, kept.size, world.budget)
    held = scored(kept, tasks[trial.kept], policy.kind) if policy.kind else None
    proven = prove(policy, base, (seen, by_score.get(policy.kind)), (kept, held), world.budget, LEVEL)
    if not proven.proof.steps:
        return Promise(False, proven.proof.bound, 0.0)
    everything = Sent(
        lambda rung: population.losses(cut, rule, rung + MIN_BITS)[:, 0], len(ladder), population.unit,
        int(population.lengths.max()),
    )  # fmt: skip
    lost = everything.worst(proven.setting.base)
    if policy.kind:
        lost = losses(scored(everything, slice(None), policy.kind), proven.setting)
    return Promise(proven.proof.steps > 0, proven.proof.bound, float(lost.mean()))


def simulate(cell: Cell, trials: int, seed: int = 0) -> Count:
    """So many trials of one cell."""
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    population = Population(cell.world, CUTS, len(RULES), UNITS // (2 if cell.world.clips else 1), rng)
    found = [one_trial(population, cell.samples, rng) for _ in range(trials)]
    certified = [promise for promise in found if promise.certified]
    return Count(trials, len(certified), sum(promise.true > promise.said + 1e-12 for promise in certified))


def line(name: str, count: Count) -> str:
    """What a cell's trials came to."""
    certified, wrong = count.certified / count.trials, count.wrong / count.trials
    return f"{name:<46}  {certified:9.1%}  {wrong:5.1%}  {count.least:7.2%}"


def verdict(counts: Sequence[Count]) -> str:
    """Of all cells together."""
    trials, wrong = sum(count.trials for count in counts), sum(count.wrong for count in counts)
    over = sum(count.least > LEVEL for count in counts)
    return f"{trials:,} trials in {len(counts)} cells: {wrong / trials:.2%} wrong; {over} cells beyond {LEVEL:.0%}"


def main() -> None:
    """Print the table, each cell as it is done; exit code 1 if the promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{'cell':<46}  certified  wrong  at least")
    counts = []
    with ProcessPoolExecutor(options.processes) as pool:
        for cell, count in zip(cells(), pool.map(simulate, cells(), itertools.repeat(options.trials)), strict=True):
            counts.append(count)
            print(line(cell.name, count), flush=True)
    print(verdict(counts))
    trials, wrong = sum(count.trials for count in counts), sum(count.wrong for count in counts)
    if wrong > LEVEL * trials or any(count.least > LEVEL for count in counts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
