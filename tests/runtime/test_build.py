"""``python3 -m runtime.build``: engines ahead of the first frame."""

import hashlib

import numpy as np
import pytest

from coachc.runtime import build as build_module
from coachc.runtime.build import main, paths_of, trtexec_commands
from coachc.runtime.bundle.manifest_types import HalfPrecision
from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.engines import cuda
from coachc.runtime.engines.choice import ENGINES, factory_of
from coachc.runtime.engines.cuda import Gpu
from coachc.runtime.engines.dialect import Settings
from coachc.runtime.engines.load_dialect import dialect_of
from coachc.runtime.engines.load_kernels import load_kernels
from coachc.runtime.engines.trt_factory import TrtFactory, to_build
from coachc.runtime.errors import BundleError, UsageError
from tests.helpers.fake_cuda import FakeDriver
from tests.helpers.fake_tensorrt import fake_tensorrt
from tests.helpers.online_bundles import make_online_bundle
from tests.helpers.onnx_bytes import model_of
from tests.helpers.runtime_bundles import FILES, ROLES, make_bundle, make_manifest


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "my bundle.coach")


@pytest.fixture
def trt(monkeypatch):
    """TensorRT 8.2 on a GPU that is this machine's memory."""
    module = fake_tensorrt("8.2")
    monkeypatch.setattr(build_module, "load_dialect", lambda: dialect_of(module))
    gpu = Gpu(FakeDriver("NVIDIA Tegra X2"))
    monkeypatch.setattr(cuda, "shared_gpu", lambda: gpu)
    return module


def builds(trt):
    return [name for name, _ in trt.calls].count("Builder.build_serialized_network")


def test_every_engine_of_a_side_is_built_once(bundle, trt, tmp_path, capsys):
    cache = str(tmp_path / "cache")
    assert main([bundle.path, "--cache", cache]) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["device.onnx", "model.onnx", "raw.onnx"]
    assert all("0.0 MB, built in " in line for line in out.splitlines())
    assert "device.onnx: TensorRT 8.2.1.8 on NVIDIA Tegra X2 (6.2)" in err
    assert main([bundle.path, "--cache", cache]) == 0
    assert all("there already" in line for line in capsys.readouterr()[0].splitlines())
    assert builds(trt) == 3
    # The server's: model.onnx is there already.
    assert main([bundle.path, "--cache", cache, "--side", "cloud"]) == 0
    out = capsys.readouterr()[0].splitlines()
    assert ["built" in line for line in out] == [True, False]
    assert builds(trt) == 4


def test_the_engines_of_one_cut(bundle, trt, tmp_path, capsys):
    assert main([bundle.path, "--cache", str(tmp_path), "--cut", "middle", "--workspace", "64"]) == 0
    assert capsys.readouterr()[0].startswith("device.onnx: ") and builds(trt) == 1
    assert [given for name, given in trt.calls if name == "IBuilderConfig.max_workspace_size"] == [(64 << 20,)]


@pytest.mark.parametrize(
    ("arguments", "code", "said", "hint"),
    [
        (["--cut", "jpeg"], 1, "cut 'jpeg' runs nothing on the device", "these do: middle, device-only, raw"),
        (["--cut", "nothing"], 2, "the bundle has no cut 'nothing'", "--cut takes one of"),
    ],
)
def test_what_cannot_be_built_is_said(bundle, trt, capsys, arguments, code, said, hint):
    assert main([bundle.path] + arguments) == code
    err = capsys.readouterr()[1]
    assert said in err and hint in err


def test_an_engine_that_fails_ends_with_one_message(bundle, trt, tmp_path, capsys, monkeypatch):
    trt = fake_tensorrt("8.2", Builder_build_serialized_network=None)
    monkeypatch.setattr(build_module, "load_dialect", lambda: dialect_of(trt))
    assert main([bundle.path, "--cache", str(tmp_path)]) == 1
    assert "error[engine]: TensorRT 8.2.1.8 built no engine" in capsys.readouterr()[1]


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("8.2", "--workspace=64 "),
        ("8.5", "--memPoolSize=workspace:64 "),
        ("8.6", "--skipInference"),
        ("10", "--memPoolSize=workspace:64 "),
        ("11", "--skipInference"),
    ],
)
def test_the_trtexec_commands_need_no_tensorrt(bundle, tmp_path, capsys, release, words):
    arguments = ["--trtexec", "--tensorrt", release, "--cut", "middle", "--workspace", "64", "--cache", str(tmp_path)]
    assert main([bundle.path] + arguments) == 0
    line = capsys.readouterr()[0].strip()
    assert line.startswith("trtexec '--onnx=") and "my bundle.coach/device.onnx'" in line and words in line + " "


