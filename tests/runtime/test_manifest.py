import json

import pytest

from runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from runtime.errors import BundleError
from tests.helpers.runtime_bundles import make_manifest


def complete():
    """A manifest with artefacts, as the JSON object it is written as."""
    artefacts = [
        {"path": path, "role": role, "sha256": "a" * 64, "size_bytes": 3}
        for path, role in (("model.onnx", "model"), ("device.onnx", "device"), ("cloud.onnx", "cloud"))
    ]
    artefacts.append({"path": "halves/raw.onnx", "role": "device", "sha256": "b" * 64, "size_bytes": 0})
    raw = json.loads(to_json_bytes(make_manifest()).decode())
    raw["artefacts"] = artefacts
    raw["cuts"][2]["device"] = "halves/raw.onnx"
    return raw


def read(raw):
    return from_json_bytes(json.dumps(raw).encode())


def fields(value, path=()):
    """Path of every field of every object but the free-form ones, and of every list item."""
    if isinstance(value, dict) and path not in [("device",), ("cloud",), ("link",), ("plan",)]:
        for name in sorted(value):
            yield path + (name,)
            yield from fields(value[name], path + (name,))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from fields(item, path + (index,))


def parent_of(raw, path):
    for step in path[:-1]:
        raw = raw[step]
    return raw


ALL_FIELDS = list(fields(complete()))


def test_round_trip_is_canonical():
    manifest = read(complete())
    data = to_json_bytes(manifest)
    assert from_json_bytes(data) == manifest
    assert to_json_bytes(from_json_bytes(data)) == data
    assert data.endswith(b"}\n")
    assert data.startswith(b'{\n "artefacts": [')
    assert manifest.cuts[0].values[0].shape == (1, 3, 4, 4)
    assert data == (json.dumps(json.loads(data.decode()), sort_keys=True, indent=1) + "\n").encode()


def test_not_a_number_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json_bytes(make_manifest()._replace(plan={"period_s": float("nan")}))


@pytest.mark.parametrize("path", ALL_FIELDS, ids=str)
def test_every_field_is_required(path):
    raw = complete()
    del parent_of(raw, path)[path[-1]]
    with pytest.raises(BundleError, match=rf"manifest field '.*{path[-1]}' is missing"):
        read(raw)


WRONG = {
    str: [None, True, 1, [], {}, ""],
    int: [None, True, "1", [], {}, -1, 1.5],
    float: [None, True, "1", [], {}],
    list: [None, True, 1, "x", {}, [None], [{"a": 1}]],
    dict: [None, True, 1, "x", []],
    type(None): [True, 1, "x", [], {}],
}


@pytest.mark.parametrize("path", ALL_FIELDS, ids=str)
def test_every_field_has_its_type(path):
    for wrong in WRONG[type(parent_of(complete(), path)[path[-1]])]:
        raw = complete()
        parent_of(raw, path)[path[-1]] = wrong
        with pytest.raises(BundleError, match="manifest field"):
            read(raw)


@pytest.mark.parametrize(
    "path", [()] + [p[:-1] for p in ALL_FIELDS if p[-1] in ("dtype", "mode", "role", "mean")], ids=str
)
def test_an_unknown_field_is_refused(path):
    raw = complete()
    parent_of(raw, path + ("extra",))["extra"] = 1
    with pytest.raises(BundleError, match=r"manifest field '.*extra' is unknown to format 1"):
        read(raw)


def test_a_newer_format_is_named_before_anything_else_is_looked_at():
    for raw in (dict(complete(), format_version=2, new={}), {"format_version": 2}):
        with pytest.raises(BundleError) as caught:
            read(raw)
        assert caught.value.message == "written by a newer coachc (format 2; this reader knows 1)"
        assert "upgrade coachc" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "manifest.json is not valid JSON"),
        (b"\xff", "manifest.json is not valid JSON"),
        (b"[" * 100000, "manifest.json is not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 1}', "an object names a field twice"),
        (b"[]", "manifest field 'manifest': expected an object, found a JSON list"),
    ],
)
def test_what_is_no_json_object_is_refused(data, message):
    with pytest.raises(BundleError, match=message):
        from_json_bytes(data)


