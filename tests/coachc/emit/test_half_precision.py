"""What strongly typed TensorRT builds on the target: models whose graph says half precision."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from coachc.checks.bundle import check_bundle
from coachc.checks.engines import check_half_precision
from coachc.checks.targets import check_bundle_targets
from coachc.cost.device_files import find_device
from coachc.emit.half_precision import in_half_precision
from coachc.emit.rtx import build_rtx
from coachc.emit.two_halves import DEVICE_PATH, split_halves
from coachc.errors import CheckFailure, ToolchainError
from coachc.frontend import ort
from coachc.models.synthetic import residual
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import a_way, replace_artefact, rewrite_manifest, samples_for, save
from tests.helpers.commands import compile_json
from tests.helpers.onnx_models import imported

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    model, samples = save(residual(), folder / "net.onnx"), samples_for(residual(), folder / "samples.npz")
    for name in ("one", "again"):
        compile_json(model, folder / name, "--calib", samples, "--mode", "split", "--engine", "trt")
    return folder


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    return {item.name: item.data_type for item in model.graph.initializer}


def test_the_cloud_half_is_there_in_half_precision_too(made):
    bundle = open_bundle(made / "one")
    roles = {item.path: item.role for item in bundle.manifest.artefacts}
    digests = {item.path: item.sha256 for item in bundle.manifest.artefacts}
    (half,) = bundle.manifest.half_precision  # TX2's TensorRT chooses precisions itself
    assert (half.path, roles[half.path]) == ("cloud.fp16.onnx", "half-precision")
    assert half.model_sha256 == digests["cloud.onnx"]
    model, whole = onnx.load(made / "one" / half.path), onnx.load(made / "one" / "cloud.onnx")
    assert TensorProto.FLOAT16 in types_of(model).values()
    assert TensorProto.FLOAT16 not in types_of(whole).values()
    assert [item.type for item in model.graph.input] == [item.type for item in whole.graph.input]
    feed = ort.seeded_inputs(whole, 0)
    expected, found = ort.run(whole, feed), ort.run(model, feed)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=2e-3 * np.abs(array).max())
    assert bundle.bundle_id == open_bundle(made / "again").bundle_id


def test_it_passes_the_checks_and_the_rules_of_its_target(made):
    assert "cloud.fp16.onnx" in [finding.what for finding in check_bundle(str(made / "one"))]
    reports = {report.where: report for report in check_bundle_targets(str(made / "one"), {})}
    assert reports["cloud.fp16.onnx"].ok
    assert reports["cloud.fp16.onnx"].target.rules.prefix == "trt11"


@pytest.mark.needs("tensorrt_rtx")
def test_a_strongly_typed_builder_takes_it(made):
    """TensorRT-RTX stands in for TensorRT 11: the same dialect, and a parser that is at hand."""
    plan, _ = build_rtx((made / "one" / "cloud.fp16.onnx").read_bytes(), "8.6")
    whole, _ = build_rtx((made / "one" / "cloud.onnx").read_bytes(), "8.6")
    assert 10_000 < len(plan) < len(whole)


def test_what_computes_something_else_or_belongs_to_nothing_is_found(made, tmp_path):
    path = made / "one"
    pristine = {name: (path / name).read_bytes() for name in ("cloud.fp16.onnx", "manifest.json", "manifest.sha256")}
    model = onnx.load(path / "cloud.fp16.onnx")
    weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    weight.CopyFrom(numpy_helper.from_array(-2 * numpy_helper.to_array(weight), weight.name))
    replace_artefact(path, "cloud.fp16.onnx", model.SerializeToString())
    with pytest.raises(CheckFailure, match=r"cloud\.fp16\.onnx computes something else than cloud\.onnx") as caught:
        check_half_precision(open_bundle(path))
    assert caught.value.context[0].endswith("at most 0.2")
    for name, data in pristine.items():
        (path / name).write_bytes(data)
    rewrite_manifest(path, lambda raw: raw["half_precision"][0].update(model_sha256="0" * 64))
    with pytest.raises(CheckFailure, match=r"cloud\.fp16\.onnx is of no model of this bundle"):
        check_half_precision(open_bundle(path))
    for name, data in pristine.items():
        (path / name).write_bytes(data)


def test_a_model_that_half_precision_changes_is_refused_with_the_option(monkeypatch):
    monkeypatch.setattr("coachc.emit.half_precision.difference", lambda *models, feed: 0.21)
    with pytest.raises(
        ToolchainError, match=r"half\.onnx computes something else in half precision: .* 0.21"
    ) as caught:
        in_half_precision(residual(), "half.onnx", {}, option="--device-precision")
    assert caught.value.hint == "--device-precision fp32 builds it in float32"


def test_quantizers_inside_a_half_give_the_same_codes(tmp_path):
    """Those of an input of the model, which are no artefact of their own: 11 bits would round x / scale."""
    model, graph = imported(residual(), tmp_path)
    sides = find_device("tx2", side="device"), find_device("a6000", side="cloud")
    made = split_halves(model, graph, a_way(graph, 0), *sides)
    device = made.models[DEVICE_PATH]
    feed = {**ort.seeded_inputs(device, 0), **quantizer_feed(made.cut, "device", 8)}
    half, _ = in_half_precision(device, DEVICE_PATH, quantizer_feed(made.cut, "device", 8))
    (value,) = made.cut.values
    assert TensorProto.FLOAT16 not in [
        attribute.i for node in half.graph.node if node.op_type == "Cast" for attribute in node.attribute
    ]
    np.testing.assert_array_equal(ort.run(half, feed)[value.codes], ort.run(device, feed)[value.codes])
