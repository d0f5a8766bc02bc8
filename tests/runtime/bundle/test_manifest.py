import json

import pytest

from coachc.runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level
from coachc.runtime.errors import BundleError
from tests.helpers.runtime_bundles import LEVELS, make_manifest


def complete():
    """A manifest with artefacts, precisions to choose from and features, as the JSON object it is written as."""
    artefacts = [
        {"path": path, "role": role, "sha256": "a" * 64, "size_bytes": 3}
        for path, role in (("model.onnx", "model"), ("device.onnx", "device"), ("cloud.onnx", "cloud"))
    ]
    artefacts.append({"path": "halves/raw.onnx", "role": "device", "sha256": "b" * 64, "size_bytes": 0})
    for path, role in (("first.onnx", "segment"), ("last.onnx", "segment"), ("middle.policy", "policy")):
        artefacts.append({"path": path, "role": role, "sha256": "c" * 64, "size_bytes": 1})
    layout = Layout("bytes", (2, 0, 1), "huffman", 6)
    manifest = make_manifest(levels=LEVELS, layout=layout, parameters="qdq", features=("features/pooled",))
    raw = json.loads(to_json_bytes(manifest).decode())
    raw["artefacts"] = artefacts
    raw["cuts"][2]["device"] = "halves/raw.onnx"
    raw["cuts"][0].update(before=["first.onnx"], after=["last.onnx"], policy="middle.policy")
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
    float: [None, True, "1", [], {}, 10**400],
    list: [None, True, 1, "x", {}, [None], [{"a": 1}]],
    dict: [None, True, 1, "x", []],
    type(None): [True, 1, "x", [], {}],
}


@pytest.mark.parametrize("path", ALL_FIELDS, ids=str)
def test_every_field_has_its_type(path):
    for wrong in WRONG[type(parent_of(complete(), path)[path[-1]])]:
        if (wrong == "" and str(path[-1]).endswith("_parameters")) or (wrong is None and path[-1] == "policy"):
            continue
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
    with pytest.raises(BundleError, match=r"manifest field '.*extra' is unknown to format 6"):
        read(raw)


def test_a_newer_format_is_named_before_anything_else_is_looked_at():
    for raw, by in ((dict(complete(), format_version=7, new={}), "coachc test, "), ({"format_version": 7}, "")):
        with pytest.raises(BundleError) as caught:
            read(raw)
        assert caught.value.message == f"written by a newer coachc ({by}format 7; this reader knows 3 to 6)"
        assert caught.value.hint.startswith("update coachc here: pip install -U coachc")


def test_an_older_format_is_named_before_anything_else_is_looked_at():
    for raw in (dict(complete(), format_version=2, old={}), {"format_version": 2}):
        with pytest.raises(BundleError) as caught:
            read(raw)
        by = "coachc test, " if "producer" in raw else ""
        assert caught.value.message == f"written by an older coachc ({by}format 2; this reader knows 3 to 6)"
        assert caught.value.hint == "compile the model again: coachc compile MODEL"


def test_shapes_without_channels_have_one_scale():
    raw = complete()
    value = raw["cuts"][0]["values"][0]
    for shape in ([], [0], [7], [1, 0, 3]):
        value.update(shape=shape, levels=[value["levels"][0]], bits=2, layout=dict(value["layout"], order=[]))
        assert read(raw).cuts[0].values[0].shape == tuple(shape)
        wrong = dict(value, levels=[dict(value["levels"][0], scale=[], zero_point=[])])
        with pytest.raises(BundleError, match="scale': expected 1 numbers"):
            read(dict(raw, cuts=[dict(raw["cuts"][0], values=[wrong])] + raw["cuts"][1:]))


def test_a_level_is_found_by_its_bits():
    value = make_manifest(levels=LEVELS).cuts[0].values[0]
    assert value.level() == LEVELS[2]
    assert [value.level(level.bits) for level in LEVELS] == list(LEVELS)
    with pytest.raises(BundleError, match="value 'features' has no quantizer at 5 bits") as caught:
        value.level(5)
    assert caught.value.hint == "there is one at 2, 3, 4, 8 bits"
    with pytest.raises(BundleError, match="value 'input' has no quantizer at 32 bits") as caught:
        make_manifest().cuts[2].values[0].level()
    assert caught.value.hint == "it travels as codec raw"


