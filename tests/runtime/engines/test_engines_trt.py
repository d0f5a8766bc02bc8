"""TensorRT as an engine: a real release's names, a driver whose device is this machine's memory, the real kernels."""

import hashlib
import shutil
import sys
import threading

import numpy as np
import pytest

from coachc.runtime.bundle.frame import Frame, Framing, encode_frame
from coachc.runtime.bundle.manifest_types import EngineFacts, Layout
from coachc.runtime.bundle.numeric import quantize
from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.engines import trt_factory
from coachc.runtime.engines.cuda import Buffer, Gpu, shared_gpu
from coachc.runtime.engines.load_dialect import dialect_of
from coachc.runtime.engines.packer import Packer
from coachc.runtime.engines.trt_engine import TrtEngine
from coachc.runtime.engines.trt_factory import TrtFactory, misfit
from coachc.runtime.errors import EngineError
from tests.helpers.fake_cuda import FakeDriver, array_at, compiler_of
from tests.helpers.fake_tensorrt import TENSORS, fake_tensorrt
from tests.helpers.runtime_bundles import FILES, ROLES, make_bundle, make_manifest

SHAPE, SCALE, ZERO_POINT = TENSORS[0][3], 0.25, 3
X = (np.random.RandomState(3).randn(*SHAPE) * 2).astype(np.float32)
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def codes_of(x, bits=4):
    return quantize(x, SCALE, ZERO_POINT, bits)


def running_tensorrt(release):
    """An engine that quantizes: it reads its input and writes codes where it was told they are."""

    def run(trt, *arguments):
        if release == "8.2":
            x, codes = arguments[0]
        else:
            addresses = dict(given for name, given in trt.calls if name == "IExecutionContext.set_tensor_address")
            x, codes = addresses["x"], addresses["codes"]
        array_at(codes, np.int32, SHAPE)[...] = codes_of(array_at(x, np.float32, SHAPE))
        return True

    version = "2" if release == "8.2" else "3"
    return fake_tensorrt(release, **{"IExecutionContext_execute_async_v" + version: run})


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    from tests.helpers.host_cuda import HostKernels

    return HostKernels(tmp_path_factory.mktemp("kernels"))


def make_engine(release="8.2", driver=None, host=None, **options):
    driver = driver or FakeDriver()
    gpu = Gpu(driver, compiler_of(host, driver))
    return TrtEngine(b"a plan", dialect_of(running_tensorrt(release)), gpu, **options)


@pytest.mark.parametrize("primary", [True, False])
@pytest.mark.parametrize("release", ["8.2", "8.6", "10.3", "11.4", "rtx-1.7"])
def test_an_engine_runs(release, primary):
    engine = make_engine(release, FakeDriver(primary=primary), origin="built here")
    assert (engine.input_names, engine.output_names) == (("x",), ("codes",))
    made = engine.run({"x": X, "what others take": X})
    assert list(made) == ["codes"] and made["codes"].dtype == np.int32
    np.testing.assert_array_equal(made["codes"], codes_of(X))
    again = engine.run({"x": -X})["codes"]
    np.testing.assert_array_equal(again, codes_of(-X))
    np.testing.assert_array_equal(made["codes"], codes_of(X))  # not the buffer of the next task
    assert engine.description.endswith("on Fake GPU (built here)")


@pytest.mark.parametrize("release", ["8.2", "8.6", "10.3", "11.4", "rtx-1.7"])
def test_an_engine_that_is_watched_tells_its_layers(release):
    """execute_v2, which every release tells its profiler of; the engine computes what it does otherwise."""
    held = []

    def run(trt, addresses):
        x, codes = addresses
        array_at(codes, np.int32, SHAPE)[...] = codes_of(array_at(x, np.float32, SHAPE))
        profiler = dict(trt.calls)["IExecutionContext.profiler"][0]
        held.append(profiler)
        profiler.report_layer_time("Conv_0 + Relu_1", 1.5)
        profiler.report_layer_time("Pool_2", 0.25)
        return True

    trt = fake_tensorrt(release, IExecutionContext_execute_v2=run)
    engine = TrtEngine(b"a plan", dialect_of(trt), Gpu(FakeDriver()))
    told = []
    assert engine.watch_layers(lambda name, seconds: told.append((name, seconds)))
    np.testing.assert_array_equal(engine.run({"x": X})["codes"], codes_of(X))
    assert told == [("Conv_0 + Relu_1", 0.0015), ("Pool_2", 0.00025)]
    assert isinstance(held[0], trt.IProfiler)
    assert not any("async" in name for name, _ in trt.calls)


