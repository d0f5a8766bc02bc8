"""Every dialect against the names and signatures that real releases have."""

import os

import pytest

from coachc.runtime.engines.dialect import DTYPES, Dialect, Settings, ShortOfMemory, parse_version, shape_ranges
from coachc.runtime.engines.dialect_8_2 import Dialect82
from coachc.runtime.engines.dialect_8_5 import Dialect85
from coachc.runtime.engines.dialect_11 import Dialect11
from coachc.runtime.engines.load_dialect import dialect_of, load_dialect
from coachc.runtime.engines.onnx_nodes import node_names, open_inputs
from coachc.runtime.errors import EngineError
from tests.helpers.fake_tensorrt import TENSORS, VERSIONS, fake_tensorrt
from tests.helpers.onnx_bytes import model_of
from tests.helpers.tensorrt_names import FOLDER, read_names, shown

RELEASES = sorted(VERSIONS)
KINDS = {"8.2": Dialect82, "8.6": Dialect85, "10.3": Dialect85, "10.16": Dialect85, "11.4": Dialect11}
TYPED = ("11.4", "rtx-1.7")


def quiet(severity, message):
    pass


def build(trt, **settings):
    return dialect_of(trt).build(b"a model", Settings(**settings), quiet, b"earlier timings")


def calls_of(trt, name):
    return [arguments for called, arguments in trt.calls if called == name]


def test_every_list_of_names_has_a_release_here():
    assert sorted(name[: -len(".txt")] for name in os.listdir(FOLDER)) == RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_the_dialect_of_a_release(release):
    dialect = dialect_of(fake_tensorrt(release))
    assert type(dialect) is KINDS.get(release, Dialect11)
    assert dialect.product == ("TensorRT-RTX" if release.startswith("rtx") else "TensorRT")
    assert dialect.version == VERSIONS[release]


@pytest.mark.parametrize("release", RELEASES)
def test_a_build_uses_only_what_the_release_has(release):
    trt = fake_tensorrt(release)
    built = build(trt, fp16=True, workspace_bytes=64 << 20)
    timed = not release.startswith("rtx")
    assert built.plan == b"a plan" and built.timing_cache == (b"timings" if timed else b"")
    assert calls_of(trt, "OnnxParser.parse") == [(b"a model",)]
    assert calls_of(trt, "IBuilderConfig.create_timing_cache") == [(b"earlier timings",)] * timed
    flags = [str(flag) for (flag,) in calls_of(trt, "IBuilderConfig.set_flag")]
    assert flags == ([] if release in TYPED else ["BuilderFlag.FP16"])
    flag = "STRONGLY_TYPED" if release in TYPED else "EXPLICIT_BATCH"
    assert calls_of(trt, "Builder.create_network") == [(1 << int(getattr(trt.NetworkDefinitionCreationFlag, flag)),)]
    if release == "8.2":
        assert calls_of(trt, "IBuilderConfig.max_workspace_size") == [(64 << 20,)]
    else:
        ((pool, size),) = calls_of(trt, "IBuilderConfig.set_memory_pool_limit")
        assert (str(pool), size) == ("MemoryPoolType.WORKSPACE", 64 << 20)


@pytest.mark.parametrize("release", RELEASES)
def test_an_engine_is_loaded_and_run_with_what_the_release_has(release):
    trt = fake_tensorrt(release)
    dialect = dialect_of(trt)
    runtime, engine = dialect.deserialize(b"a plan", quiet)
    assert calls_of(trt, "Runtime.deserialize_cuda_engine") == [(b"a plan",)]
    tensors = dialect.tensors(engine)
    assert [(t.name, t.is_input, t.dtype, t.shape) for t in tensors] == [
        (name, is_input, DTYPES[kind], shape) for name, is_input, kind, shape in TENSORS
    ]
    context = engine.create_execution_context()
    assert dialect.enqueue(context, tensors, {"x": 4096, "codes": 8192}, 77)
    if release == "8.2":
        assert calls_of(trt, "IExecutionContext.execute_async_v2") == [([4096, 8192], 77)]
    else:
        assert calls_of(trt, "IExecutionContext.set_tensor_address") == [("x", 4096), ("codes", 8192)]
        assert calls_of(trt, "IExecutionContext.execute_async_v3") == [(77,)]
    assert runtime is not None