def test_how_a_value_travels_is_asked_of_it_and_of_its_cut():
    ways = [(value.packed, value.raw, value.jpeg) for cut in make_manifest().cuts for value in cut.values]
    assert ways == [(True, False, False), (False, True, False), (False, False, True)]
    assert [len(cut.packed_values) for cut in make_manifest().cuts] == [1, 0, 0, 0]
    middle, _, raw, _ = make_manifest().cuts
    mixed = middle._replace(values=raw.values + middle.values)
    assert mixed.packed_values == middle.values


def test_one_precision_for_all_or_one_for_each():
    packed = make_manifest(levels=LEVELS).cuts[0].values[0]
    raw = make_manifest().cuts[2].values[0]
    cut = make_manifest().cuts[0]._replace(values=(packed, raw._replace(codes="r"), packed._replace(codes="p")))
    assert cut.precisions() == (4, 32, 4)
    assert cut.precisions(3) == (3, 32, 3)
    assert cut.precisions((2, 5, 8)) == (2, 32, 8)
    with pytest.raises(BundleError, match="cut 'middle' sends 3 values, and 2 precisions were given") as caught:
        cut.precisions((2, 8))
    assert "one for each" in caught.value.hint


def test_what_runs_where_in_order():
    cut = read(complete()).cuts[0]
    assert (cut.on_device, cut.on_cloud) == (("first.onnx", "device.onnx"), ("cloud.onnx", "last.onnx"))
    alone, jpeg = read(complete()).cuts[1], read(complete()).cuts[3]
    assert (alone.on_device, alone.on_cloud) == (("model.onnx",), ())
    assert (jpeg.on_device, jpeg.on_cloud) == ((), ("model.onnx",))


def test_the_precisions_that_the_cloud_takes():
    for parameters, expected in (("", (4,)), ("qdq", (2, 3, 4, 8)), ("arithmetic", (2, 3, 4, 8))):
        cut = make_manifest(levels=LEVELS, parameters=parameters).cuts[0]
        assert cut.accepted_bits(cut.values[0]) == expected


def test_the_defaults_are_the_plain_ones():
    value = CutValue("v", "float32", (1, 2), "packed", 4, (Level(4, (1.0,), (0,)),), "c")
    assert value.layout == Layout() == Layout("dense", (), "none", 9)
    assert Cut("c", "split", "d", "e", (value,), (), ())[-7:] == ("", "", (), (), (), None, 1)


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
LEVEL = VALUE + ("levels", 1)
LAYOUT = VALUE + ("layout",)
RAW = ("cuts", 2, "values", 0)
JPEG = ("cuts", 3, "values", 0)