@needs_gcc
@pytest.mark.parametrize("form", ["dense", "bytes"])
@pytest.mark.parametrize("order", [(), (2, 0, 1)])
@pytest.mark.parametrize("bits", [4, 5, 8])
def test_only_packed_bytes_cross_to_the_host(host, bits, order, form):
    driver = FakeDriver()
    engine = make_engine("10.3", driver, host)
    layout = Layout(form, order)
    driver.downloaded.clear()
    for x in (X, -X):
        made = engine.run_framed({"x": x}, {"codes": Framing(bits, layout)})
        wanted = encode_frame(codes_of(x), bits, layout)
        assert made == {"codes": Frame(wanted, bits, SHAPE)}
    # The packed bytes, and four that say whether a code was refused.
    assert driver.downloaded == 2 * [4, len(wanted) - 2]


@needs_gcc
def test_a_code_that_does_not_fit_is_an_error(host):
    engine = make_engine("10.3", FakeDriver(), host)
    with pytest.raises(EngineError, match="'codes' has a code that does not fit in 2 bits"):
        engine.run_framed({"x": X}, {"codes": Framing(2, Layout())})


@needs_gcc
@pytest.mark.parametrize("scale", [(0.25,), (0.25, 0.125, 0.5)])
def test_a_value_that_is_no_code_yet_is_quantized_on_the_gpu(host, scale):
    driver = FakeDriver()
    gpu = Gpu(driver, compiler_of(host, driver))
    zero_point = tuple(range(1, 1 + len(scale)))
    with gpu.current():
        buffer, packer = Buffer(gpu, SHAPE, "float32"), Packer(gpu, SHAPE, "float32")
        quantizer = [Buffer(gpu, (len(scale),), "float32") for _ in range(2)]
        for given, numbers in zip(quantizer, (scale, zero_point)):  # noqa: B905
            given.upload(np.array(numbers, np.float32), gpu.stream)
        for bits, layout in ((3, Layout("dense", (1, 2, 0))), (8, Layout()), (6, Layout("bytes"))):
            buffer.upload(X, gpu.stream)
            size = packer.start(buffer.address, bits, layout, quantizer)
            gpu.stream.synchronize()
            wanted = encode_frame(quantize(X, scale, zero_point, bits), bits, layout)
            assert packer.finish(size, bits, layout, "x") == wanted


@needs_gcc
def test_an_empty_value_is_a_header(host):
    driver = FakeDriver()
    gpu = Gpu(driver, compiler_of(host, driver))
    with gpu.current():
        packer = Packer(gpu, (1, 0, 4), "uint8")
        size = packer.start(0, 4, Layout())
        assert packer.finish(size, 4, Layout(), "x") == encode_frame(np.zeros((1, 0, 4), np.uint8), 4, Layout())
    with pytest.raises(EngineError, match="a value of float64 cannot be packed on the GPU"):
        Packer(gpu, (1,), "float64")


def test_inputs_that_do_not_suit_are_named():
    engine = make_engine()
    with pytest.raises(EngineError, match="the engine needs input 'x'") as caught:
        engine.run({"y": X})
    assert caught.value.context == ("found  y",)
    for wrong in (X[:, :2], X.astype(np.float64)):
        with pytest.raises(EngineError, match="input 'x' does not suit the engine") as caught:
            engine.run({"x": wrong})
        assert caught.value.context[0] == "expected  float32 [1, 3, 4, 4]"