def test_the_fake_refuses_what_a_release_does_not_have():
    trt = fake_tensorrt("10.3")
    config = trt.Builder(None).create_builder_config()
    with pytest.raises(AttributeError, match="no property 'max_workspace_size'"):
        config.max_workspace_size = 1
    with pytest.raises(AttributeError, match="no 'set_memory_pool_limits'"):
        config.set_memory_pool_limits()
    with pytest.raises(TypeError, match="does not take 1 arguments"):
        config.set_memory_pool_limit(1)
    with pytest.raises(AttributeError):
        trt.BuilderFlag.FP17  # noqa: B018
    for release, name in (("10.3", "execute_async_v2"), ("8.2", "execute_async_v3"), ("11.4", "execute_async_v2")):
        names = [line for line in read_names(release) if line.startswith("IExecutionContext." + name)]
        assert names == []


@pytest.mark.parametrize(("kind", "release"), [(Dialect82, "10.3"), (Dialect85, "8.2"), (Dialect85, "11.4")])
def test_the_dialect_of_another_release_would_fail(kind, release):
    """That these tests can fail: each dialect needs what other releases do not have."""
    with pytest.raises(AttributeError):
        kind(fake_tensorrt(release)).build(b"a model", Settings(workspace_bytes=1 << 20), quiet)


@pytest.mark.parametrize("release", ["8.2", "8.6", "10.3"])
def test_a_precision_the_gpu_lacks_is_refused(release):
    with pytest.raises(EngineError, match="this GPU has no fast INT8"):
        build(fake_tensorrt(release), int8=True)
    trt = fake_tensorrt(release, Builder_platform_has_fast_int8=True)
    build(trt, int8=True)
    assert [str(flag) for (flag,) in calls_of(trt, "IBuilderConfig.set_flag")] == ["BuilderFlag.INT8"]


def error_answers(desc="no such thing", node=1):
    return {
        "OnnxParser_parse": False,
        "OnnxParser_num_errors": 1,
        "ParserError_node": node,
        "ParserError_desc": desc,
        "ParserError_code": "ErrorCode.UNSUPPORTED_NODE",
        "ParserError_node_name": "/conv/Conv",
        "ParserError_node_operator": "Conv",
    }


def test_names_of_nodes_are_read_without_onnx():
    model = model_of(("quantizer", "q", "QuantizeLinear"), ("", "y", "Mod"))
    assert node_names(model) == [("quantizer", "QuantizeLinear"), ("y", "Mod")]
    assert node_names(b"") == node_names(b"junk\xff\xff\xff") == []
    for end in range(len(model)):
        assert len(node_names(model[:end])) <= 2


@pytest.mark.needs("onnx")
def test_names_of_nodes_are_those_of_onnx():
    import onnx.helper as oh

    nodes = [oh.make_node("Relu", ["x"], ["y"], name="first"), oh.make_node("Add", ["y", "x"], ["z"])]
    graph = oh.make_graph(nodes, "g", [], [])
    assert node_names(oh.make_model(graph).SerializeToString()) == [("first", "Relu"), ("z", "Add")]


@pytest.mark.parametrize("release", RELEASES)
def test_a_node_the_parser_refuses_is_named_with_the_reason(release):
    model = model_of(("a", "b", "Relu"), ("c", "d", "Mod"))
    trt = fake_tensorrt(release, **error_answers())
    with pytest.raises(EngineError) as caught:
        dialect_of(trt).build(model, Settings(), quiet)
    # Before 10 the parser gives a number only.
    where = "'c' (Mod)" if release[0] == "8" else "'/conv/Conv' (Conv)"
    assert f"does not parse the model: node {where}, number 1: no such thing" in caught.value.message
    assert VERSIONS[release] in caught.value.message and "recompile" in caught.value.hint


