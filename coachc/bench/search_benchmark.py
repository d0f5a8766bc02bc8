"""Time and gap of every way to find candidates: `python -m coachc.bench.search_benchmark [MODEL.onnx ...]`.

Models given are searched as `coachc compile` does it, without the measuring of accuracy. Otherwise graphs are drawn:
parallel branches show where listing all ideals ends, an irreducible graph of 2,000 operators shows what is left when no
block can be taken apart. The gap is to the best partition known, or to the proven bound where none is exact.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.core.graph import GraphView, Node, Value, Work
from coachc.core.plan import MIN_BITS
from coachc.core.profile import Profile, Provenance
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.cost.units import parse_bandwidth
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.candidates.tally import Tally
from coachc.passes.cluster import cluster
from coachc.passes.partition import search
from coachc.passes.timeline import Costs
from coachc.planning.precisions import FixedPrecision
from coachc.planning.problem import Setting, load_problem

BRANCHES = ((2, 5), (4, 5), (4, 10), (4, 20), (6, 5), (6, 10), (8, 10))
IRREDUCIBLE = 2_000
#: Bits at which the found partitions are compared.
BITS = 4


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    graph : str
    nodes : int
    method : str
        As found: what "auto" has chosen.
    seconds : float
        Without clustering.
    found : Candidates
    gap : float
        Period at `BITS` over the best one of all methods, minus 1.
    proven : float
        Period at `MIN_BITS` over its own bound, minus 1.
    """

    graph: str
    nodes: int
    method: str
    seconds: float
    found: Candidates
    gap: float
    proven: float


def graph_of(reads: Sequence[Sequence[int]], rng: np.random.Generator) -> GraphView:
    """A graph from the nodes that each node reads (the input if none), with values of random size."""
    nodes = tuple(
        Node(f"n{i}", "Conv", (f"n{i}",), tuple(f"v{j}" for j in read) or ("x",), (f"v{i}",), Work())
        for i, read in enumerate(reads)
    )
    names = ["x", *(f"v{i}" for i in range(len(reads)))]
    sizes = (8 * rng.integers(100, 4000, len(names))).tolist()
    values = {name: Value(name, "float32", (size,)) for name, size in zip(names, sizes, strict=True)}
    read_by_some = {j for read in reads for j in read}
    outputs = tuple(f"v{i}" for i in range(len(reads)) if i not in read_by_some)
    return GraphView(nodes, values, ("x",), outputs)


def costs_of(graph: GraphView, rng: np.random.Generator, *, tensors: float) -> Costs:
    """A cloud 2 to 20 times as fast, and a link that sends so many values at 4 bits in half the device's time."""
    device = rng.uniform(0.2e-3, 1e-3, len(graph.nodes))
    cloud = device * rng.uniform(0.05, 0.5, len(graph.nodes))
    size_bytes = float(np.mean([value.elements for value in graph.values.values()])) / 2
    bandwidth = tensors * size_bytes / (0.5 * float(device.sum()))

    def profile(seconds: np.ndarray) -> Profile:
        guess = Provenance("guess", "drawn at random")
        return Profile("bench", "fp32", tuple(seconds.tolist()), 1e9, 1e-6, 4, guess)

    return Costs(profile(device), profile(cloud), Link(bandwidth))


def parallel(branches: int, layers: int) -> list[list[int]]:
    """A node, then branches of so many nodes in a row, then a node that reads them all."""
    reads: list[list[int]] = [[]]
    ends: list[int] = []
    for _ in range(branches):
        for layer in range(layers):
            reads.append([0 if layer == 0 else len(reads) - 1])
        ends.append(len(reads) - 1)
    reads.append(ends)
    return reads


def irreducible(nodes: int, rng: np.random.Generator, *, reach: int = 12) -> list[list[int]]:
    """Each node reads one to three of the few before it, nobody's output is lost: no block falls apart."""
    reads: list[list[int]] = [[]]
    read_by_some: set[int] = set()
    for index in range(1, nodes - 1):
        chosen = {max(index - 1 - int(step), 0) for step in rng.integers(0, reach, int(rng.integers(1, 4)))}
        late = index - reach - 1
        if late >= 0 and late not in read_by_some:
            chosen.add(late)
        read_by_some |= chosen
        reads.append(sorted(chosen))
    reads.append([index for index in range(nodes - 1) if index not in read_by_some])
    return reads