def test_any_thread_may_call_one_at_a_time():
    driver = FakeDriver()
    engine = make_engine("10.3", driver)
    results = []

    def call():
        results.append(engine.run({"x": X})["codes"])

    for _ in range(3):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert len(results) == 3
    # Inside a call the context is this thread's; another that comes meanwhile is told so, and the first goes on.
    errors = []

    def intrude():
        try:
            engine.run({"x": X})
        except EngineError as exc:
            errors.append(exc.message)

    with engine._gpu.current():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        engine.run({"x": X})
    assert errors == ["two threads use one GPU engine at once"]
    engine.run({"x": X})
    assert driver.stack() == []


def test_what_fails_on_the_gpu_is_an_engine_error():
    class Failing(FakeDriver):
        def memcpy_htod_async(self, *arguments):
            raise self.Error("cuMemcpyHtoDAsync failed: unspecified launch failure")

    with pytest.raises(EngineError, match="Fake GPU failed: cuMemcpyHtoDAsync failed"):
        make_engine("10.3", Failing()).run({"x": X})
    with pytest.raises(EngineError, match="no memory on Fake GPU for the engine's tensors"):
        make_engine("10.3", FakeDriver(free=8))
    trt = fake_tensorrt("10.3", IExecutionContext_execute_async_v3=False)
    with pytest.raises(EngineError, match="TensorRT 10.3.0 did not run"):
        TrtEngine(b"", dialect_of(trt), Gpu(FakeDriver())).run({"x": X})
    trt = fake_tensorrt("10.3", ICudaEngine_create_execution_context=None)
    with pytest.raises(EngineError, match="makes no execution context"):
        TrtEngine(b"", dialect_of(trt), Gpu(FakeDriver()))
    trt = fake_tensorrt("10.3", IExecutionContext_set_tensor_address=False)
    with pytest.raises(EngineError, match="takes no address for tensor 'x'"):
        TrtEngine(b"", dialect_of(trt), Gpu(FakeDriver())).run({"x": X})


def test_no_device_and_no_pycuda_name_the_way_out(monkeypatch):
    with pytest.raises(EngineError, match="no CUDA device 0: cuDeviceGet failed") as caught:
        Gpu(FakeDriver(devices=0))
    assert "CPUExecutionProvider" in caught.value.hint
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineError, match="pycuda cannot be used") as caught:
        Gpu()
    assert "pip install pycuda" in caught.value.hint
    with pytest.raises(EngineError, match="pycuda cannot be used"):
        shared_gpu()


def test_a_factory_builds_once_and_says_so(tmp_path):
    said, trt = [], running_tensorrt("8.2")
    bundle = make_bundle(tmp_path / "b.coach")
    factory = TrtFactory(bundle, "device", str(tmp_path), said.append, dialect_of(trt), Gpu(FakeDriver()))
    for _ in range(2):
        engine = factory(bundle.read("device.onnx"), ("ignored",))
        np.testing.assert_array_equal(engine.run({"x": X})["codes"], codes_of(X))
    assert [name for name, _ in trt.calls].count("Builder.build_serialized_network") == 1
    assert len(said) == 1 and said[0].startswith("built an engine of 0.0 MB in ") and str(tmp_path) in said[0]
    ((workspace,),) = [given for name, given in trt.calls if name == "IBuilderConfig.max_workspace_size"]
    assert 16 << 20 <= workspace <= 512 << 20  # half of what the fake GPU has, at most


def bundle_with_engine(tmp_path, builder="TensorRT-RTX 1.7.1.116", capability="8.6"):
    digest = hashlib.sha256(FILES["cloud.onnx"]).hexdigest()
    facts = EngineFacts("cloud.sm86.engine", "cloud.sm86.log", digest, builder, capability)
    files = dict(FILES, **{facts.path: b"the bundle's plan", facts.log: b"a log\n"})
    roles = dict(ROLES, **{facts.path: "engine", facts.log: "log"})
    manifest = make_manifest()._replace(engines=(facts,), cloud={"name": "a6000", "precision": "fp16"})
    return write_bundle(str(tmp_path / "b.coach"), manifest, files, roles)


def plans_of(trt):
    return [given for name, given in trt.calls if name == "Runtime.deserialize_cuda_engine"]


