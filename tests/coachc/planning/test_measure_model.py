"""Measuring a model here: operators, and parts at cuts between its blocks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.calib.profiles.measured_profile import mask_of_cut, measured_profile
from coachc.cost.device import LOCAL_SPEC
from coachc.frontend import ort
from coachc.models import synthetic
from coachc.planning import measuring_engines
from coachc.planning.measure_model import CUTS, boundaries, measure_model
from coachc.runtime.engines.cuda import Gpu
from coachc.runtime.engines.load_dialect import dialect_of
from tests.helpers.bundles import save
from tests.helpers.commands import coachc
from tests.helpers.fake_cuda import FakeDriver
from tests.helpers.fake_tensorrt import fake_tensorrt
from tests.helpers.onnx_models import imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")


def test_every_operator_and_some_parts(tmp_path):
    model, graph = imported(synthetic.residual(), tmp_path)
    said = []
    found = measure_model(model, graph, repeats=3, cuts=2, progress=lambda *step: said.append(step))
    assert (found.model_sha256, found.repeats, found.backend) == (model.sha256, 3, "onnxruntime")
    assert found.versions["onnxruntime"] == ort.version()
    assert [one.part for one in found.segments].count("whole") == 1
    assert all(mask_of_cut(graph, one.values) is not None for one in found.segments if one.part != "whole")
    assert {step for step, _, _ in said} == {"measuring operators", "measuring parts"}
    profile = measured_profile(found, model, graph, "device", LOCAL_SPEC)
    assert all(s > 0 for node, s in zip(graph.nodes, profile.seconds, strict=True) if "Conv" in node.kind)
    # Quantizing takes between a nanosecond and ten microseconds a value, and starts within a millisecond.
    assert 1e5 < profile.bytes_per_s < 1e11
    assert 0 < profile.overhead_s < 1e-2


def test_the_big_convolution_dominates(tmp_path):
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]),
        op("Conv", "p b", "d"), op("GlobalAveragePool", "d", "y"),
    ]  # fmt: skip
    weights = [random_weight("a", 128, 64, 3, 3), random_weight("b", 4, 128, 1, 1)]
    model, graph = imported(net(nodes, [info("x", (1, 64, 64, 64))], ["y"], weights), tmp_path)
    profile = measured_profile(measure_model(model, graph, repeats=7), model, graph, "device", LOCAL_SPEC)
    # 1.2 GFLOP beside 1 MFLOP and two passes over memory.
    assert profile.seconds[0] > 0.6 * sum(profile.seconds)


@pytest.mark.parametrize("cuts", [1, 3, CUTS])
def test_cuts_are_at_even_steps_between_blocks(tmp_path, cuts):
    _, graph = imported(synthetic.residual(), tmp_path)
    masks = boundaries(graph, [1.0] * len(graph.nodes), cuts)
    assert 1 <= len(masks) <= cuts
    assert masks == sorted(set(masks))
    assert all(graph.is_ideal(mask) and 0 < mask < graph.full_mask for mask in masks)


class TestTensorRT:
    """A TensorRT with the names of a real release whose engines compute nothing: what is built, run and told."""

    TENSORS = (("input", True, "FLOAT", (1, 3, 32, 32)), ("output", False, "FLOAT", (1, 10)))

    @pytest.fixture
    def made(self, monkeypatch, tmp_path):
        def run(trt, addresses):
            profiler = dict(trt.calls)["IExecutionContext.profiler"][0]
            profiler.report_layer_time("Conv_0 + Relu_1", 2.0)
            return True

        def make(release, precision):
            trt = fake_tensorrt(release, self.TENSORS, IExecutionContext_execute_v2=run)
            monkeypatch.setattr(measuring_engines, "load_dialect", lambda: dialect_of(trt))
            monkeypatch.setattr(measuring_engines, "shared_gpu", lambda: Gpu(FakeDriver()))
            return trt, measuring_engines.TrtMeasuring(precision, str(tmp_path / "cache"))

        return make

    def model(self):
        nodes = [op("Conv", "input w", "c"), op("Relu", "c", "r"), op("GlobalAveragePool", "r", "p")]
        nodes += [op("Flatten", "p", "output")]
        return net(nodes, [info("input", (1, 3, 32, 32))], [info("output", (1, 10))], [random_weight("w", 10, 3, 3, 3)])

    @pytest.mark.parametrize("release", ["8.2", "8.6", "10.3"])
    @pytest.mark.parametrize("precision", ["fp16", "fp32"])
    def test_layers_and_runs(self, made, release, precision):
        trt, engine = made(release, precision)
        feed = {"input": np.zeros((1, 3, 32, 32), np.float32)}
        assert engine.layers(self.model(), feed, 5) == {"Conv_0 + Relu_1": [0.002] * 5}
        assert (engine.backend, engine.precision) == ("tensorrt", precision)
        assert engine.versions() == {"tensorrt": trt.__version__}
        flags = [given for name, given in trt.calls if name == "IBuilderConfig.set_flag"]
        assert (trt.BuilderFlag.FP16 in [flag for (flag,) in flags]) is (precision == "fp16")
        run = engine.load(self.model())
        assert run(feed)["output"].shape == (1, 10)
        # The same model is built once.
        assert len([name for name, _ in trt.calls if name == "Builder.build_serialized_network"]) == 1

    def test_where_types_are_the_graphs_it_is_converted(self, made):
        trt, engine = made("11.4", "fp16")
        engine.load(self.model())
        ((parsed,),) = [given for name, given in trt.calls if name == "OnnxParser.parse"]
        inits = onnx.load_from_string(parsed).graph.initializer
        assert onnx.TensorProto.FLOAT16 in [one.data_type for one in inits]


def test_without_tensorrt_it_says_so(tmp_path):
    save(synthetic.residual(), tmp_path / "net.onnx")
    outcome = coachc("profile", tmp_path / "net.onnx", "--backend", "trt", "-o", tmp_path / "p.json")
    assert outcome.code == 1
    assert "error[engine]" in outcome.err
    assert not (tmp_path / "p.json").exists()
    wrong = coachc("profile", tmp_path / "net.onnx", "--backend", "cuda", "-o", tmp_path / "p.json")
    assert (wrong.code, "--backend" in wrong.err) == (2, True)