def test_a_parser_that_gives_no_reason_gives_its_code():
    trt = fake_tensorrt("rtx-1.7", **error_answers(desc="false"))
    with pytest.raises(EngineError, match="number 1: ErrorCode.UNSUPPORTED_NODE: false"):
        build(trt)


def logging_answer(*lines):
    """A build that logs errors and gives nothing."""

    def answer(trt, *arguments):
        logger = next(arguments for name, arguments in trt.calls if name == "Builder.__init__")[0]
        for line in lines:
            logger.log(trt.Severity.ERROR, line)

    return answer


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    "line",
    [
        "[virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)",
        "[executionContext.cpp::commonEmitDebugTensor::1] Error Code 1: Cuda Runtime (out of memory)",
        "Requested amount of GPU memory (1073741824 bytes) could not be allocated.",
    ],
)
def test_a_build_that_fails_for_memory_says_so(release, line):
    trt = fake_tensorrt(release, Builder_build_serialized_network=logging_answer(line))
    with pytest.raises(ShortOfMemory) as caught:
        build(trt)
    assert line in caught.value.message and "memory" in caught.value.hint


def test_a_tactic_without_workspace_is_no_lack_of_memory():
    line = "Could not find any implementation for node Conv_3 due to insufficient workspace. See verbose log."
    trt = fake_tensorrt("8.2", Builder_build_serialized_network=logging_answer(line))
    with pytest.raises(EngineError) as caught:
        build(trt)
    assert not isinstance(caught.value, ShortOfMemory)
    assert "--workspace" in caught.value.hint


def test_an_engine_that_is_not_taken_says_why():
    trt = fake_tensorrt("8.2", Runtime_deserialize_cuda_engine=None)
    with pytest.raises(EngineError, match="TensorRT 8.2.1.8 does not load the engine: it does not say why"):
        dialect_of(trt).deserialize(b"a plan", quiet)


