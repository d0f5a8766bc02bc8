"""Quantizers as CUDA kernels behind an engine whose value stays on the GPU: the real kernels, compiled by gcc."""

import shutil
import sys
import types

import numpy as np
import pytest

from coachc.runtime.bundle.frame import Frame, Framing, encode_frame
from coachc.runtime.bundle.manifest_types import CutValue, Layout
from coachc.runtime.bundle.numeric import quantize
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.runtime.engines import load_kernels as load_module
from coachc.runtime.engines.cuda import Buffer, Gpu
from coachc.runtime.engines.gpu_quantizer import GpuQuantizer, quantizing_cut
from coachc.runtime.engines.halves import DeviceHalf
from coachc.runtime.engines.kernels import SOURCE, translation_unit
from coachc.runtime.engines.load_dialect import dialect_of
from coachc.runtime.engines.load_kernels import load_kernels
from coachc.runtime.engines.trt_factory import TrtFactory, to_build
from coachc.runtime.errors import EngineError
from coachc.runtime.link.values import encode_values
from tests.helpers.fake_cuda import Error, FakeDriver, array_at, compiler_of
from tests.helpers.fake_tensorrt import fake_tensorrt
from tests.helpers.kernel_cases import COARSE, quantizing_cut_of, values_for
from tests.helpers.online_bundles import SHAPE, make_online_bundle

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    from tests.helpers.host_cuda import HostKernels

    return HostKernels(tmp_path_factory.mktemp("kernels"))


def make(host, cut, driver=None):
    driver = driver or FakeDriver()
    gpu = Gpu(driver, compiler_of(host, driver))
    return GpuQuantizer(cut, gpu), gpu


@needs_gcc
@pytest.mark.parametrize("form", ["arithmetic", "qdq"])
@pytest.mark.parametrize("shape", [(1, 3), (2, 3, 7, 9), (1, 3, 33), (1, 3, 1, 1)])
def test_it_computes_what_the_artefact_would(host, shape, form):
    cut = quantizing_cut_of(shape, form=form)
    quantizer, _ = make(host, cut)
    assert quantizer.output_names == ("v/codes", "v/feature")
    x = values_for(shape)
    for level in cut.values[0].levels:
        made = quantizer.run(dict(quantizer_feed(cut, "device", level.bits), v=x))
        np.testing.assert_array_equal(made["v/codes"], quantize(x, level.scale, level.zero_point, level.bits))
        pooled = x.astype(np.float64).mean(axis=tuple(range(2, len(shape))))
        np.testing.assert_allclose(made["v/feature"], pooled, rtol=0, atol=1e-6)
        assert made["v/feature"].dtype == np.float32 and made["v/feature"].shape == shape[:2]


@needs_gcc
def test_a_value_without_channels_has_no_feature(host):
    cut = quantizing_cut_of((11,), levels=(COARSE,))
    quantizer, _ = make(host, cut)
    x = values_for((11,))
    made = quantizer.run(dict(quantizer_feed(cut, "device"), v=x))
    assert list(made) == ["v/codes"]
    np.testing.assert_array_equal(made["v/codes"], quantize(x, *COARSE[1:], bits=2))


@needs_gcc
@pytest.mark.parametrize("layout", [Layout(), Layout("bytes"), Layout("dense", (2, 0, 1))])
def test_only_the_frame_and_the_feature_cross_to_the_host(host, layout):
    cut, driver = quantizing_cut_of(layout=layout), FakeDriver()
    quantizer, gpu = make(host, cut, driver)
    x = values_for(cut.values[0].shape)
    with gpu.current():
        left = Buffer(gpu, x.shape, "float32")  # by an engine before
        left.upload(x, gpu.stream)
    for level in cut.values[0].levels:
        driver.downloaded.clear()
        feed = dict(quantizer_feed(cut, "device", level.bits), v=left)
        made = quantizer.run_framed(feed, {"v/codes": Framing(level.bits, layout)})
        wanted = encode_frame(quantize(x, level.scale, level.zero_point, level.bits), level.bits, layout)
        assert made["v/codes"] == Frame(wanted, level.bits, x.shape)
        assert sorted(driver.downloaded) == sorted([4, len(wanted) - 2, made["v/feature"].nbytes])


