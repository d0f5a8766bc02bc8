"""A bundle at every precision of its ladder, and what is found when halves and manifest do not belong together."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from coachc.checks import quantized
from coachc.checks.bundle import check_bundle
from coachc.checks.quantized import precisions
from coachc.errors import CheckFailure
from coachc.models.synthetic import chain, inception
from coachc.runtime.bundle.manifest_types import Cut, CutValue, Level
from tests.helpers.bundles import change_initializer, replace_artefact, rewrite_manifest, write_split
from tests.helpers.halves import integers_between
from tests.helpers.onnx_models import info, net, op

pytestmark = pytest.mark.needs("onnxruntime")


def findings(path, **options):
    return {finding.what: finding.detail for finding in check_bundle(str(path), **options)}


def refused(path, *patterns):
    with pytest.raises(CheckFailure) as caught:
        check_bundle(str(path))
    said = "\n".join([caught.value.message, *caught.value.context])
    for pattern in patterns:
        assert re.search(pattern, said), said


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("device", "cloud"), [("tx2", "a6000"), ("xavier-nx", "local"), ("local", "local")])
def test_every_precision_is_compared(device, cloud, per_channel, tmp_path):
    path = write_split(inception(), tmp_path / "b.coach", device=device, cloud=cloud, bits=3, per_channel=per_channel)
    found = findings(path, samples=2)
    codes, count = re.match(
        r"(\d+) codes at (\d+) precisions equal QuantizeLinear's, outputs", found["quantized"]
    ).groups()
    manifest = json.loads((path / "manifest.json").read_bytes())
    elements = sum(int(np.prod(value["shape"])) for value in manifest["cuts"][0]["values"])
    # Twice at the chosen precision, once at each other.
    assert (int(count), int(codes)) == (7, (2 + 6) * elements)
    values = len(manifest["cuts"][0]["values"])
    assert re.match(rf"{values} equal the mean of their value within \d\.\de-\d\d", found["features"])


def test_one_level_and_no_feature(tmp_path):
    """A value of rank 1 with a quantizer at one precision only, beside a raw one."""
    proto = net(
        [op("Neg", "x", "v"), op("ArgMax", "v", "i", axis=0, keepdims=0), op("Gather", "v i", "y")],
        [info("x", (9,))], [info("y", ())],
    )  # fmt: skip
    path = write_split(proto, tmp_path / "b.coach", mask=0b11, ladder=False)
    found = findings(path, samples=3)
    assert found["quantized"].startswith("27 codes at 1 precision equal")
    assert "features" not in found


def test_float16_and_integers(tmp_path):
    half = net(
        [op("Transpose", "x", "v", perm=[0, 2, 1]), op("Transpose", "v", "y", perm=[0, 2, 1])],
        [info("x", (1, 4, 6), "float16")], [info("y", (1, 4, 6), "float16")],
    )  # fmt: skip
    for proto, mask in ((half, 1), (integers_between(), None)):
        path = tmp_path / f"{mask}.coach"
        write_split(proto, path, device="local", cloud="local", mask=mask, per_channel=True)
        assert "7 precisions" in findings(path)["quantized"]


def test_the_cut_at_the_inputs(tmp_path):
    found = findings(write_split(chain(), tmp_path / "b.coach", mask=0, bits=8))
    assert "7 precisions" in found["quantized"]
    assert found["cut cloud-raw"].endswith("input at 8 bits")


def test_precisions_of_values_with_different_ladders():
    def value(name, bits, depths):
        return CutValue(name, "float32", (1, 4), "packed", bits, tuple(Level(b, (1.0,), (0,)) for b in depths), name)

    values = value("a", 4, (2, 4)), value("b", 8, (4, 8)), CutValue("i", "int64", (1,), "raw", 64, (), "i")
    cut = Cut("split", "split", "d", "c", values, (), ("y",), "qdq", "arithmetic")
    assert precisions(cut) == [{"a": 4, "b": 8}, {"a": 2, "b": 8}, {"a": 4, "b": 4}]
    assert precisions(cut._replace(cloud_parameters="")) == [{"a": 4, "b": 8}]


@pytest.fixture
def bundle(tmp_path):
    """Several values of rank 4, all per channel at 3, 5 and 7 bits."""
    return write_split(inception(), tmp_path / "b.coach", device="local", cloud="local", per_channel=True)


def level_of(raw, bits):
    return next(level for level in raw["cuts"][0]["values"][0]["levels"] if level["bits"] == bits)


def test_a_level_that_is_not_the_chosen_one_is_compared_too(bundle, monkeypatch):
    """The halves take what they are fed: only feeding something else at one precision can make it wrong."""
    fed = quantized.value_inputs

    def feed_wrongly(cut, value, side, bits):
        arrays = fed(cut, value, side, bits)
        if bits == 7 and side == "device":
            arrays[f"{value.name}/scale"] = arrays[f"{value.name}/scale"] * np.float32(1.25)
        return arrays

    monkeypatch.setattr(quantized, "value_inputs", feed_wrongly)
    refused(bundle, "codes of '.*' differ from QuantizeLinear", r"\d+ of \d+ codes, cut 'split', .* inputs, 7 bits")


def change_node(path, artefact, op_type, change):
    model = onnx.load(path / artefact)
    change(model, next(node for node in model.graph.node if "/quantizer/" in node.name and node.op_type == op_type))
    replace_artefact(path, artefact, model.SerializeToString())


def test_another_mean_as_feature(bundle):
    def widen(model, node):
        weight = numpy_helper.from_array(np.float32(1.01), "factor")
        model.graph.initializer.append(weight)
        feature = node.output[0]
        node.output[0] = "mean"
        model.graph.node.append(onnx.helper.make_node("Mul", ["mean", "factor"], [feature], name="scaled"))

    change_node(bundle, "device.edge.onnx", "ReduceMean", widen)
    refused(
        bundle, "'.*/feature' is not the mean of its value at cut 'split'", "relative difference", "admissible 1e-05"
    )


def test_codes_that_are_not_limited(bundle):
    def unlimited(model, node):
        node.op_type = "Identity"
        del node.input[1:]

    change_node(bundle, "device.edge.onnx", "Clip", unlimited)
    refused(bundle, "codes of '.*' differ from QuantizeLinear")


def test_a_zero_point_that_the_cloud_does_not_use(bundle):
    def drop(model, node):
        del node.input[2]

    change_node(bundle, "cloud.onnx", "DequantizeLinear", drop)
    refused(bundle, "output 'logits' differs at cut 'split', seeded")


def test_halves_that_do_not_take_what_the_manifest_implies(bundle):
    pristine = (bundle / "manifest.json").read_bytes()
    changes = {
        "inputs of the device half of cut 'split': the manifest differs": lambda cut: cut.update(device_parameters=""),
        "inputs of the cloud half of cut 'split': the manifest differs": lambda cut: cut.update(cloud_parameters=""),
        r"input '.*/scale' of the device half: .*\n.*\(1, 2, 1, 1\)": lambda cut: cut.update(
            device_parameters="arithmetic"
        ),
        r"input '.*/scale' of the cloud half: .*\n.*\(1, 2, 1, 1\)": lambda cut: cut.update(
            cloud_parameters="arithmetic"
        ),
        "outputs of the device half of cut 'split': the manifest differs": lambda cut: cut.update(features=[]),
    }
    for pattern, change in changes.items():
        (bundle / "manifest.json").write_bytes(pristine)
        rewrite_manifest(bundle, lambda raw, change=change: change(raw["cuts"][0]))
        refused(bundle, pattern, "expected", "found")


def test_levels_per_tensor_where_the_halves_are_per_channel(bundle):
    def flatten(raw):
        for level in raw["cuts"][0]["values"][0]["levels"]:
            level.update(scale=level["scale"][:1], zero_point=level["zero_point"][:1])

    rewrite_manifest(bundle, flatten)
    refused(bundle, "input '.*/scale' of the device half: the manifest differs", r"expected \('float32', \(\)\)")


def test_a_feature_that_is_none(bundle):
    rewrite_manifest(bundle, lambda raw: raw["cuts"][0]["features"].append("ghost"))
    refused(bundle, "features of cut 'split': the manifest differs")


def test_a_changed_weight(bundle):
    change_initializer(bundle, "device.onnx", "parameter0", lambda weight: -weight)
    refused(bundle, "codes of '.*' differ from QuantizeLinear", r"\d+ of \d+ codes, cut 'split', seeded")