def several(*alterations):
    def apply(raw):
        for alter in alterations:
            alter(raw)

    return apply


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (
            change(("format_version",), 0),
            r"written by an older coachc \(coachc test, format 0; this reader knows 3 to 6\)",
        ),
        (change(("chosen",), "other"), "'chosen': expected the name of a cut, found \"other\""),
        (change(("model", "inputs"), []), "'model.inputs': expected at least one"),
        (change(("model", "outputs"), []), "'model.outputs': expected at least one"),
        (change(("cuts", 1, "name"), "middle"), "'cuts': 'middle' appears twice"),
        (change(("artefacts", 1, "path"), "model.onnx"), "'artefacts': 'model.onnx' appears twice"),
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
        (change(VALUE + ("bits",), 5), "values\\[0\\].bits': expected the bits of one of its levels, found 5"),
        (change(VALUE + ("levels",), []), "values\\[0\\].bits': expected the bits of one of its levels, found 4"),
        (change(LEVEL + ("bits",), 2), "levels': expected levels by ascending bits, each once"),
        (change(LEVEL + ("bits",), 5), "levels': expected levels by ascending bits, each once"),
        (change(VALUE + ("levels", 3, "bits"), 9), "levels\\[3\\].bits': expected 2 to 8, found 9"),
        (change(VALUE + ("levels", 0, "bits"), 1), "levels\\[0\\].bits': expected 2 to 8, found 1"),
        (change(LEVEL + ("scale",), []), "levels\\[1\\].scale': expected 1 or 3 numbers"),
        (change(LEVEL + ("scale",), [1, 1]), "levels\\[1\\].scale': expected 1 or 3 numbers"),
        (several(change(LEVEL + ("scale",), [1, 1]), change(VALUE + ("shape",), [2])), "order': expected no order but"),
        (change(LEVEL + ("scale",), [1]), "levels\\[1\\].zero_point': expected as many as scales"),
        (change(LEVEL + ("scale",), [1, 0, 1]), "levels\\[1\\].scale\\[1\\]': expected a positive number, in float32"),
        (change(LEVEL + ("scale",), [1, 1, 1e-46]), "levels\\[1\\].scale\\[2\\]': expected a positive number"),
        (change(LEVEL + ("scale",), [3.5e38, 1, 1]), "levels\\[1\\].scale\\[0\\]': expected a positive number"),
        (change(LEVEL + ("zero_point", 2), 8), "levels\\[1\\].zero_point\\[2\\]': expected 0 to 7, found 8"),
        (change(LAYOUT + ("form",), "sparse"), 'layout.form\': expected one of dense, bytes, found "sparse"'),
        (change(LAYOUT + ("coding",), "zstd"), "layout.coding': expected one of none, huffman, rle, filtered"),
        (change(LAYOUT + ("memory_level",), 0), "layout.memory_level': expected 1 to 9, found 0"),
        (change(LAYOUT + ("memory_level",), 10), "layout.memory_level': expected 1 to 9, found 10"),
        (change(LAYOUT + ("order",), [0, 1]), "layout.order': expected each of the 3 channels once"),
        (change(LAYOUT + ("order",), [0, 1, 1]), "layout.order': expected each of the 3 channels once"),
        (change(LAYOUT + ("order",), [1, 2, 3]), "layout.order': expected each of the 3 channels once"),
        (change(RAW + ("bits",), 16), "bits': expected 32, the width of float32, found 16"),
        (change(RAW + ("dtype",), "bool"), "bits': expected 8, the width of bool, found 32"),
        (change(RAW + ("dtype",), "uint64"), "bits': expected 64, the width of uint64, found 32"),
        (change(RAW + ("levels",), complete()["cuts"][0]["values"][0]["levels"]), "expected no levels for codec raw"),
        (change(RAW + ("layout", "form"), "bytes"), 'layout.form\': expected dense for codec raw, found "bytes"'),
        (change(RAW + ("layout", "coding"), "rle"), 'layout.coding\': expected none for codec raw, found "rle"'),
        (change(RAW + ("layout", "order"), [0, 1, 2]), "layout.order': expected no order but for a packed value"),
        (change(RAW + ("layout", "memory_level"), 0), "layout.memory_level': expected 1 to 9, found 0"),
        (
            change(("cuts", 0, "device_parameters"), "dq"),
            'device_parameters\': expected one of "", qdq, arithmetic, found',
        ),
        (
            change(("cuts", 0, "cloud_parameters"), "dq"),
            'cloud_parameters\': expected one of "", qdq, arithmetic, found',
        ),
        (change(("cuts", 0, "features"), ["p", "p"]), "features': 'p' appears twice"),
        (
            change(("cuts", 0, "features"), ["scores"]),
            "features\\[0\\]': expected an output of the device half that is",
        ),
        (
            change(("cuts", 0, "features"), ["p", "features_codes"]),
            "features\\[1\\]': expected an output of the device",
        ),
        (
            change(("cuts", 3, "features"), ["p"]),
            "'cuts\\[3\\].features\\[0\\]': expected an output of the device half",
        ),
        (
            several(change(("cuts", 1, "name"), "a b"), change(("cuts", 2, "name"), "a-b")),
            "'cuts': 'a-b' appears twice",
        ),
        (change(("cuts", 0, "before"), ["x.onnx"]), "before\\[0\\]': expected the path of a listed artefact"),
        (change(("cuts", 0, "after"), ["x.onnx"]), "after\\[0\\]': expected the path of a listed artefact"),
        (change(("cuts", 0, "max_batch"), 0), "max_batch': expected at least 1, found 0"),
        (change(("task",), "count"), 'task\': expected one of classify, outputs, segment, detect, found "count"'),
        (change(("task",), "segment"), 'decode\': expected an object of kind "mask" for task segment'),
        (change(("task",), "detect"), 'decode\': expected an object of kind "boxes" for task detect'),
        (change(("decode",), {"kind": "boxes"}), "decode': expected an empty object for task classify"),
        (change(("decode",), []), "decode': expected an object, found"),
        (
            change(("model", "outputs", 0, "shape"), [1, 1600, 1]),
            'task\': expected outputs, where the first output is no row of classes, found "classify"',
        ),
        (
            several(change(("task",), "outputs"), change(("cuts", 0, "policy"), "split.policy")),
            'cuts\\[0\\].policy\': expected null, where the outputs are no classes, found "split.policy"',
        ),
        (change(("input_ranges",), [[0.0, 1.0]] * 2), "input_ranges': expected one for each of 1 inputs"),
        (change(("input_ranges",), [[1.0, 0.0]]), "input_ranges\\[0\\]': expected nothing, or the least and the lar"),
        (
            several(change(("cuts", 0, "max_batch"), 2), change(VALUE + ("shape",), [2, 3, 4, 4])),
            "max_batch': expected 1, where a value has not one row along its first axis, found 2",
        ),
        (
            several(
                change(("task",), "outputs"),
                change(("cuts", 0, "policy"), None),
                change(("cuts", 1, "max_batch"), 2),
                change(("model", "outputs", 0, "shape"), []),
            ),
            "cuts\\[1\\].max_batch': expected 1, where",
        ),
        (change(("cuts", 0, "policy"), "x.policy"), "policy': expected the path of a listed artefact"),
        (change(("cuts", 0, "policy"), "first.onnx"), "policy': expected an artefact of role policy, found"),
        (change(("cuts", 0, "device"), "middle.policy"), "device': expected a model, found"),
        (change(("cuts", 0, "after"), ["middle.policy"]), "after\\[0\\]': expected a model, found"),
        (change(("cuts", 1, "after"), ["last.onnx"]), "after': expected no segments on a side that computes nothing"),
        (
            change(("cuts", 3, "before"), ["first.onnx"]),
            "before': expected no segments on a side that computes nothing",
        ),
        (change(("cuts", 0, "before"), ["first.onnx"] * 2), "before': 'first.onnx' appears twice"),
        (change(("cuts", 0, "before"), ["device.onnx"]), "before': 'device.onnx' appears twice"),
        (change(("cuts", 0, "after"), ["cloud.onnx"]), "after': 'cloud.onnx' appears twice"),
        (change(("cuts", 0, "before"), ["last.onnx"]), "before\\[0\\]': expected an artefact that does not run on the"),
        (change(VALUE + ("dtype",), "bfloat16"), "values\\[0\\].dtype': expected one of bool, uint8"),
        (change(VALUE + ("codec",), "jpeg"), "expected jpeg exactly in mode cloud-jpeg"),
        (change(VALUE + ("codec",), "raw"), 'layout.form\': expected dense for codec raw, found "bytes"'),
        (change(JPEG + ("codes",), "x"), "values\\[0\\].codes': expected the value's own name for codec jpeg"),
        (change(("cuts", 3, "values", 0, "shape"), [2, 3, 4, 4]), "expected 8 bits and a batch of 1 for codec jpeg"),
        (change(JPEG + ("quality",), 96), "quality': expected a JPEG quality, 1 to 95, found 96"),
        (change(JPEG + ("quality",), 0), "quality': expected a JPEG quality, 1 to 95, found 0"),
        (change(JPEG + ("quality",), None), "quality': expected a JPEG quality, 1 to 95, found null"),
        (change(JPEG + ("quality",), 90.5), "quality': expected a whole number >= 0, found 90.5"),
        (change(JPEG + ("levels",), [{"bits": 8, "scale": [90.0], "zero_point": [0]}]), "no levels for codec jpeg"),
        (change(VALUE + ("quality",), 90), "quality': expected null for codec packed, found 90"),
        (change(("cuts", 2, "values", 0, "quality"), 90), "quality': expected null for codec raw, found 90"),
        (change(JPEG + ("bits",), 7), "expected 8 bits and a batch of 1 for codec jpeg"),
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
    for name in ("manifest.json", "manifest.sha256", "manifest.sig"):
        raw["artefacts"][0]["path"] = name
        with pytest.raises(BundleError, match="expected a path other than the manifest's own"):
            read(raw)