def test_an_engine_of_the_bundle_is_used_where_it_fits(tmp_path):
    bundle, trt, said = bundle_with_engine(tmp_path), running_tensorrt("rtx-1.7"), []
    gpu = Gpu(FakeDriver(capability=(8, 6)))
    factory = TrtFactory(bundle, "cloud", str(tmp_path / "cache"), said.append, dialect_of(trt), gpu)
    engine = factory(bundle.read("cloud.onnx"))
    assert plans_of(trt) == [(b"the bundle's plan",)] and said == []
    assert "cloud.sm86.engine of the bundle" in engine.description
    factory(bundle.read("device.onnx"))  # it has none of this
    assert plans_of(trt)[1:] == [(b"a plan",)]


@pytest.mark.parametrize(
    ("builder", "capability", "said"),
    [
        ("TensorRT-RTX 1.6.0", "8.6", "built with TensorRT-RTX 1.6.0, here is TensorRT-RTX 1.7.1.116"),
        ("TensorRT-RTX 1.7.1.116", "8.9", "built for compute capability 8.9, this GPU has 8.6"),
    ],
)
def test_an_engine_of_the_bundle_that_does_not_fit_is_not_loaded(tmp_path, builder, capability, said):
    bundle, trt, lines = bundle_with_engine(tmp_path, builder, capability), running_tensorrt("rtx-1.7"), []
    gpu = Gpu(FakeDriver(capability=(8, 6)))
    TrtFactory(bundle, "cloud", str(tmp_path / "cache"), lines.append, dialect_of(trt), gpu)(bundle.read("cloud.onnx"))
    assert plans_of(trt) == [(b"a plan",)]
    assert lines[0] == "note: the bundle's engine cloud.sm86.engine is not used: " + said
    assert misfit(bundle.manifest.engines[0], dialect_of(trt), "8.6") == said


def test_without_rtx_the_model_is_built(tmp_path, monkeypatch):
    trt, lines = running_tensorrt("10.3"), []

    def load(module=None):
        if module == "tensorrt_rtx":
            raise EngineError("TensorRT is not installed for this Python")
        return dialect_of(trt)

    monkeypatch.setattr(trt_factory, "load_dialect", load)
    bundle = bundle_with_engine(tmp_path)
    TrtFactory(bundle, "cloud", str(tmp_path / "cache"), lines.append, gpu=Gpu(FakeDriver()))(FILES["cloud.onnx"])
    assert plans_of(trt) == [(b"a plan",)] and "is not used: TensorRT is not installed" in lines[0]
    # The precision is the plan's.
    assert [str(flag) for name, given in trt.calls if name == "IBuilderConfig.set_flag" for flag in given] == [
        "BuilderFlag.FP16"
    ]


def test_what_an_engine_packed_travels_as_it_is(tmp_path):
    """A half whose engine packs and one whose engine does not send the same bytes, at any precision."""
    from coachc.runtime.engines.fake_engine import FakeEngine
    from coachc.runtime.engines.halves import DeviceHalf
    from coachc.runtime.errors import LocalProtocolError
    from coachc.runtime.link.values import encode_values
    from tests.helpers.runtime_bundles import LEVELS, fake_engine_for

    class Packing(FakeEngine):
        def run_framed(self, feed, framings, wanted=None):
            made = self.run(feed)
            for name in set(framings) & set(made):
                bits, layout = framings[name]
                made[name] = Frame(encode_frame(made[name], bits, layout), bits, made[name].shape)
            return made

    def packing(model, providers=()):
        return Packing(fake_engine_for(model).run)

    options = {"levels": LEVELS, "parameters": "arithmetic", "layout": Layout("bytes", (2, 0, 1), "huffman")}
    bundle = make_bundle(tmp_path / "b.coach", **options)
    cut = bundle.manifest.cut()
    plain, packed = DeviceHalf(bundle, cut, fake_engine_for), DeviceHalf(bundle, cut, packing)
    feed = {"input": X}
    for bits in (None, 2, 3, 8):
        outputs = packed.run(feed, bits)
        assert isinstance(outputs["features_codes"], Frame)
        assert encode_values(cut, outputs, bits) == encode_values(cut, plain.run(feed, bits), bits)
    with pytest.raises(LocalProtocolError, match="packed 'features_codes' at 8 bits, the task says 2"):
        encode_values(cut, packed.run(feed, 8), 2)
