"""Measurements of other tools: trtexec's three exports as its releases write them, and ONNX Runtime's profile."""

from __future__ import annotations

import json

import pytest

from coachc.calib.profiles.imported_profile import imported_profile
from coachc.calib.profiles.measured_profile import measured_profile
from coachc.cost.device_files import all_devices
from coachc.errors import ProfileError
from coachc.frontend import ort
from coachc.models import synthetic
from tests.helpers.onnx_models import imported

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture
def residual(tmp_path):
    return imported(synthetic.residual(), tmp_path)


def write(folder, name, data):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def exported(model, *, count=50, medians=True):
    """--exportProfile: a count, then a layer an entry; the total over the runs in timeMs."""
    entries = [{"count": count}]
    for place, node in enumerate(model.proto.graph.node):
        entry = {"name": node.name, "timeMs": count * (place + 1.5), "averageMs": place + 1.5, "percentage": 1.0}
        entries.append({**entry, **({"medianMs": place + 1.0} if medians else {})})
    return entries


@pytest.mark.parametrize(("medians", "first_ms"), [(True, 1.0), (False, 1.5)])
def test_layers_of_trtexec(residual, tmp_path, medians, first_ms):
    model, graph = residual
    entries = exported(model, medians=medians)
    if not medians:
        for entry in entries[1:]:
            del entry["averageMs"]
    found = imported_profile([write(tmp_path, "p.json", entries)], model, graph)
    assert (found.backend, found.precision, found.repeats) == ("tensorrt", "fp16", 50)
    assert found.layers[0].seconds == pytest.approx(first_ms * 1e-3)
    assert len(found.layers) == len(model.proto.graph.node)
    assert "imported from p.json of trtexec" in found.source
    assert found.whole is None


def test_runs_of_trtexec_give_the_whole(residual, tmp_path):
    model, graph = residual
    times = [{"startInMs": 0.0, "inMs": 9.0, "computeMs": ms, "outMs": 9.0, "latencyMs": 20.0} for ms in (4, 5, 6, 30)]
    files = [write(tmp_path, "t.json", times), write(tmp_path, "p.json", exported(model))]
    found = imported_profile(files, model, graph)
    assert found.whole.seconds == pytest.approx(5.5e-3)
    profile = measured_profile(found, model, graph, "device", all_devices()["tx2"])
    assert sum(profile.seconds) == pytest.approx(5.5e-3)


def test_layer_information_names_the_nodes(residual, tmp_path):
    """Since 8.6 a layer may have any name, and says in its metadata of which nodes it is made."""
    model, graph = residual
    names = [node.name for node in model.proto.graph.node]
    layers = [{"count": 10}, {"name": "kernel_a", "timeMs": 20.0}, {"name": "kernel_b", "timeMs": 30.0}]
    info = {
        "Layers": [
            {"Name": "kernel_a", "Metadata": f"[ONNX Layer: {names[0]}]\x1e[ONNX Layer: {names[1]}]"},
            {"Name": "kernel_b", "Metadata": f"[ONNX Layer: {names[-1]}]"},
            "a layer without detail",
        ],
        "Bindings": ["x", "y"],
    }  # fmt: skip
    files = [write(tmp_path, "p.json", layers), write(tmp_path, "l.json", info)]
    found = imported_profile(files, model, graph)
    assert [layer.name for layer in found.layers] == [f"{names[0]} + {names[1]}", names[-1]]
    assert sum(measured_profile(found, model, graph, "device", all_devices()["tx2"]).seconds) == pytest.approx(5e-3)
    with pytest.raises(ProfileError, match=r"no layer of .*p\.json is of net"):
        imported_profile(files[:1], model, graph)


def test_a_profile_of_onnx_runtime(residual, tmp_path):
    model, graph = residual
    session = ort.session(model.proto, "all", profile_prefix=str(tmp_path / "run"))
    feed = ort.seeded_inputs(model.proto, 0)
    for _ in range(8):
        session.run(None, feed)
    from pathlib import Path

    found = imported_profile([Path(session.end_profiling())], model, graph)
    assert (found.backend, found.precision, found.repeats) == ("onnxruntime", "fp32", 5)
    seconds = measured_profile(found, model, graph, "device", all_devices()["tx2"]).seconds
    assert sum(seconds) == pytest.approx(found.whole.seconds)
    assert all(second > 0 for second, node in zip(seconds, graph.nodes, strict=True) if not node.work.free)


class TestRefused:
    def refused(self, residual, *paths):
        with pytest.raises(ProfileError) as caught:
            imported_profile(list(paths), *residual)
        assert caught.value.hint
        return caught.value.message

    def test_no_such_file(self, residual, tmp_path):
        assert "cannot read" in self.refused(residual, tmp_path / "none.json")

    @pytest.mark.parametrize("text", ["{", "", "\xff"])
    def test_no_json(self, residual, tmp_path, text):
        (tmp_path / "a.json").write_text(text, "latin-1")
        assert "cannot read" in self.refused(residual, tmp_path / "a.json")

    @pytest.mark.parametrize("data", [[], {}, 5, [{"name": "a"}], {"Layers": 3}, None])
    def test_another_file(self, residual, tmp_path, data):
        assert "is none of: trtexec's --exportProfile" in self.refused(residual, write(tmp_path, "a.json", data))

    def test_two_of_a_kind(self, residual, tmp_path):
        files = [write(tmp_path, name, exported(residual[0])) for name in ("a.json", "b.json")]
        assert "are both trtexec's --exportProfile" in self.refused(residual, *files)

    def test_two_tools(self, residual, tmp_path):
        events = [{"cat": "Node", "name": "a_kernel_time", "dur": 5}]
        files = [write(tmp_path, "a.json", events), write(tmp_path, "b.json", exported(residual[0]))]
        assert "is mixed with trtexec's --exportProfile" in self.refused(residual, *files)

    def test_only_runs(self, residual, tmp_path):
        said = self.refused(residual, write(tmp_path, "t.json", [{"computeMs": 5.0}]))
        assert said == "trtexec's --exportTimes says nothing of layers"

    def test_two_engines(self, residual, tmp_path):
        info = {"Layers": [{"Name": "other", "Metadata": "[ONNX Layer: what]"}]}
        files = [write(tmp_path, "p.json", exported(residual[0])), write(tmp_path, "l.json", info)]
        assert "are of different engines: no layer is in both" in self.refused(residual, *files)

    def test_another_model(self, residual, tmp_path):
        entries = [{"count": 1}, {"name": "mine", "timeMs": 1.0}]
        assert "is of net" in self.refused(residual, write(tmp_path, "p.json", entries))

    def test_a_number_that_is_none(self, residual, tmp_path):
        entries = [{"count": 1}, {"name": residual[0].proto.graph.node[0].name, "timeMs": "fast"}]
        assert "'timeMs' is 'fast', expected a number" in self.refused(residual, write(tmp_path, "p.json", entries))
