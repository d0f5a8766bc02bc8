"""A model in segments is the model, whatever skips them, and every weight is in one of them."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import onnx
import pytest

from coachc.errors import InternalError
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import Sketch
from coachc.passes.ideals import all_ideals
from coachc.passes.segments import edge, split_segments
from tests.helpers.bundles import save
from tests.helpers.halves import GRAPHS

pytestmark = pytest.mark.needs("onnxruntime")


def chains_of(graph, count, length, seed):
    """Random chains of proper ideals, each below the next, up to the whole model."""
    rng = random.Random(seed)
    ideals = [mask for mask in all_ideals(graph)[0] if 0 < mask < graph.full_mask]
    found = []
    for _ in range(count):
        chain = [graph.full_mask]
        while len(chain) <= length:
            below = [mask for mask in ideals if mask != chain[0] and not mask & ~chain[0]]
            if not below:
                break
            chain.insert(0, rng.choice(below))
        found.append(chain)
    return found


def run_in_order(segments, feed):
    """Each segment is fed what it declares, from the inputs and everything before it."""
    known = dict(feed)
    for segment in segments:
        taken = {item.name: known[item.name] for item in segment.graph.input}
        made = ort.run(segment, taken)
        assert not made.keys() & known.keys()
        known.update(made)
    return known


@pytest.mark.parametrize("name", GRAPHS)
def test_segments_in_order_are_the_model(name, tmp_path):
    model = import_model(save(GRAPHS[name](), tmp_path / "net.onnx"))
    graph = fuse(model)
    feed = ort.seeded_inputs(model.proto, 5)
    whole = ort.run(model.proto, feed)
    weights = Counter(item.name for item in model.proto.graph.initializer)
    for chain in chains_of(graph, 4, 3, seed=1):
        if any(not graph.values[v].cuttable for mask in chain for v in graph.cut_values(mask)):
            continue
        segments = split_segments(model, graph, chain)
        assert len(segments) == len(chain)
        for segment in segments:
            check(segment)
        known = run_in_order(segments, feed)
        for output, wanted in whole.items():
            np.testing.assert_array_equal(known[output], wanted)
        operators = Counter(node.name for segment in segments for node in segment.graph.node)
        assert all(operators[member] == 1 for node in graph.nodes for member in node.members)
        held = Counter(item.name for segment in segments for item in segment.graph.initializer)
        large = {item.name for item in model.proto.graph.initializer if np.prod(item.dims) > 16}
        assert all(held[item] == weights[item] for item in large)


def test_a_segment_takes_what_it_needs_from_any_before_it(tmp_path):
    """The last one concatenates a value of each of the three others."""
    sketch = Sketch(0)
    first = sketch.conv(sketch.input())
    second = sketch.conv(first)
    joined = sketch.concat(first, second, sketch.conv(second))
    model = import_model(save(sketch.model(sketch.head(joined), opset=13), tmp_path / "net.onnx"))
    graph = fuse(model)
    segments = split_segments(model, graph, [0b1, 0b11, 0b111, graph.full_mask])
    makers = [{item.name for item in segment.graph.output} for segment in segments]
    taken = {item.name for item in segments[-1].graph.input}
    assert [len(taken & made) for made in makers] == [1, 1, 1, 0]
    feed = ort.seeded_inputs(model.proto, 5)
    known = run_in_order(segments, feed)
    np.testing.assert_array_equal(known["logits"], ort.run(model.proto, feed)["logits"])


def test_what_is_no_chain_is_our_mistake(tmp_path):
    model = import_model(save(GRAPHS["inception"](), tmp_path / "net.onnx"))
    graph = fuse(model)
    ideals = [mask for mask in all_ideals(graph)[0] if 0 < mask < graph.full_mask]
    apart = next((one, other) for one, other in itertools.combinations(ideals, 2) if one & ~other and other & ~one)
    for masks in (
        [],
        [ideals[0]],
        [0, graph.full_mask],
        [ideals[0], ideals[0], graph.full_mask],
        [*apart, graph.full_mask],
    ):
        with pytest.raises(InternalError, match="no chain of ideals"):
            split_segments(model, graph, masks)


def test_an_edge_gives_what_it_takes(tmp_path):
    model = import_model(save(GRAPHS["chain"](), tmp_path / "net.onnx"))
    graph = fuse(model)
    inner = graph.nodes[0].outputs[0]
    made = edge(model, graph, [("input", "input/sent"), (inner, inner)])
    assert [item.name for item in made.graph.input] == ["input", inner]
    assert [item.name for item in made.graph.output] == ["input/sent", inner]
    assert made.opset_import == model.proto.opset_import
    back = edge(model, graph, [("input/sent", "input")])
    onnx.checker.check_model(back, full_check=True)
    array = np.ones(graph.values["input"].shape, np.float32)
    np.testing.assert_array_equal(ort.run(back, {"input/sent": array})["input"], array)