def change(path, value):
    def apply(raw):
        parent_of(raw, path)[path[-1]] = value

    return apply


VALUE = ("cuts", 0, "values", 0)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (change(("format_version",), 0), "'format_version': expected version 1, found 0"),
        (change(("chosen",), "other"), "'chosen': expected the name of a cut, found \"other\""),
        (change(("model", "inputs"), []), "'model.inputs': expected at least one"),
        (change(("model", "outputs"), []), "'model.outputs': expected at least one"),
        (change(("cuts", 1, "name"), "middle"), "'cuts': 'middle' appears twice"),
        (change(("artefacts", 1, "path"), "model.onnx"), "'artefacts': 'model.onnx' appears twice"),
        (change(("cuts",), [complete()["cuts"][0]]), "no cut has mode 'device-only'"),
        (change(("cuts", 0, "cloud"), "other.onnx"), "'cuts\\[0\\].cloud': expected the path of a listed artefact"),
        (change(("cuts", 0, "cloud"), None), "'cuts\\[0\\].cloud': expected a path, found null"),
        (change(("cuts", 1, "cloud"), "cloud.onnx"), "expected null for mode device-only"),
        (change(("cuts", 0, "values"), []), "expected values exactly where there is a cloud half, found 0"),
        (change(("cuts", 0, "cloud_outputs"), []), "expected each model output on exactly one side"),
        (change(("cuts", 0, "device_outputs"), ["scores"]), "expected each model output on exactly one side"),
        (change(("preprocess",), None), "expected a preprocess and one value for mode cloud-jpeg"),
        (change(("preprocess", "size"), [4]), "'preprocess.size': expected height and width"),
        (change(("preprocess", "size"), [4, 0]), "'preprocess.size': expected height and width"),
        (change(("preprocess", "mean"), [0.5]), "'preprocess.mean': expected one number per channel \\(3\\)"),
        (change(("preprocess", "std"), [1, 1, 0]), "'preprocess.std': expected one positive number per channel"),
        (change(("preprocess", "pixel_scale"), 0), "'preprocess.pixel_scale': expected a positive number"),
        (change(VALUE + ("bits",), 9), "values\\[0\\].bits': expected 1 to 8, found 9"),
        (change(VALUE + ("bits",), 0), "values\\[0\\].bits': expected 1 to 8, found 0"),
        (change(VALUE + ("scale",), 0), "values\\[0\\].scale': expected a positive number"),
        (change(VALUE + ("zero_point",), 16), "values\\[0\\].zero_point': expected 0 to 15, found 16"),
        (change(VALUE + ("dtype",), "bfloat16"), "values\\[0\\].dtype': expected one of bool, uint8"),
        (change(VALUE + ("codec",), "jpeg"), "expected jpeg exactly in mode cloud-jpeg"),
        (change(VALUE + ("codec",), "raw"), "expected the value's own name for codec raw"),
        (change(("cuts", 3, "values", 0, "shape"), [2, 3, 4, 4]), "expected 8 bits and a batch of 1 for codec jpeg"),
        (change(("cuts", 3, "values", 0, "scale"), 96), "expected a JPEG quality, 1 to 95, found 96"),
        (change(("artefacts", 0, "sha256"), "A" * 64), "expected 64 hexadecimal digits"),
        (change(("cuts", 0, "values"), complete()["cuts"][0]["values"] * 2), "'features_codes' appears twice"),
    ],
)
def test_contradictions_are_refused(alter, message):
    raw = complete()
    alter(raw)
    with pytest.raises(BundleError, match=message):
        read(raw)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../model.onnx",
        "a/../../b",
        "a//b",
        "./a",
        "a\\b",
        "C:/a",
        "a\x00b",
        "a\nb",
        "..",
        "a/",
        "\ud800",
    ],
)
def test_paths_that_leave_the_bundle_are_refused(path):
    raw = complete()
    raw["artefacts"][0]["path"] = path
    with pytest.raises(BundleError, match="expected a path inside the bundle"):
        read(raw)


def test_the_manifest_cannot_list_itself():
    raw = complete()
    raw["artefacts"][0]["path"] = "manifest.json"
    with pytest.raises(BundleError, match="expected a path other than the manifest's own"):
        read(raw)
