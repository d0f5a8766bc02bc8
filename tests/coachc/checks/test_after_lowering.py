"""What `check MODEL` says of a model that compile would write another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from coachc.checks import after_lowering as checked
from coachc.checks.after_lowering import after_lowering
from coachc.cost.device_files import find_device
from coachc.errors import ModelError
from coachc.passes.lower.limits import Lowered
from tests.helpers.onnx_models import constant, imported, net, op

TX2 = find_device("tx2", side="device")


def padded(folder: Path, *names: str) -> onnx.ModelProto:
    """Pads that TensorRT 8.2 refuses because they are negative, one after the other."""
    ends = ["x", *(f"y{n}" for n in range(len(names)))]
    nodes = [
        op("Pad", f"{before} p", after, name=name) for name, before, after in zip(names, ends, ends[1:], strict=False)
    ]
    pads = [constant("p", [0, 0, -1, 0, 0, 0, 0, 0], np.int64)]
    return imported(net(nodes, ["x"], [ends[-1]], pads, opset=13), folder)[0].proto


def told(model: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    return {one.node: (one.severity, one.remedy) for one in after_lowering(model, TX2)}


def test_what_is_rewritten_is_a_warning_with_what_is_done(tmp_path):
    severity, remedy = told(padded(tmp_path, "a"))["a"]
    assert severity == "warning"
    assert "coachc compile rewrites it for tx2 (opset 13: Pad 1)" in remedy


@pytest.mark.parametrize(
    ("written", "severities"),
    [
        ("a", {"a": "error", "b": "warning"}),  # it stayed, as it was
        ("a/slice", {"a": "error", "b": "warning"}),  # what took its place is refused
        ("elsewhere", {"a": "error", "b": "error"}),  # nobody knows for whom this was written
    ],
)
def test_what_takes_a_place_and_is_refused_is_told_of_the_node(written, severities, monkeypatch, tmp_path):
    given = padded(tmp_path, "a", "b")

    def as_if(model, specs):
        left = onnx.ModelProto()
        left.CopyFrom(model)
        left.graph.node[0].name = written
        left.graph.node[1].CopyFrom(op("Identity", "y0", "y1", name="b"))
        return Lowered(left, (("Pad", 2),), 13, 13)

    monkeypatch.setattr(checked, "lowered_for", as_if)
    assert {node: severity for node, (severity, _) in told(given).items()} == severities


def test_where_what_is_written_is_no_valid_model_nothing_is_promised(monkeypatch, tmp_path):
    def fail(model, specs):
        raise ModelError("no valid model")

    monkeypatch.setattr(checked, "lowered_for", fail)
    assert told(padded(tmp_path, "a"))["a"][0] == "error"
