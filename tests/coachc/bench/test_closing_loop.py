"""The parts of the closed loop that need no second program."""

from __future__ import annotations

import pytest

from coachc.bench.closing_loop import longer_halves, wrong_profile
from coachc.calib.profiles.layer_owners import map_layers
from coachc.core.graph import WORK_KINDS
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models import synthetic
from coachc.planning.measure_model import measure_model
from coachc.runtime.bundle.profile_file import Segment
from tests.helpers.bundles import save


def test_the_longer_half_of_every_cut():
    parts = [
        Segment("whole", (), 0.5), Segment("device", ("a",), 0.2), Segment("cloud", ("a",), 0.3),
        Segment("device", ("b", "c"), 0.4), Segment("cloud", ("b", "c"), 0.1),
    ]  # fmt: skip
    assert longer_halves(parts) == {(): 0.5, ("a",): 0.3, ("b", "c"): 0.4}


@pytest.mark.needs("onnxruntime")
def test_a_wrong_profile_is_wrong_by_the_kind_of_operator(tmp_path):
    model = import_model(save(synthetic.residual(), tmp_path / "net.onnx"))
    graph = fuse(model)
    true = measure_model(model, graph, repeats=2, cuts=1)
    factors = {kind: 1.0 + place for place, kind in enumerate(WORK_KINDS)}
    wrong = wrong_profile(true, model, graph, factors)
    assert wrong.segments == ()

    def by_operator(found):
        return map_layers([(layer.name, layer.seconds) for layer in found.layers], model, graph).seconds

    kinds = {node.work.kind for node in graph.nodes}
    assert len(kinds) > 1
    for node, before_s, after_s in zip(graph.nodes, by_operator(true), by_operator(wrong), strict=True):
        assert after_s == pytest.approx(before_s * factors[node.work.kind])
