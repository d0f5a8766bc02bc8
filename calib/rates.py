"""Bytes that every value of a model would take on the wire, before any cut is measured.

The search over cuts needs an idea of the bytes of all of them. One pass over a few samples quantizes every value over
its whole range and takes the entropy of the packed bytes, which is what a Huffman coder comes close to. Clipped ranges
have finer steps and more entropy, so this is the optimistic end; the bytes of cuts that are measured replace it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import onnx

from calib.coding import OPTIMISM, packed_entropy_bytes
from calib.dataset import Dataset
from calib.ranges import affine
from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.frontend import ort
from runtime.bundle import numeric

SAMPLES = 8


def measure_rates(model: onnx.ModelProto, graph: GraphView, data: Dataset) -> Mapping[str, tuple[float, ...]]:
    """Mean bytes of each quantizable value at 2 to 8 bits.

    Parameters
    ----------
    model : onnx.ModelProto
        The whole model.
    graph : GraphView
    data : Dataset

    Returns
    -------
    mapping of str to tuple of 7 floats
    """
    names = [name for name in graph.ordered_values if graph.values[name].quantizable and graph.values[name].cuttable]
    session = ort.session(with_outputs(model, names), level="all")
    wanted = {item.name for item in session.get_inputs()}
    outputs = [name for name in names if name not in wanted]

    def passes() -> itertools.chain[dict[str, np.ndarray]]:
        return itertools.chain(
            {**feed, **dict(zip(outputs, session.run(outputs, {n: feed[n] for n in wanted}), strict=True))}
            for feed in itertools.islice(data, SAMPLES)
        )

    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for made in passes():
        for name in names:
            finite = made[name][np.isfinite(made[name])]
            low[name] = min(low[name], float(finite.min(initial=0.0)))
            high[name] = max(high[name], float(finite.max(initial=0.0)))
    total = {name: np.zeros(MAX_BITS - MIN_BITS + 1) for name in names}
    count = 0
    for made in passes():
        count += 1
        for name in names:
            for bits in range(MIN_BITS, MAX_BITS + 1):
                quantizer = affine(name, [low[name]], [high[name]], bits)
                codes = numeric.quantize(made[name], quantizer.scale, quantizer.zero_point, bits)
                total[name][bits - MIN_BITS] += packed_entropy_bytes(codes, bits)
    return {name: tuple((OPTIMISM * sizes / max(count, 1)).tolist()) for name, sizes in total.items()}


def with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with inner values among its outputs."""
    known = {item.name for item in (*model.graph.output, *model.graph.input)}
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return extended