@needs_gcc
def test_what_does_not_suit_is_named(host):
    quantizer, _ = make(host, quantizing_cut_of())
    feed = quantizer_feed(quantizing_cut_of(), "device")
    with pytest.raises(EngineError, match="the quantizer needs input 'v'"):
        quantizer.run(feed)
    with pytest.raises(EngineError, match="input 'v' does not suit the quantizer") as caught:
        quantizer.run(dict(feed, v=np.zeros((1, 3), np.float32)))
    assert caught.value.context == ("expected  float32 [2, 3, 7, 9]", "found     float32 [1, 3]")
    with pytest.raises(EngineError, match="no memory on Fake GPU to quantize"):
        make(host, quantizing_cut_of(), FakeDriver(free=1000))


def bundle_of(tmp_path):
    return make_online_bundle(tmp_path / "b.coach")


def body_of_tensorrt():
    """The engine of the segment before the edge: it adds one."""

    def run(trt, *arguments):
        addresses = dict(given for name, given in trt.calls if name == "IExecutionContext.set_tensor_address")
        array_at(addresses["b"], np.float32, SHAPE)[...] = array_at(addresses["input"], np.float32, SHAPE) + 1
        return True

    tensors = (("input", True, "FLOAT", SHAPE), ("b", False, "FLOAT", SHAPE))
    return fake_tensorrt("10.3", tensors=tensors, IExecutionContext_execute_async_v3=run)


@needs_gcc
def test_a_half_on_the_gpu_sends_what_the_codec_makes(host, tmp_path):
    """The body's value never crosses to the host, and another precision does not run the body again."""
    bundle, driver, said = bundle_of(tmp_path), FakeDriver(), []
    cut, trt = bundle.manifest.cut(), body_of_tensorrt()
    gpu = Gpu(driver, compiler_of(host, driver))
    factory = TrtFactory(bundle, "device", str(tmp_path / "cache"), said.append, dialect_of(trt), gpu)
    half = DeviceHalf(bundle, cut, factory)
    assert half.description == "TensorRT 10.3.0 on Fake GPU (built here), CUDA kernels on Fake GPU"
    assert len(said) == 1  # one engine: the quantizers need none
    x = values_for(SHAPE)
    for seed, bits in enumerate((None, 2, 8)):
        driver.downloaded.clear()
        made = half.run({"input": x + seed}, bits)
        level = cut.values[0].level(bits)
        wanted = {"b/codes": quantize(x + seed + 1, *level[1:], bits=level.bits)}
        assert encode_values(cut, made, bits) == encode_values(cut, wanted, bits)
        assert x.nbytes not in driver.downloaded and len(driver.downloaded) == 3
        runs = len([name for name, _ in trt.calls if name.endswith("execute_async_v3")])
        finer = cut.values[0].level(8)
        again = half.again(8)
        wanted = {"b/codes": quantize(x + seed + 1, *finer[1:], bits=8)}
        assert encode_values(cut, again, 8) == encode_values(cut, wanted, 8)
        assert runs == len([name for name, _ in trt.calls if name.endswith("execute_async_v3")])
        np.testing.assert_allclose(again["b/feature"], (x + seed + 1).mean(axis=(2, 3)), rtol=0, atol=1e-5)


def test_without_kernels_the_quantizers_are_an_engine_in_float32(tmp_path):
    """No nvcc: TensorRT computes the codes and the host packs them."""

    def none(driver):
        raise EngineError("the CUDA kernels cannot be compiled: nvcc was not found", hint="install it")

    bundle, said, trt = bundle_of(tmp_path), [], fake_tensorrt("8.2")
    gpu, path = Gpu(FakeDriver(), none), bundle.manifest.cut().on_device[-1]
    factory = TrtFactory(bundle, "device", str(tmp_path / "cache"), said.append, dialect_of(trt), gpu)
    engine = factory(bundle.read(path))
    assert said[0] == (
        f"note: {path} is computed by TensorRT, and its codes are packed on the CPU: the CUDA kernels cannot be "
        "compiled: nvcc was not found (install it)"
    )
    x = values_for((1, 3, 4, 4))
    made = engine.run_framed({"x": x}, {"codes": Framing(4, Layout())})
    assert isinstance(made["codes"], np.ndarray)
    with pytest.raises(EngineError, match="no CUDA kernels on Fake GPU: the CUDA kernels cannot be compiled"):
        gpu.kernel("pack_uint8")
    half = make_online_bundle(tmp_path / "half.coach", precision="fp16")
    body = half.manifest.cut().on_device[0]
    assert not to_build(half, "device", path, half.read(path), dialect_of(trt), 1).settings.fp16
    assert to_build(half, "device", body, half.read(body), dialect_of(trt), 1).settings.fp16


