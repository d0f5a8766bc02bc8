"""A bundle compiled for 1..N tasks: halves open where they can be, and the reason where not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.checks.bundle import check_bundle
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.batches import FIXED, OPEN, fixed
from tests.helpers.bundles import replace_artefact, save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.onnx_models import op

pytestmark = pytest.mark.needs("onnxruntime")

FLAGS = ("--calib", "random", "--samples", 4, "--mode", "split")


def halves_of(bundle, cut):
    """Both halves as one function of a feed and the tasks in it, packed values crossing as their codes."""
    sides = [
        [ort.session(onnx.load_from_string(bundle.read(path))) for path in cut.run_by(side)]
        for side in ("device", "cloud")
    ]

    def run(feed):
        known = {**feed, **quantizer_feed(cut, "device")}
        for sessions, more in zip(sides, ({}, quantizer_feed(cut, "cloud")), strict=True):
            known.update(more)
            for session in sessions:
                known.update(ort.run_session(session, {item.name: known[item.name] for item in session.get_inputs()}))
            known.update({value.codes: known[value.codes].astype(np.uint8) for value in cut.packed_values})
        return known

    return run


@pytest.mark.parametrize("name", ["attention", "pyramid", "two_ends"])
@pytest.mark.parametrize("device", ["tx2", "orin-nano"])
def test_both_halves_take_any_number_of_tasks(name, device, tmp_path):
    path, folder = save(OPEN[name](), tmp_path / "m.onnx"), tmp_path / "o.coach"
    report = compile_json(path, folder, *FLAGS, "--device", device, "--batch", "1..5")
    assert report["batch"] == {"max": 5, "fixed": {}}
    bundle = open_bundle(str(folder))
    cut = bundle.manifest.cut("split")
    assert [each.max_batch for each in bundle.manifest.cuts] == [5] * len(bundle.manifest.cuts)
    run, whole = halves_of(bundle, cut), ort.session(onnx.load(path))
    rng = np.random.default_rng(0)
    for tasks in (1, 3, 5):
        feed = {
            spec.name: rng.standard_normal((tasks, *spec.shape[1:]), dtype=np.float32)
            for spec in bundle.manifest.model.inputs
        }
        together, expected = run(feed), ort.run_session(whole, feed)
        alone = [run({key: array[at : at + 1] for key, array in feed.items()}) for at in range(tasks)]
        for key, wanted in expected.items():
            # A task gets what it gets alone, but for the order in which a product of several rows is added up, and that
            # is the whole model's answer, but for the link's rounding.
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(together[key], np.concatenate([one[key] for one in alone]), atol=1e-5 * scale)
            np.testing.assert_allclose(together[key], wanted, atol=0.35 * scale)
    batches = [one.what for one in check_bundle(str(folder)) if one.what.startswith("batch")]
    assert sorted(set(batches)) == ["batch of 3", "batch of 5"]
    assert "up to 5 tasks in one run" in succeed("inspect", folder)


def test_segments_that_cuts_share_are_open_too(tmp_path):
    path, folder = save(OPEN["attention"](), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, folder, *FLAGS, "--batch", "1..4", "--bandwidth", "100kbit..1000Mbit")
    cuts = open_bundle(str(folder)).manifest.cuts
    assert len([cut for cut in cuts if cut.mode == "split"]) > 1
    assert {cut.max_batch for cut in cuts} == {4}
    checked = succeed("check", folder)
    assert all(f"cut {cut.name}" in checked for cut in cuts)


@pytest.mark.parametrize("name", FIXED)
def test_what_keeps_it_at_one_task_is_named(name, tmp_path):
    path, folder = save(fixed(name), tmp_path / "m.onnx"), tmp_path / "o.coach"
    shown = succeed("compile", path, "-o", folder, *FLAGS, "--device", "tx2", "--batch", "1..4")
    manifest = open_bundle(str(folder)).manifest
    assert {cut.max_batch for cut in manifest.cuts} == {1}
    operator, reason = FIXED[name]
    for cut in manifest.cuts:
        said = manifest.plan["batch"]["fixed"][cut.name]
        assert (f"({operator})" if operator else "") in said
        assert reason in said
        assert f"one task at a time at cut {cut.name}" in " ".join(shown.split())
    assert "batch" not in succeed("check", folder)


def test_one_cut_may_be_open_and_another_not(tmp_path):
    """The value that crosses has its tasks along the second axis; the whole model takes several."""
    path, folder = save(OPEN["recurrent"](), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, folder, *FLAGS, "--batch", "1..4", "--bandwidth", "1Mbit..20000Mbit")
    manifest = open_bundle(str(folder)).manifest
    fixed_cuts = manifest.plan["batch"]["fixed"]
    for cut in manifest.cuts:
        first = all(value.shape[:1] == (1,) and "(GRU)" not in fixed_cuts.get(cut.name, "") for value in cut.values)
        assert (cut.max_batch == 4) == (cut.name not in fixed_cuts)
        assert first or cut.max_batch == 1
    assert manifest.cut("device-only").max_batch == 4
    succeed("check", folder)


def test_shapes_stated_for_one_task(tmp_path):
    """Height and width are stated; rows are what --batch says."""
    model = OPEN["plain"]()
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.ClearField("dim_value")
    path, folder = save(model, tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, folder, *FLAGS, "--batch", "1..3", "--shape", "x:1x3x16x16")
    assert {cut.max_batch for cut in open_bundle(str(folder)).manifest.cuts} == {3}
    succeed("check", folder)


def test_a_half_that_is_wrong_for_several_tasks_fails_its_check(tmp_path):
    path, folder = save(OPEN["attention"](), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, folder, *FLAGS, "--batch", "1..3")
    cut = open_bundle(str(folder)).manifest.cut("split")
    half = onnx.load(folder / cut.cloud)
    name = half.graph.output[0].name
    next(node for node in half.graph.node if name in node.output).output[0] = "before"
    # The mean over the batch, which is the row itself for one task.
    mean = [
        op("ReduceMean", "before", "mean", axes=[0]),
        op("Sub", "before mean", "away"),
        op("Sub", "before away", name),
    ]
    half.graph.node.extend(mean)
    replace_artefact(folder, cut.cloud, half.SerializeToString())
    with pytest.raises(CheckFailure, match="differs at cut 'split'"):
        check_bundle(str(folder))


@pytest.mark.parametrize("text", ["0", "2..4", "1..1", "1..", "..4", "many", "4..1", "-1"])
def test_what_is_no_batch_is_refused(text, tmp_path):
    path = save(OPEN["plain"](), tmp_path / "m.onnx")
    done = coachc("compile", path, "-o", tmp_path / "o.coach", *FLAGS, "--device", "tx2", f"--batch={text}")
    assert done.code == 2
    assert "is neither a number nor a range from 1" in done.err
    assert not (tmp_path / "o.coach").exists()


@pytest.mark.parametrize("command", ["inspect", "check", "compare", "explain"])
def test_a_range_is_for_compile(command, tmp_path):
    done = coachc(command, save(OPEN["plain"](), tmp_path / "m.onnx"), "--batch", "1..4")
    assert done.code == 2
    assert "is for coachc compile" in done.err


@pytest.mark.needs("tensorrt_rtx")
def test_engines_are_built_for_the_range(tmp_path):
    path, folder = save(OPEN["attention"](), tmp_path / "m.onnx"), tmp_path / "o.coach"
    compile_json(path, folder, *FLAGS, "--engine", "rtx", "--batch", "1..4")
    (engine,) = open_bundle(str(folder)).manifest.engines
    assert engine.path == "cloud.sm86.engine"
    succeed("check", folder)