def compare(name: str, graph: GraphView, costs: Costs, methods: Sequence[str]) -> list[Row]:
    """Run some methods on one graph."""
    blocks = cluster(graph)
    tally = Tally(graph, costs)
    measured: list[tuple[float, Candidates]] = []
    for method in methods:
        start = time.perf_counter()
        found = auto.METHODS[method](graph, costs, blocks, "exact", 200_000, auto.MAX_LABELS)
        measured.append((time.perf_counter() - start, found))
    usable = [(seconds, found) for seconds, found in measured if found.method != "exact" or found.complete]
    best_s = min(float(tally.periods(found.masks, BITS).min()) for _, found in usable)
    return [
        Row(
            name,
            len(graph.nodes),
            found.method,
            seconds,
            found,
            float(tally.periods(found.masks, BITS).min()) / best_s - 1,
            float(tally.periods(found.masks, MIN_BITS).min()) / found.bound_s - 1,
        )
        for seconds, found in measured
    ]


def print_rows(rows: Sequence[Row], write: Callable[[str], object] = print) -> None:
    """One line per graph and method."""
    for row in rows:
        note = " (too many ideals: topological order only)" if row.method == "exact" and not row.found.complete else ""
        note += f" (epsilon {row.found.epsilon:.3f})" if row.found.epsilon else ""
        write(
            f"{row.graph:>16} {row.nodes:6d} {row.method:>10} {row.seconds:8.2f} s {row.found.seen:9d} seen "
            f"{len(row.found.masks):8d} kept   gap {row.gap:7.2%}   proven within {row.proven:7.2%}{note}"
        )


def search_model(path: str, device: str, bandwidth_bytes_per_s: float) -> str:
    """One line: how long clustering, candidates and search take together, and the gap."""
    spec, cloud = find_device(device, side="device"), find_device("a6000", side="cloud")
    problem = load_problem(Setting(model=path, device=spec, cloud=cloud, link=Link(bandwidth_bytes_per_s, 5e-3)))
    graph, costs = problem.graph, problem.costs
    start = time.perf_counter()
    candidates = auto.candidates(graph, costs, blocks=cluster(graph))
    found = search(graph, costs, FixedPrecision(graph, BITS), candidates=candidates)
    seconds = time.perf_counter() - start
    period_s = found.best.timeline.period_s if found.best is not None else float("inf")
    return (
        f"{problem.model.name:>16} {len(graph.nodes):6d} {found.method:>10} {seconds:8.3f} s {found.candidates:9d} seen"
        f"   {device}, {bandwidth_bytes_per_s * 8 / 1e6:g} Mbit/s: {period_s * 1e3:.2f} ms, "
        f"gap {max(period_s / found.bound_s - 1, 0):.2%}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL.onnx", help="searched as a whole; nothing synthetic then")
    parser.add_argument("--device", default="tx2")
    parser.add_argument("--bandwidth", default="20Mbit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=IRREDUCIBLE, help="of the irreducible graph; 0 leaves it out")
    options = parser.parse_args()
    for path in options.models:
        print(search_model(path, options.device, parse_bandwidth(options.bandwidth)))
    if options.models:
        return
    for branches, layers in BRANCHES:
        rng = np.random.default_rng([options.seed, branches, layers])
        graph = graph_of(parallel(branches, layers), rng)
        costs = costs_of(graph, rng, tensors=branches)
        print_rows(compare(f"{branches} x {layers}", graph, costs, ("exact", "frontier", "recursive", "mincut")))
    if options.nodes:
        for tensors in (10, 40):
            rng = np.random.default_rng([options.seed, options.nodes])
            graph = graph_of(irreducible(options.nodes, rng), rng)
            rows = compare(f"irreducible/{tensors}", graph, costs_of(graph, rng, tensors=tensors), ("exact", "mincut"))
            print_rows(rows)


if __name__ == "__main__":
    main()
