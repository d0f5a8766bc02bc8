"""The whole way in a few seconds: five operators, compiled, served and run over loopback. Run this first."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from coachc.models.synthetic import Sketch
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import compile_json, serving, succeed
from tests.helpers.device_run import run_all
from tests.helpers.sockets import assert_same_outputs, feeds_of, outputs_over_socket, quantized_reference

pytestmark = [pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools")]


def five_nodes() -> onnx.ModelProto:
    """Conv, Relu, GlobalAveragePool, Flatten, Gemm."""
    sketch = Sketch(seed=0)
    model = sketch.model(sketch.head(sketch.conv(sketch.input())), opset=13)
    assert len(model.graph.node) == 5
    return model


def test_compile_check_serve_run(tmp_path):
    model = five_nodes()
    path = save(model, tmp_path / "five.onnx")
    samples = samples_for(model, tmp_path / "samples.npz", count=40, labels=False)
    bundle = tmp_path / "five.coach"

    flags = ["--calib", samples, "--mode", "split", "--task", "classify", "--bandwidth", "100kbit"]
    plan = compile_json(path, bundle, *flags)["plan"]
    assert plan["mode"] == "split"
    succeed("check", bundle)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = feeds_of(samples, 40)
    whole = [dict(zip(["logits"], session.run(None, feed), strict=True)) for feed in feeds]
    classes = tuple(int(outputs["logits"].argmax()) for outputs in whole)
    assert run_all(str(bundle), None, str(samples), cut="device-only").predictions == classes

    with serving(bundle) as address:
        split = run_all(str(bundle), address, str(samples), policy="none")
        answers = outputs_over_socket(bundle, address, feeds)
    assert_same_outputs(answers, quantized_reference(bundle, feeds))
    # 40 samples cannot certify the budget of 0.5 %, so the bits were chosen to change none of these answers.
    assert split.predictions == classes
    assert (split.tasks, split.mode) == (40, "split")
    assert split.bytes_per_task > split.payload_bytes_per_task == plan["bytes"]
    difference = max(float(np.abs(a["logits"] - w["logits"]).max()) for a, w in zip(answers, whole, strict=True))
    assert 0 < difference < max(float(np.abs(w["logits"]).max()) for w in whole) / 2