def test_another_release_is_for_printing_only(bundle, capsys):
    with pytest.raises(SystemExit):
        main([bundle.path, "--tensorrt", "10"])
    assert "built with the TensorRT that is here" in capsys.readouterr()[1]
    with pytest.raises(SystemExit):
        main([bundle.path, "--workspace", "0"])
    assert "at least 1 MiB" in capsys.readouterr()[1]


def test_fp16_is_the_plan_s_and_int8_the_graph_s(tmp_path):
    """TensorRT refuses a graph with quantizers unless INT8 is on, and with INT8 wants a calibrator for one without."""
    quantized = model_of(("q", "y", "QuantizeLinear"), ("d", "z", "DequantizeLinear"), ("c", "o", "Conv"))
    for precision, wanted in ((None, False), ("fp32", False), ("fp16", True)):
        manifest = make_manifest()._replace(device={"precision": precision}, cloud={})
        files = dict(FILES, **{"device.onnx": quantized})
        bundle = write_bundle(str(tmp_path / f"{precision}.coach"), manifest, files, ROLES)
        dialect = dialect_of(fake_tensorrt("8.6"))

        def settings_of(side, path):
            return to_build(bundle, side, path, bundle.read(path), dialect, 5).settings  # noqa: B023

        assert settings_of("device", "device.onnx") == Settings(wanted, True, 5)
        assert settings_of("device", "model.onnx") == Settings(wanted, False, 5)
        assert settings_of("cloud", "cloud.onnx") == Settings(False, False, 5)
        lines = trtexec_commands(bundle, "device", ["device.onnx"], dialect, 64 << 20, "/c")
        assert ["--int8" in line for line in lines] == [True]


def test_quantizers_need_no_engine_where_there_are_kernels(tmp_path, trt, capsys):
    """And where there are none, one in float32."""
    bundle = make_online_bundle(tmp_path / "online.coach", precision="fp16")
    edge, body = bundle.manifest.cut().on_device[-1], bundle.manifest.cut().on_device[0]
    arguments = [bundle.path, "--cache", str(tmp_path / "cache"), "--cut", bundle.manifest.chosen]
    gpu = cuda.shared_gpu()
    gpu._load = lambda driver: "a module"
    assert main(arguments) == 0
    lines = capsys.readouterr()[0].splitlines()
    assert lines[-1] == edge + ": quantizers, computed by CUDA kernels without an engine" and builds(trt) == 1
    gpu._load, gpu._lacks_kernels = load_kernels, None
    trt.calls.clear()
    assert main(arguments) == 0
    assert edge + ": 0.0 MB, built in " in capsys.readouterr()[0]
    assert not [given for name, given in trt.calls if name == "IBuilderConfig.set_flag"]
    dialect = dialect_of(fake_tensorrt("8.2"))
    paths = paths_of(bundle.manifest, "device", bundle.manifest.chosen)
    assert paths == (body, edge)
    lines = trtexec_commands(bundle, "device", paths, dialect, 64 << 20, "/c")
    assert ["--fp16" in line for line in lines] == [True, False]
    assert all("/c/trtexec.timings" in line for line in lines)


def test_a_cut_that_runs_nothing_on_a_side(bundle):
    with pytest.raises(BundleError, match="runs nothing on the cloud"):
        paths_of(bundle.manifest, "cloud", "device-only")


