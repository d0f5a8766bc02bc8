"""Engines built and run on the device: the halves against ONNX Runtime, and the whole pipeline."""

import time

import numpy as np
import pytest

from coachc.calib.profiles.layer_owners import map_layers
from coachc.checks.engines import check_engines
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.runtime.bundle.frame import Frame
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.engines.engine_cache import EngineCache
from coachc.runtime.engines.halves import DeviceHalf
from coachc.runtime.engines.trt_factory import TrtFactory
from coachc.runtime.link.values import encode_values
from coachc.runtime.measure import measure_bundle
from tests.helpers.commands import REPOSITORY, compile_json, serving
from tests.helpers.device_run import run_all

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    samples = folder / "samples.npz"
    np.savez(samples, input=np.random.default_rng(0).standard_normal((32, 1, 64, 64)).astype(np.float32))
    flags = ("--calib", samples, "--mode", "split", "--bandwidth", "2Mbit", "--device-precision", "fp16")
    compile_json(REPOSITORY / "models" / "digits.onnx", folder / "digits.coach", *flags)
    return folder


def test_every_engine_computes_what_onnx_runtime_does(bundle, record_property):
    cache = str(bundle / "cache")
    start_s = time.perf_counter()
    findings = check_engines(str(bundle / "digits.coach"), "trt", cache=cache)
    record_property("build and compare, s", round(time.perf_counter() - start_s, 2))
    for finding in findings:
        record_property(finding.what, finding.detail)


def test_an_engine_is_built_once(bundle):
    opened = open_bundle(bundle / "digits.coach")
    said = []
    factory = TrtFactory(opened, "device", str(bundle / "cache2"), said.append)
    path = opened.manifest.cut().on_device[0]
    for _ in range(2):
        factory(opened.read(path))
    assert len([text for text in said if text.startswith("built")]) == 1
    assert EngineCache(str(bundle / "cache2")).folder


def test_what_the_gpu_packs_is_what_the_host_packs(bundle):
    opened = open_bundle(bundle / "digits.coach")
    cut = opened.manifest.cut()
    if not any(value.codec == "packed" for value in cut.values):
        pytest.skip("the chosen cut packs nothing")
    half = DeviceHalf(opened, cut, TrtFactory(opened, "device", str(bundle / "cache")))
    feed = {"input": np.random.default_rng(1).standard_normal((1, 1, 64, 64)).astype(np.float32)}
    on_gpu = half.run(feed)
    assert any(isinstance(array, Frame) for array in on_gpu.values())
    codes = half._engine.run(dict(feed, **half._quantizer_feed(None)))
    assert encode_values(cut, on_gpu) == encode_values(cut, codes)


def test_layers_are_told_and_the_compiler_knows_them(bundle, record_property):
    """The device's engines measured layer by layer, and a second compilation that rests on it."""
    profile = measure_bundle(open_bundle(bundle / "digits.coach"), "trt", cache=str(bundle / "cache"), repeats=20)
    assert profile.layers
    whole_s, layers_s = profile.whole.seconds, sum(layer.seconds for layer in profile.layers)
    record_property("whole model, ms", round(whole_s * 1e3, 3))
    record_property("sum of its layers, ms", round(layers_s * 1e3, 3))
    model = import_model(REPOSITORY / "models" / "digits.onnx")
    mapped = map_layers([(layer.name, layer.seconds) for layer in profile.layers], model, fuse(model))
    record_property("layers without an operator", ", ".join(mapped.unknown)[:200])
    assert sum(mapped.seconds) > 0.5 * layers_s


def test_the_whole_pipeline(bundle, record_property):
    path, source, cache = str(bundle / "digits.coach"), str(bundle / "samples.npz"), str(bundle / "cache")
    with serving(path, "--engine", "trt", "--engine-cache", cache) as address:
        on_gpu = run_all(path, address, source, policy="none", engine="trt", engine_cache=cache)
    with serving(path) as address:
        on_cpu = run_all(path, address, source, policy="none")
    assert "TensorRT" in on_gpu.engine
    assert "onnxruntime" in on_cpu.engine
    same = float(np.mean(np.array(on_gpu.predictions) == np.array(on_cpu.predictions)))
    record_property("same answers", same)
    record_property("tasks/s on the GPU", on_gpu.throughput_per_s)
    assert same >= 0.9  # noise, in FP16: answers near a tie may change
