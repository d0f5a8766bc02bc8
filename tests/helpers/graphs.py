"""Graphs of operators without an ONNX model behind them, and profiles without a machine."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from coachc.core.graph import GraphView, Node, Value, Work
from coachc.core.profile import Profile, Provenance
from coachc.cost.link import Link
from coachc.passes.timeline import Costs


def graph_of(reads, *, elements=None, dtypes=None, uncuttable=(), outputs=None, works=None) -> GraphView:
    """A graph from what each node reads.

    Parameters
    ----------
    reads : list of str
        For node i, which makes value "v<i>", the values it reads, separated by spaces; "x" is the graph input.
    elements, dtypes : mapping of value name, optional
        8 elements of float32 unless told otherwise.
    uncuttable : collection of str
    outputs : tuple of str, optional
        What nobody reads if not given.
    works : mapping of node index to Work, optional
    """
    elements, dtypes, works = elements or {}, dtypes or {}, works or {}
    made = [f"v{index}" for index in range(len(reads))]
    read = {name for names in reads for name in names.split()}
    inputs = tuple(sorted(read - set(made))) or ("x",)
    nodes = tuple(
        Node(f"n{index}", "Conv", (f"n{index}",), tuple(names.split()), (f"v{index}",), works.get(index, Work()))
        for index, names in enumerate(reads)
    )
    values = {
        name: Value(name, dtypes.get(name, "float32"), (elements.get(name, 8),), name not in uncuttable)
        for name in (*inputs, *made)
    }
    leaves = tuple(name for name in made if name not in read)
    return GraphView(nodes, values, inputs, leaves if outputs is None else outputs)


CHAIN = ("x", "v0", "v1", "v2")
DIAMOND = ("x", "v0", "v0", "v1 v2", "v3")


def random_graph(rng: np.random.Generator, *, most: int = 12, source: bool = True) -> GraphView:
    """A random acyclic graph of 2 to `most` nodes, sparse or dense, with values of random size and kind."""
    count = int(rng.integers(2, most + 1))
    density = rng.uniform(0.1, 0.7)
    reads = []
    for index in range(count):
        above = [f"v{i}" for i in range(index) if rng.random() < density][-4:]
        if not above:
            above = ["x" if index == 0 or not source or rng.random() < 0.3 else f"v{rng.integers(index)}"]
        reads.append(" ".join(above))
    names = ["x", *(f"v{i}" for i in range(count))]
    works = {
        i: Work(flops=1, **{f"{kind}_elements": int(rng.integers(0, 5000)) for kind in ("weight", "input", "output")})
        for i in range(count)
    }
    return graph_of(
        reads,
        elements={name: int(rng.integers(1, 4000)) for name in names},
        dtypes={name: "int64" for name in names if rng.random() < 0.1},
        uncuttable={name for name in names if rng.random() < 0.05},
        works=works,
    )


def profile(seconds, *, bytes_per_s: float = 1e9, overhead_s: float = 0.0, element_bytes: int = 4) -> Profile:
    return Profile(
        "bench", "fp32", tuple(seconds), bytes_per_s, overhead_s, element_bytes, Provenance("guess", "made up")
    )


def costs_of(device, cloud, *, bandwidth: float = 1e6, rtt_s: float = 0.0, workers: int = 1, **fields) -> Costs:
    return Costs(profile(device, **fields), profile(cloud, **fields), Link(bandwidth, rtt_s), workers)


def random_costs(graph: GraphView, rng: np.random.Generator) -> Costs:
    """Profiles that make the device a few times slower than the cloud, and a link anywhere from idle to choking."""
    count = len(graph.nodes)
    device = rng.uniform(0, 1e-3, count) * (rng.random(count) > 0.15)
    cloud = device * rng.uniform(0.02, 1.2, count)
    found = costs_of(
        device,
        cloud,
        bandwidth=float(10 ** rng.uniform(5, 8)),
        rtt_s=float(rng.choice([0.0, 1e-3])),
        workers=int(rng.integers(1, 4)),
        overhead_s=float(rng.choice([0.0, 2e-5])),
        bytes_per_s=float(10 ** rng.uniform(7.5, 10)),
    )
    # Of every other one the program's own time was measured.
    program_s = 0.4e-3 if found.link.rtt_s else 0.0
    return dataclasses.replace(found, device=dataclasses.replace(found.device, program_s=program_s))


def down_closed_subsets(graph: GraphView) -> list[int]:
    """Every ideal, found among all subsets by the definition."""
    edges = [
        (graph.producer[value], reader)
        for reader, node in enumerate(graph.nodes)
        for value in node.inputs
        if value in graph.producer
    ]
    found = []
    for bits in itertools.product((0, 1), repeat=len(graph.nodes)):
        if all(bits[before] or not bits[after] for before, after in edges):
            found.append(sum(bit << index for index, bit in enumerate(bits)))
    return found
