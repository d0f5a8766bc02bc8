"""Engines built for real, with TensorRT-RTX, for GPUs that are not here."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import onnx.helper as oh
import pytest
from onnx import TensorProto, numpy_helper

from coachc.cost.device_files import all_devices, find_device
from coachc.emit.rtx import build_rtx, check_rtx, rtx_engines
from coachc.errors import ToolchainError
from coachc.models.synthetic import residual
from tests.helpers.commands import REPOSITORY

pytestmark = pytest.mark.needs("tensorrt_rtx")

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
BUILDABLE = {"a100": "8.0", "a6000": "8.6", "l4": "8.9", "t4": "7.5"}


def model_of(nodes, inputs, outputs, initializers=(), opset=13):
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers]
    infos = [[oh.make_tensor_value_info(n, t, s) for n, t, s in group] for group in (inputs, outputs)]
    graph = oh.make_graph(nodes, "g", *infos, tensors)
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=8)


def quantizer(zero_point):
    """QuantizeLinear with a zero point, float32 to its type."""
    kind = oh.np_dtype_to_tensor_dtype(np.asarray(zero_point).dtype)
    node = oh.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="the quantizer")
    return model_of(
        [node], [("x", 1, [1, 4])], [("q", kind, [1, 4])], [("s", np.float32(0.5)), ("z", zero_point)]
    ).SerializeToString()


def int8_pair():
    """A convolution with quantized input and weight, zero points 0."""
    weights = np.random.default_rng(0).integers(-127, 127, (8, 4, 3, 3)).astype(np.int8)
    nodes = [
        oh.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="q"),
        oh.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dq"),
        oh.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="wdq", axis=0),
        oh.make_node("Conv", ["xd", "wd"], ["y"], name="conv"),
    ]
    values = [("s", np.float32(0.1)), ("z", np.int8(0)), ("w", weights)]
    values += [("ws", np.full(8, 0.01, np.float32)), ("wz", np.zeros(8, np.int8))]
    return model_of(nodes, [("x", 1, [1, 4, 8, 8])], [("y", 1, [1, 8, 6, 6])], values).SerializeToString()


@pytest.fixture(scope="module")
def model():
    return residual().SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_plan_for_every_gpu_it_knows(model, capability, precision):
    if (capability, precision) == ("7.5", "fp32"):
        with pytest.raises(ToolchainError, match="FP32 GEMM is not supported") as caught:
            build_rtx(model, capability)
        assert caught.value.hint.startswith("--cloud-precision fp16 builds it")
        return
    plan, log = build_rtx(model, capability, precision=precision)
    assert len(plan) > 10_000
    assert f"for compute capability {capability}" in log
    assert f"plan    {len(plan)} bytes, sha256 {hashlib.sha256(plan).hexdigest()}" in log
    assert ("nodes in half precision" in log) == (precision == "fp16")


def test_every_target_is_built_or_refused_with_the_reason(model):
    for spec in all_devices().values():
        if "cloud" not in spec.sides:
            continue
        if spec.name in BUILDABLE:
            assert spec.compute_capability == BUILDABLE[spec.name]
            check_rtx(spec)
        else:
            with pytest.raises(ToolchainError, match=f"builds no engine for {spec.name}") as caught:
                check_rtx(spec)
            assert caught.value.context == (
                "expected  compute capability 7.5, 8.0, 8.6, 8.9, 12.0, 12.1",
                f"found     {spec.compute_capability}",
            )
            assert "the server builds an engine by itself" in caught.value.hint
    with pytest.raises(ToolchainError, match="builds no engine for local") as caught:
        check_rtx(find_device("local", side="cloud"))
    assert "it is no GPU" in caught.value.context[1]


BUILD = """
import hashlib, sys
from coachc.emit.rtx import build_rtx
from coachc.models.synthetic import residual
plan, log = build_rtx(residual().SerializeToString(), "8.6", precision="fp16")
print(hashlib.sha256(plan).hexdigest(), hashlib.sha256(log.encode()).hexdigest())
"""


def test_two_builds_are_the_same_bytes_in_one_process_and_in_two(model):
    first = build_rtx(model, "8.6", precision="fp16")
    with pytest.raises(ToolchainError):
        build_rtx(model, "7.5")  # in one process, the next plan would have other bytes
    second = build_rtx(model, "8.6", precision="fp16")
    assert first == second
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(part).hexdigest() for part in (first[0], first[1].encode())]


def test_a_library_that_crashes_is_one_error(model, monkeypatch):
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: run([sys.executable, "-c", crash], **options, timeout=60)
    )
    with pytest.raises(ToolchainError, match="the build with TensorRT-RTX ended by signal 11") as caught:
        build_rtx(model, "8.6")
    assert "without --engine rtx" in caught.value.hint


def test_int8_is_what_the_graph_says():
    plan, _ = build_rtx(int8_pair(), "8.6")
    assert b"int8" in plan or b"Int8" in plan or b"i8" in plan


@pytest.mark.parametrize("zero_point", [np.uint8(0), np.uint8(128), np.int8(3)])
def test_a_quantizer_that_would_give_wrong_codes_is_refused_by_name(zero_point):
    """uint8 with zero point 0 parses and builds, and gives codes clamped to [-128, 127]."""
    with pytest.raises(ToolchainError, match=r"head\.onnx does not build with TensorRT-RTX .*the quantizer") as caught:
        build_rtx(quantizer(zero_point), "8.6", where="head.onnx")
    assert "QuantizeLinear" in caught.value.message


def test_a_zero_point_of_zero_builds():
    assert build_rtx(quantizer(np.int8(0)), "8.6")[0]


def test_an_operator_it_does_not_have_is_refused_by_name():
    node = oh.make_node("BitShift", ["x", "x"], ["y"], name="the shifter", direction="LEFT")
    shift = model_of([node], [("x", TensorProto.UINT8, [4])], [("y", TensorProto.UINT8, [4])])
    with pytest.raises(ToolchainError, match=r"the shifter.*BitShift"):
        build_rtx(shift.SerializeToString(), "8.6")


def test_what_only_the_parser_refuses_names_node_operator_and_reason(monkeypatch):
    monkeypatch.setattr("coachc.emit.rtx.errors", lambda model, target: [])
    with pytest.raises(
        ToolchainError, match=r"does not parse the model: node 'the quantizer' .QuantizeLinear."
    ) as caught:
        build_rtx(quantizer(np.int8(3)), "8.6")
    assert "zero point is not supported" in caught.value.message
    node = oh.make_node("BitShift", ["x", "x"], ["y"], name="the shifter", direction="LEFT")
    shift = model_of([node], [("x", TensorProto.UINT8, [4])], [("y", TensorProto.UINT8, [4])])
    with pytest.raises(ToolchainError, match=r"node 'the shifter' .BitShift., number 0: .*UNSUPPORTED_NODE"):
        build_rtx(shift.SerializeToString(), "8.6")


def test_what_half_precision_cannot_hold_stays_in_float32():
    nodes = [
        oh.make_node("MatMul", ["x", "w"], ["m"], name="big"),
        oh.make_node("Mul", ["m", "m"], ["y"], name="square"),
    ]
    values = [("w", np.full((4, 4), 6e4, np.float32))]
    large = model_of(nodes, [("x", 1, [1, 4])], [("y", 1, [1, 4])], values).SerializeToString()
    _, log = build_rtx(large, "8.6", precision="fp16")
    assert "since it leaves the range of half precision: square" in log


def test_a_model_that_half_precision_changes_is_refused(monkeypatch, model):
    monkeypatch.setattr("coachc.emit.half_precision.difference", lambda *models, feed: 0.21)
    with pytest.raises(ToolchainError, match=r"computes something else in half precision: .* 0.21") as caught:
        build_rtx(model, "8.6", precision="fp16")
    assert "--cloud-precision fp32" in caught.value.hint


def test_without_the_package_the_way_out_is_named(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(ToolchainError, match="TensorRT-RTX is not installed") as caught:
        build_rtx(model, "8.6")
    assert "pip install 'coachc[rtx]'" in caught.value.hint


def test_the_engines_of_a_bundle_are_those_of_what_the_cloud_runs():
    from coachc.runtime.bundle.manifest_types import Cut

    proto = residual()
    cut = Cut("split", "split", "device.onnx", "cloud.onnx", (), (), ("y",), after=("segment2.onnx",))
    models = {"cloud.onnx": proto, "segment2.onnx": proto, "device.onnx": onnx.ModelProto()}
    alone = Cut("device-only", "device-only", "device.onnx", None, (), ("y",), ())
    engines = rtx_engines(models, [cut, alone], find_device("a6000", side="cloud"), "fp16")
    assert [engine.facts.path for engine in engines] == ["cloud.sm86.engine", "segment2.sm86.engine"]
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    assert {engine.facts.model_sha256 for engine in engines} == {digest}
    assert engines[0].facts.builder.startswith("TensorRT-RTX 1.")
    assert engines[0].plan == engines[1].plan