def test_a_builder_that_cannot_start_says_why():
    class NoDriver:
        __name__, __version__ = "tensorrt", "8.6.1"

        class ILogger:
            pass

        class Builder:
            def __init__(self, logger):
                logger.log("Severity.ERROR", "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(EngineError, match="does not start: CUDA initialization failure") as caught:
        dialect_of(NoDriver()).build(b"", Settings(), quiet)
    assert "CUDA device and its driver are needed" in caught.value.hint


@pytest.mark.parametrize("release", ["8.2", "10.3", "11.4"])
def test_only_rtx_builds_for_a_gpu_that_is_not_there(release):
    with pytest.raises(EngineError, match="builds for the GPU it runs on, not for compute capability 8.6"):
        build(fake_tensorrt(release), compute_capability="8.6")


def test_rtx_builds_for_another_gpu():
    trt = fake_tensorrt("rtx-1.7")
    assert dialect_of(trt).compute_capabilities() == ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
    build(trt, compute_capability="8.6")
    ((capability, index),) = calls_of(trt, "IBuilderConfig.set_compute_capability")
    assert (str(capability), index) == ("ComputeCapability.SM86", 0)
    assert calls_of(trt, "IBuilderConfig.num_compute_capabilities") == [(1,)]
    with pytest.raises(EngineError, match="does not build for compute capability 9.0") as caught:
        build(trt, compute_capability="9.0")
    assert "7.5, 8.0, 8.6, 8.9, 12.0, 12.1" in caught.value.hint


def test_a_timing_cache_that_does_not_fit_is_left_aside():
    def fits(trt, cache, ignore):
        return len(calls_of(trt, "IBuilderConfig.create_timing_cache")) == 2

    trt = fake_tensorrt("10.3", IBuilderConfig_set_timing_cache=fits)
    assert build(trt).timing_cache == b"timings"
    assert calls_of(trt, "IBuilderConfig.create_timing_cache") == [(b"earlier timings",), (b"",)]
    assert build(fake_tensorrt("10.3", IBuilderConfig_set_timing_cache=False)).timing_cache == b""


@pytest.mark.parametrize(("dtype", "shape", "said"), [("FP8", (1,), "is FP8"), ("FLOAT", (-1, 3, -1), "open shape")])
def test_tensors_that_are_no_engine_of_ours(dtype, shape, said):
    trt = fake_tensorrt(
        "10.3",
        ICudaEngine_get_tensor_dtype=lambda trt, name: getattr(trt.DataType, dtype),
        ICudaEngine_get_tensor_shape=lambda trt, name: shape,
    )
    dialect = dialect_of(trt)
    with pytest.raises(EngineError, match="tensor 'x' of the engine .*" + said):
        dialect.tensors(dialect.deserialize(b"", quiet)[1])


COMMANDS = {
    "8.2": "trtexec --onnx=m.onnx --saveEngine=m.plan --fp16 --workspace=64 --timingCacheFile=t --buildOnly",
    "8.6": "trtexec --onnx=m.onnx --saveEngine=m.plan --fp16 --memPoolSize=workspace:64 --timingCacheFile=t "
    "--skipInference",
    "11.4": "trtexec --onnx=m.onnx --saveEngine=m.plan --memPoolSize=workspace:64 --timingCacheFile=t --skipInference",
    "rtx-1.7": "tensorrt_rtx --onnx=m.onnx --saveEngine=m.plan --memPoolSize=workspace:64 --timingCacheFile=t "
    "--skipInference",
}


@pytest.mark.parametrize("release", sorted(COMMANDS))
def test_the_same_build_as_a_trtexec_command(release):
    dialect = dialect_of(fake_tensorrt(release))
    words = dialect.trtexec("m.onnx", "m.plan", Settings(fp16=True, workspace_bytes=64 << 20), "t")
    assert " ".join(words) == COMMANDS[release]


@pytest.mark.parametrize("release", RELEASES)
def test_an_open_axis_is_built_for_a_range_and_run_for_one_task(release):
    trt = fake_tensorrt(release, (("x", True, "FLOAT", (-1, 3, 4)), ("y", False, "FLOAT", (5, -1))))
    dialect, settings = dialect_of(trt), Settings(opt_batch=4, max_batch=8)
    model = model_of(("n", "y", "Relu"), inputs={"x": (-1, 3, 4), "x/scale": (1,), "w": (-1, 2)}, constants=["w"])
    dialect.build(model, settings, quiet)
    assert calls_of(trt, "IOptimizationProfile.set_shape") == [("x", (1, 3, 4), (4, 3, 4), (8, 3, 4))]
    ((profile,),) = calls_of(trt, "IBuilderConfig.add_optimization_profile")
    assert type(profile).__name__ == "IOptimizationProfile"
    _, engine = dialect.deserialize(b"a plan", quiet)
    tensors = dialect.tensors(engine)
    assert [(tensor.shape, tensor.is_open) for tensor in tensors] == [((1, 3, 4), True), ((5, 1), True)]
    assert dialect.context(engine, tensors) is not None
    if release == "8.2":
        assert calls_of(trt, "IExecutionContext.set_binding_shape") == [(0, (1, 3, 4))]
    else:
        assert calls_of(trt, "IExecutionContext.set_input_shape") == [("x", (1, 3, 4))]
    words = dialect.trtexec("m.onnx", "m.plan", settings, ranges=shape_ranges(model, settings))
    assert [word for word in words if "Shapes" in word] == [
        "--minShapes=x:1x3x4", "--optShapes=x:4x3x4", "--maxShapes=x:8x3x4",
    ]  # fmt: skip


def refuse_range(trt, *arguments):
    raise RuntimeError("Shape provided for opt is inconsistent with other shapes.")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"IOptimizationProfile_set_shape": refuse_range}, "does not take the range of 'x': Shape provided for opt"),
        ({"IBuilderConfig_add_optimization_profile": -1}, "does not take the ranges of shapes"),
    ],
)
def test_a_range_that_is_refused_is_said(answers, said):
    with pytest.raises(EngineError, match=said):
        dialect_of(fake_tensorrt("10.3", **answers)).build(model_of(inputs={"x": (-1, 3)}), Settings(), quiet)


