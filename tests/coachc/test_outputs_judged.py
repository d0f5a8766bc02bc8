"""Detectors, segmenters and super resolution: every output is judged in its own scale, and none of them exits early."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest

from coachc.calib.output_scale import scales_of
from coachc.frontend import ort
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import replace_artefact, save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.output_models import MODELS, pictures

pytestmark = pytest.mark.needs("onnxruntime")

#: Enough to keep back what can prove 2 %.
SAMPLES = 600


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """By model: its file, its bundle, the report, and test pictures that had no part in it."""
    folder = tmp_path_factory.mktemp("outputs")
    np.savez(folder / "calib.npz", x=pictures(SAMPLES))
    np.savez(folder / "test.npz", x=pictures(200, seed=1))
    found = {}

    def of(name):
        if name not in found:
            model = save(MODELS[name](), folder / f"{name.replace(' ', '-')}.onnx")
            bundle = folder / f"{name.replace(' ', '-')}.coach"
            flags = ["--calib", folder / "calib.npz", "--mode", "split", "--bandwidth", "1Mbit"]
            found[name] = model, bundle, compile_json(model, bundle, *flags), folder / "test.npz"
        return found[name]

    return of


@pytest.mark.parametrize("name", MODELS)
def test_every_output_is_judged_and_said(compiled, name):
    model, bundle, report, test = compiled(name)
    outputs = [output.name for output in onnx.load(model).graph.output]
    assert (report["judged"]["task"], report["judged"]["budget"]) == ("outputs", 0.02)
    assert report["accuracy"]["kind"] == "outputs"
    assert report["accuracy"]["worst_output"] in (*outputs, None)
    assert report["online"]["split"] == {"reason": "outputs are judged, not a class that the device could answer with"}
    assert 0 <= report["judged"]["yardsticks"]["float16"] < 0.02
    manifest = open_bundle(bundle).manifest
    assert manifest.task == "outputs"
    assert all(cut.policy is None for cut in manifest.cuts)
    ran = coachc("run", bundle, "--cut", "device-only", "--source", test, "--json").json()
    assert (ran["task"], ran["accuracy"]) == ("outputs", None)
    assert "outputs are judged (coachc eval does)" in succeed("run", bundle, "--cut", "device-only", "--source", test)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_promised_holds_for_other_pictures(compiled, name):
    _, bundle, report, test = compiled(name)
    found = coachc("eval", bundle, "--data", test, "--json").json()
    worst = max(one["loss"] for one in found["outputs"])
    if report["accuracy"]["certified"]:
        assert report["accuracy"]["loss_bound_95"] <= 0.02
        assert worst <= 0.02
    else:
        assert re.search("accuracy not certified: .* samples would do", report["warnings"][0])


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_the_distances_of_the_halves_outputs(compiled, name):
    """Against the formula, from outputs of the whole model and of both halves run here by ONNX Runtime."""
    model, bundle, _, test = compiled(name)
    proto = onnx.load(model)
    with np.load(test) as stored:
        feeds = [{"x": stored["x"][row : row + 1]} for row in range(40)]
    session = ort.session(proto)
    whole = [ort.run_sample(session, feed) for feed in feeds]
    scales = scales_of(lambda: whole)
    np.savez(bundle.parent / "forty.npz", x=np.concatenate([feed["x"] for feed in feeds]))
    found = coachc("eval", bundle, "--data", bundle.parent / "forty.npz", "--json").json()
    mean = [np.mean([outputs[place] for outputs in whole], axis=0) for place in range(len(scales))]
    for place, one in enumerate(found["outputs"]):
        # A constant output loses about everything, the same output nothing.
        assert np.mean([scales[place].distance(w[place], mean[place]) for w in whole]) == pytest.approx(1, abs=0.1)
        assert scales[place].distance(whole[0][place], whole[0][place]) == 0
        assert 0 <= one["loss"] <= one["largest"] <= 1


@pytest.mark.parametrize(
    ("name", "output"), [("scores first", "landmarks"), ("segmenter", "masks"), ("class-like", "boxes")]
)
def test_a_shift_planted_in_one_output_breaks_the_budget(compiled, name, output, tmp_path):
    _, bundle, _, test = compiled(name)
    planted = tmp_path / "planted.coach"
    succeed("pack", bundle, "-o", tmp_path / "b.coachz")
    succeed("unpack", tmp_path / "b.coachz", "-o", planted)
    cut = open_bundle(planted).manifest.cut()
    path = next(
        one for one in (cut.cloud, cut.device, *cut.before, *cut.after)
        if one is not None and output in [o.name for o in onnx.load(planted / one).graph.output]
    )  # fmt: skip
    half = onnx.load(planted / path)
    for node in half.graph.node:
        node.output[:] = [f"{name}.before" if name == output else name for name in node.output]
        node.input[:] = [f"{name}.before" if name == output else name for name in node.input]
    shift = onnx.numpy_helper.from_array(np.float32([0.5]), "planted.shift")
    half.graph.initializer.append(shift)
    half.graph.node.append(onnx.helper.make_node("Add", [f"{output}.before", "planted.shift"], [output]))
    replace_artefact(planted, path, half.SerializeToString())
    before = coachc("eval", bundle, "--data", test, "--json").json()["outputs"]
    after = coachc("eval", planted, "--data", test, "--json").json()["outputs"]
    for old, new in zip(before, after, strict=True):
        if new["name"] == output:
            assert new["loss"] > 0.02
            assert new["loss"] > 3 * old["loss"]
        else:
            assert new["loss"] == pytest.approx(old["loss"], abs=1e-9)
