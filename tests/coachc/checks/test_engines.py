"""Engines of a bundle against ONNX Runtime; a stand-in for TensorRT where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.checks.bundle import check_bundle
from coachc.checks.engines import check_carried, check_engines
from coachc.errors import CheckFailure, UsageError
from coachc.models.synthetic import residual
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.ort_engine import OrtEngine
from coachc.runtime.errors import EngineError
from tests.helpers.bundles import rewrite_manifest, samples_for, save
from tests.helpers.commands import coachc, compile_json


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    model = save(residual(), folder / "net.onnx")
    samples = samples_for(residual(), folder / "samples.npz")
    compile_json(model, folder / "plain.coach", "--calib", samples, "--mode", "split")
    return folder, model, samples


@pytest.fixture(scope="module")
def carrying(made):
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx")
    folder, model, samples = made
    for name in ("rtx.coach", "again.coach"):
        compile_json(model, folder / name, "--calib", samples, "--mode", "split", "--engine", "rtx")
    return folder


def test_what_is_the_same_is_found_the_same(made):
    findings = check_engines(str(made[0] / "plain.coach"), "trt", make=OrtEngine)
    assert [finding.what for finding in findings] == [
        "device.edge.onnx", "device.onnx", "model.onnx", "cloud.onnx",
    ]  # fmt: skip
    for finding in findings:
        said, _, number = finding.detail.rpartition(" ")
        assert said.endswith("4 seeded (seed 0) inputs, relative difference")
        assert float(number) < 1e-5


def changed(change):
    def make(model):
        engine = OrtEngine(model)
        return FakeEngine(lambda feed: change(engine.run(feed)), engine.input_names, engine.output_names)

    return make


def test_what_differs_is_named(made):
    path = str(made[0] / "plain.coach")

    def wrong(outputs):
        return {name: (array * 1.2).astype(array.dtype) for name, array in outputs.items()}

    with pytest.raises(CheckFailure, match="in fake computes something else than ONNX Runtime") as caught:
        check_engines(path, "trt", make=changed(wrong))
    assert caught.value.context[0].startswith("output   '")
    with pytest.raises(CheckFailure, match="is another one") as caught:
        check_engines(path, "trt", make=changed(lambda outputs: {}))
    assert caught.value.context[1] == "found    nothing"

    def nan(outputs):
        return {name: array * np.nan if array.dtype.kind == "f" else array for name, array in outputs.items()}

    with pytest.raises(CheckFailure, match="something else"):
        check_engines(path, "trt", make=changed(nan))


def test_codes_may_differ_by_a_step_and_half_precision_rounds(made):
    def rounded(outputs):
        made = {}
        for name, array in outputs.items():
            step = np.where(array > 0, array.astype(np.int64) - 1, array) if array.dtype.kind in "ui" else array * 1.001
            made[name] = step.astype(array.dtype)
        return made

    findings = check_engines(str(made[0] / "plain.coach"), "trt", make=changed(rounded))
    assert len(findings) == 4


def test_without_tensorrt_it_never_passes(made, monkeypatch):
    import sys

    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match="pycuda cannot be used"):
        check_engines(str(made[0] / "plain.coach"), "trt")
    with pytest.raises(UsageError, match="--engine 'ort' is unknown"):
        check_engines(str(made[0] / "plain.coach"), "ort")
    with pytest.raises(CheckFailure, match="carries no engine") as caught:
        check_engines(str(made[0] / "plain.coach"), "rtx")
    assert caught.value.hint == "compile it with --engine rtx"


@pytest.mark.needs("tensorrt_rtx")
def test_a_bundle_carries_the_cloud_half_as_an_engine(carrying):
    bundle = open_bundle(carrying / "rtx.coach")
    roles = {item.path: item.role for item in bundle.manifest.artefacts}
    assert (roles["cloud.sm86.engine"], roles["cloud.sm86.log"]) == ("engine", "log")
    (facts,) = bundle.manifest.engines
    assert facts.compute_capability == "8.6"
    assert facts.builder.startswith("TensorRT-RTX 1.")
    assert facts.model_sha256 == {item.path: item.sha256 for item in bundle.manifest.artefacts}["cloud.onnx"]
    assert "nodes in half precision" in bundle.read(facts.log).decode()
    (finding,) = check_carried(bundle)
    assert finding.what == "cloud.sm86.engine"
    assert "MB, of cloud.onnx, TensorRT-RTX" in finding.detail
    assert "cloud.sm86.engine" in [found.what for found in check_bundle(str(carrying / "rtx.coach"))]
    assert bundle.bundle_id == open_bundle(carrying / "again.coach").bundle_id


@pytest.mark.needs("tensorrt_rtx")
def test_the_engine_of_another_model_is_found(carrying, tmp_path):
    import shutil

    path = tmp_path / "b.coach"
    shutil.copytree(carrying / "rtx.coach", path)
    rewrite_manifest(path, lambda raw: raw["engines"][0].update(model_sha256="0" * 64))
    with pytest.raises(CheckFailure, match=r"cloud\.sm86\.engine was built from no model of this bundle"):
        check_carried(open_bundle(path))


@pytest.mark.needs("tensorrt_rtx")
def test_only_what_the_bundle_carries_is_checked_with_rtx(carrying):
    findings = check_engines(str(carrying / "rtx.coach"), "rtx", make=OrtEngine)
    assert [finding.what for finding in findings] == ["cloud.sm86.engine", "cloud.onnx"]


@pytest.mark.needs("tensorrt_rtx")
def test_a_target_without_an_engine_is_refused_before_anything_else(made, tmp_path):
    done = coachc("compile", made[1], "--device", "tx2", "--cloud", "h100", "--calib", "random", "--engine", "rtx",
                  "-o", tmp_path / "o.coach")  # fmt: skip
    assert done.code == 1
    assert "builds no engine for h100" in done.err
    assert not (tmp_path / "o.coach").exists()
