"""The measuring program: what it times of a bundle and of a file, and what it leaves to the compiler."""

import numpy as np
import pytest

from coachc.runtime import measure
from coachc.runtime.bundle.profile_file import Layer, read_profile
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.device.achieved_profile import stage_segments
from coachc.runtime.device.outcome import Done
from coachc.runtime.device.task_tally import Tally
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.errors import EngineError
from tests.helpers.runtime_bundles import fake_engine_for, make_bundle


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [("float32", -6, 6), ("float16", -6, 6), ("uint8", 0, 255), ("int64", 0, 0)]
)
def test_random_inputs(dtype, least, most):
    array = measure.random_array((2, 3, 4), dtype, 0)
    assert (array.shape, array.dtype) == ((2, 3, 4), np.dtype(dtype))
    assert least <= array.min() <= array.max() <= most


def test_halves_with_another_engine_are_told_as_stages(tmp_path, monkeypatch):
    """These say nothing of layers: the compiler divides each part as it estimates."""
    bundle = open_bundle(make_bundle(tmp_path / "tiny.coach").path)
    monkeypatch.setattr(measure, "factory_of", lambda *rest: fake_engine_for)
    monkeypatch.setattr(measure, "_tensorrt_version", lambda: "8.2.1")
    seen = []
    profile = measure.measure_bundle(bundle, "trt", repeats=4, progress=lambda *said: seen.append(said))
    assert (profile.backend, profile.versions, profile.layers) == ("tensorrt", {"tensorrt": "8.2.1"}, ())
    assert profile.model_sha256 == bundle.manifest.model.sha256
    assert profile.inputs == {"input": bundle.manifest.model.inputs[0].shape}
    parts = {(one.part, one.values): one for one in profile.segments}
    assert set(parts) == {("device", ("features",)), ("whole", ()), ("device", ("input",))}
    assert all(one.stage and one.seconds > 0 for one in profile.segments)
    assert seen[-1] == ("measuring", 6, 7)


def test_layers_of_the_whole_model_where_the_engine_tells_them(tmp_path, monkeypatch):
    class Watched(FakeEngine):
        def watch_layers(self, report):
            self.report = report
            return True

        def run(self, feed):
            if hasattr(self, "report"):
                self.report("Conv_0 + Relu_1", 0.002)
            return FakeEngine.run(self, feed)

    bundle = open_bundle(make_bundle(tmp_path / "tiny.coach").path)

    def factory(data, providers=()):
        engine = fake_engine_for(data, providers)
        engine.__class__ = Watched
        return engine

    monkeypatch.setattr(measure, "factory_of", lambda *rest: factory)
    monkeypatch.setattr(measure, "_tensorrt_version", lambda: "8.2.1")
    profile = measure.measure_bundle(bundle, "trt", repeats=4)
    assert profile.layers == (Layer("Conv_0 + Relu_1", 0.002, 0.0),)
    assert [one.part for one in profile.segments].count("whole") == 1


def test_an_engine_that_fails_is_an_error(tmp_path, monkeypatch):
    def fails(feed):
        raise EngineError("no")

    monkeypatch.setattr(measure, "factory_of", lambda *rest: lambda data, providers=(): FakeEngine(fails))
    with pytest.raises(EngineError):
        measure.measure_bundle(open_bundle(make_bundle(tmp_path / "tiny.coach").path), "trt")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["none.coach"], "none.coach"),
        (["a.onnx", "--engine", "trt"], "--engine trt measures bundles"),
        (["a.onnx", "--repeats", "0"], "--repeats 0 measures nothing"),
    ],
)
def test_what_cannot_be_measured(tmp_path, monkeypatch, capsys, argv, said):
    (tmp_path / "a.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert measure.main(argv) in (1, 2)
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.needs("onnxruntime", "onnx")
def test_an_onnx_file_layer_by_layer(tmp_path, monkeypatch, capsys):
    from onnx import TensorProto, helper

    shape = [1, 8, 8]
    nodes = [helper.make_node("Relu", ["x"], ["r"], "first"), helper.make_node("Sigmoid", ["r"], ["y"], "second")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert measure.main(["net.onnx", "--repeats", "5"]) == 0
    said = capsys.readouterr().out
    assert "coachc compile MODEL --device-profile net.profile.json" in said
    profile = read_profile("net.profile.json")
    assert {layer.name for layer in profile.layers} == {"first", "second"}
    assert (profile.inputs, profile.repeats, profile.precision) == ({"x": (1, 8, 8)}, 5, "fp32")
    assert [one.part for one in profile.segments] == ["whole"]
    assert not profile.whole.stage


class TestStages:
    def segments(self, tmp_path, done, cut="middle"):
        manifest = open_bundle(make_bundle(tmp_path / "tiny.coach").path).manifest
        tally = Tally(manifest, lambda: 1e6)
        for number, one in enumerate(done):
            tally.submit(number)
            tally.end(one._replace(task=number))
        return stage_segments(manifest.cut(cut), tally.stages(cut))

    def test_of_a_split(self, tmp_path):
        done = [Done(0, (1,), 1.0, 0.1 * place, 0.5, 0.3, cut="middle", work_s=0.2) for place in (1, 2, 3)]
        done += [
            Done(0, (1,), 1.0, 9.0, cut="device-only", exit="fallback"),
            Done(0, (1,), 1.0, 0.2, cut="middle", exit="score"),
        ]
        device, cloud = self.segments(tmp_path, done)
        assert (device.part, device.values, device.seconds, device.stage) == (
            "device",
            ("features",),
            pytest.approx(0.2, rel=0.006),
            True,
        )
        assert (cloud.part, cloud.values, cloud.seconds) == ("cloud", ("features",), pytest.approx(0.2, rel=0.006))

    def test_of_a_server_that_does_not_say(self, tmp_path):
        (device,) = self.segments(tmp_path, [Done(0, (1,), 1.0, 0.1, 0.5, cut="middle")])
        assert device.part == "device"

    def test_of_the_device_alone(self, tmp_path):
        done = [Done(0, (1,), 1.0, 0.1, cut="device-only", exit="device")]
        (whole,) = self.segments(tmp_path, done, "device-only")
        assert (whole.part, whole.values, whole.seconds) == ("whole", (), pytest.approx(0.1, rel=0.006))