def test_the_choice_of_an_engine(bundle):
    assert ENGINES == ("ort", "trt")

    def otherwise(model, providers):
        raise AssertionError

    assert factory_of("ort", bundle, "device", otherwise) is otherwise
    assert isinstance(factory_of("trt", bundle, "device", otherwise), TrtFactory)
    with pytest.raises(UsageError, match="there is no engine 'gpu'") as caught:
        factory_of("gpu", bundle, "device", otherwise)
    assert caught.value.hint == "one of ort, trt"


def test_a_device_that_asks_for_tensorrt_never_gets_another_engine(bundle, tmp_path, capsys, monkeypatch):
    import sys

    from coachc.runtime.device.__main__ import main as run_device

    for name in ("pycuda", "pycuda.driver", "tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    source = tmp_path / "x.npz"
    np.savez(str(source), input=np.zeros((2, 3, 4, 4), np.float32))
    arguments = [bundle.path, "--source", str(source), "--cut", "device-only", "--engine", "trt"]
    assert run_device(arguments) == 1
    assert "error[engine]: pycuda cannot be used" in capsys.readouterr()[1]
    assert open_bundle(bundle.path).manifest.engines == ()


def test_strongly_typed_tensorrt_builds_what_says_half_precision(tmp_path, monkeypatch, capsys):
    """Where there is none it builds the model in float32 and says so; older releases choose precisions themselves."""
    manifest = make_manifest()._replace(cloud={"precision": "fp16"})
    digest = hashlib.sha256(FILES["cloud.onnx"]).hexdigest()
    half = HalfPrecision("cloud.fp16.onnx", digest)
    files, roles = dict(FILES, **{half.path: b"in half"}), dict(ROLES, **{half.path: "half-precision"})
    bundle = write_bundle(str(tmp_path / "b.coach"), manifest._replace(half_precision=(half,)), files, roles)
    plain = write_bundle(str(tmp_path / "plain.coach"), manifest, FILES, ROLES)
    gpu = Gpu(FakeDriver("NVIDIA RTX A6000", capability=(8, 6)))
    monkeypatch.setattr(cuda, "shared_gpu", lambda: gpu)
    for release, opened, parsed, noted in (
        ("11.4", bundle, b"in half", False),
        ("10.3", bundle, FILES["cloud.onnx"], False),
        ("11.4", plain, FILES["cloud.onnx"], True),
    ):
        module = fake_tensorrt(release)
        monkeypatch.setattr(build_module, "load_dialect", lambda: dialect_of(module))  # noqa: B023
        cache = str(tmp_path / (release + str(noted)))
        assert main([opened.path, "--side", "cloud", "--cut", "middle", "--cache", cache]) == 0
        note = "TensorRT 11.4.0.106 computes cloud.onnx in float32, as its graph says; compile with --engine trt"
        assert (note in capsys.readouterr()[1]) == noted
        assert [given for name, given in module.calls if name == "OnnxParser.parse"] == [(parsed,)]
        said = []
        factory = TrtFactory(opened, "cloud", cache, said.append, dialect_of(module), gpu)
        factory(opened.read("cloud.onnx"))  # what was built is found again
        assert [note in text for text in said] == [True] * noted


def test_a_server_s_engine_is_fastest_for_a_full_batch_and_a_device_s_for_one_task(tmp_path):
    manifest = make_manifest()
    batched = [cut._replace(max_batch=8 if cut.name == "middle" else 1) for cut in manifest.cuts]
    opened = model_of(("c", "o", "Conv"), inputs={"x": (-1, 3, 4, 4)})
    files = dict(FILES, **{"device.onnx": opened, "cloud.onnx": opened})
    bundle = write_bundle(str(tmp_path / "b.coach"), manifest._replace(cuts=tuple(batched)), files, ROLES)
    dialect = dialect_of(fake_tensorrt("8.6"))
    for side, best in (("device", 1), ("cloud", 8)):
        settings = to_build(bundle, side, side + ".onnx", opened, dialect, 5).settings
        assert (settings.opt_batch, settings.max_batch) == (best, 8)
        (line,) = trtexec_commands(bundle, side, [side + ".onnx"], dialect, 64 << 20, "/c")
        assert "--minShapes=x:1x3x4x4" in line and f"--optShapes=x:{best}x3x4x4" in line
        assert "--maxShapes=x:8x3x4x4" in line
