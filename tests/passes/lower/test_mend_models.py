"""Mends of whole models: what a target refuses of them is gone after lowering, and they compute the same."""

from __future__ import annotations

import onnx
import pytest

from coachc.cost.device_files import find_device
from coachc.emit.lowering import lower_for
from coachc.frontend import walk
from coachc.frontend.onnx_import import import_model
from coachc.passes.lower.mend_models import MODEL_MENDS, mend
from coachc.passes.lower.rewrite_count import Tally
from coachc.targets.rules import errors
from tests.helpers.assertions.generation_targets import ALL
from tests.helpers.assertions.whole_models import SIDES, dropouts


@pytest.mark.parametrize("limit", sorted(MODEL_MENDS))
def test_a_refused_model_is_mended(limit, tmp_path):
    for number, model in enumerate(SIDES[limit].refused):
        onnx.save(model, tmp_path / f"{number}.onnx")
        given = import_model(str(tmp_path / f"{number}.onnx")).proto
        if not errors(given, ALL["8.2"]):
            continue  # the import has mended it
        lowered, said = lower_for("m.onnx", given, [find_device("tx2", side="device")], feed={})
        assert said is not None
        assert said.failure == ""
        assert said.difference == 0
        assert errors(lowered, ALL["8.2"]) == []


def test_the_last_outputs_are_dropped_and_the_others_named():
    model = dropouts("a _", "b _")
    mended = mend(model, {"empty-outputs"}, Tally(model))
    assert [list(node.output) for node in mended.graph.node] == [["a"], ["b"]]
    model = onnx.ModelProto()
    model.CopyFrom(SIDES["empty-cycle"].refused[0])
    mended = mend(model, {"empty-cycle"}, Tally(model))
    assert [list(node.output) for node in walk.nodes(mended.graph)] == [["n/skipped_1", "y"]]


def test_nothing_else_is_touched():
    model = dropouts("a", "b")
    assert mend(model, {"opset-domain"}, Tally(model)) is model