def test_a_model_with_two_open_axes_is_refused():
    with pytest.raises(EngineError, match=r"input 'x' of the model has the open shape \[-1, 3, -1\]"):
        shape_ranges(model_of(inputs={"x": (-1, 3, -1)}), Settings())


def test_a_context_that_refuses_the_shape_of_one_task_is_said():
    trt = fake_tensorrt("10.3", (("x", True, "FLOAT", (-1, 3)),), IExecutionContext_set_input_shape=False)
    dialect = dialect_of(trt)
    _, engine = dialect.deserialize(b"a plan", quiet)
    with pytest.raises(EngineError, match=r"does not take 'x' of shape \[1, 3\]"):
        dialect.context(engine, dialect.tensors(engine))


def test_inputs_are_read_from_the_bytes_that_onnx_writes():
    model = model_of(("n", "y", "Relu"), inputs={"x": (-1, 3, 300), "scale": (1,), "none": ()})
    assert open_inputs(model) == {"x": (-1, 3, 300)}
    assert open_inputs(b"") == open_inputs(b"junk\xff\xff") == {}
    for end in range(len(model)):
        assert set(open_inputs(model[:end])) <= {"x"}
    oh = pytest.importorskip("onnx.helper")
    infos = [oh.make_tensor_value_info(name, 1, shape) for name, shape in (("a", ["n", 3]), ("b", [None]), ("c", [2]))]
    weights = [oh.make_tensor("b", 1, [1], [0.0])]
    graph = oh.make_graph([], "g", infos, [], weights)
    assert open_inputs(oh.make_model(graph).SerializeToString()) == {"a": (-1, 3)}


@pytest.mark.parametrize(
    ("version", "kind"),
    [("8.0.1", Dialect82), ("8.4.3", Dialect82), ("8.5.2.2", Dialect85), ("10.9.0", Dialect85), ("11.0.0", Dialect11)],
)
def test_every_release_has_one_dialect(version, kind):
    class Release:
        __name__, __version__ = "tensorrt", version

    assert type(dialect_of(Release())) is kind


@pytest.mark.parametrize("version", ["7.1.3", "12.0", "unknown"])
def test_other_releases_are_refused(version):
    class Release:
        __name__, __version__ = "tensorrt", version

    with pytest.raises(EngineError, match=f"TensorRT {version} is not supported") as caught:
        dialect_of(Release())
    assert caught.value.hint == "expected 8.0 to 8.4, 8.5 to 10.99, 11.0 to 11.99"


def test_without_tensorrt_the_way_out_is_named(monkeypatch):
    import sys

    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match="TensorRT is not installed") as caught:
        load_dialect()
    assert "JetPack" in caught.value.hint
    with pytest.raises(EngineError):
        load_dialect("tensorrt_rtx")


def test_versions():
    assert [parse_version(text) for text in ("8.2.1.8", "10.16.1", "x")] == [(8, 2), (10, 16), (0, 0)]
    assert issubclass(Dialect82, Dialect)


def test_signatures_are_shown_as_the_lists_have_them():
    assert shown("self: a.B, flags: typing.SupportsInt = 0", "a.C") == "(flags=) -> C"
    assert shown("self: a.B, l: List[Tuple[int, str]], s: <E.F: 2> = <E.F: 2>", "bool") == "(l, s=) -> bool"
    assert shown("self: a.B", "nvonnxparser::IParserError") == "() -> IParserError"


@pytest.mark.needs("tensorrt_rtx")
def test_the_list_of_rtx_is_what_is_installed():
    import tensorrt_rtx

    from tests.helpers.tensorrt_names import names_of

    if not tensorrt_rtx.__version__.startswith("1.7."):
        pytest.skip("the list is of TensorRT-RTX 1.7")
    assert names_of(tensorrt_rtx) == read_names("rtx-1.7")