def test_which_artefacts_are_quantizers(tmp_path):
    manifest = bundle_of(tmp_path).manifest
    cut = manifest.cut()
    assert cut.quantizers == ("device-one", "cloud-one")
    assert quantizing_cut(manifest, "device-one") == cut
    assert quantizing_cut(manifest, "cloud-one") is None
    assert quantizing_cut(manifest, "first.onnx") is None
    (value,) = cut.values

    def found(**change):
        changed = cut._replace(**change)
        return quantizing_cut(manifest._replace(cuts=(changed,)), "device-one") is not None

    assert found()
    assert not found(values=(value._replace(dtype="float16"),))
    raw = CutValue("input", "float32", SHAPE, "raw", 32, (), "input/sent")
    assert not found(values=(value, raw))
    assert found(values=(value, raw._replace(codes="input")))
    assert not found(before=())  # a whole half with its quantizers inside
    assert found(before=(), mode="cloud-raw")
    assert found(before=(), mode="cloud-raw", device_outputs=("input",), cloud_outputs=())
    assert not found(before=(), mode="cloud-raw", device_outputs=("a constant",))
    assert not found(before=(), mode="cloud-raw", values=(value, raw._replace(codes="input")))
    alone = manifest.cut("device-only")
    assert alone.quantizers == ()


class Binary:
    """A driver that loads files."""

    Error = Error

    def __init__(self, error=None):
        self.loaded, self.error = [], error

    def module_from_file(self, path):
        self.loaded.append(path)
        if self.error:
            raise self.Error(self.error)
        return "a module"


def test_kernels_compiled_ahead_are_used_where_they_are_of_this_source(tmp_path, monkeypatch):
    source, binary = tmp_path / "kernels.cu", tmp_path / "kernels.fatbin"
    binary.write_bytes(b"a binary")
    compiler = types.ModuleType("pycuda.compiler")
    compiler.SourceModule = lambda text: ("compiled", text)
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    driver = Binary()
    assert load_kernels(driver, str(tmp_path)) == ("compiled", SOURCE)  # it does not say of what source it is
    source.write_text(translation_unit() + "/* older */", encoding="utf-8")
    assert load_kernels(driver, str(tmp_path)) == ("compiled", SOURCE)
    source.write_text(translation_unit(), encoding="utf-8")
    assert load_kernels(driver, str(tmp_path)) == "a module" and driver.loaded == [str(binary)]
    with pytest.raises(EngineError, match="kernels.fatbin has nothing for this GPU: no kernel image"):
        load_kernels(Binary("no kernel image"), str(tmp_path))


@pytest.mark.parametrize("error", [OSError("nvcc was not found (is it on the PATH?)"), Error("nvcc failed")])
def test_no_compiler_is_an_error_that_says_what_is_missing(tmp_path, monkeypatch, error):
    def fail(text):
        raise error

    compiler = types.ModuleType("pycuda.compiler")
    compiler.SourceModule = fail
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    with pytest.raises(EngineError, match="the CUDA kernels cannot be compiled: nvcc") as caught:
        load_kernels(Binary(), str(tmp_path))
    assert "kernels.fatbin" in caught.value.hint
    monkeypatch.setitem(sys.modules, "pycuda.compiler", None)
    with pytest.raises(EngineError, match="the CUDA kernels cannot be compiled"):
        load_kernels(Binary())
    assert load_module.HERE.endswith("engines")
