"""The manifest's crop: fields that came later, absent where they say nothing new."""

import json

import pytest

from coachc.runtime.bundle.manifest_checks import covers
from coachc.runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from coachc.runtime.bundle.manifest_types import Artefact, Preprocess
from coachc.runtime.errors import BundleError
from tests.helpers.runtime_bundles import ROLES, make_manifest

PLAIN = Preprocess((4, 4), "bilinear", "rgb", "nchw", 255.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def written(preprocess):
    artefacts = tuple(Artefact(path, ROLES[path], "a" * 64, 3) for path in sorted(ROLES))
    return to_json_bytes(make_manifest()._replace(preprocess=preprocess, artefacts=artefacts))


def changed(**fields):
    """A manifest whose `preprocess` has these fields too."""
    raw = json.loads(written(PLAIN).decode())
    raw["preprocess"].update(fields)
    return json.dumps(raw).encode()


def test_without_a_crop_nothing_is_written_about_it():
    data = written(PLAIN)
    assert (PLAIN.crop, PLAIN.resize_to) == ("none", ())
    assert sorted(json.loads(data.decode())["preprocess"]) == [
        "color",
        "layout",
        "mean",
        "pixel_scale",
        "resize",
        "size",
        "std",
    ]
    assert from_json_bytes(data).preprocess == PLAIN
    assert from_json_bytes(changed(crop="none", resize_to=[])).preprocess == PLAIN


@pytest.mark.parametrize(
    ("crop", "resize_to"), [("center", (4,)), ("center", (256,)), ("center", (4, 9)), ("center-square", ())]
)
def test_a_crop_comes_back(crop, resize_to):
    preprocess = PLAIN._replace(crop=crop, resize_to=resize_to)
    data = written(preprocess)
    fields = json.loads(data.decode())["preprocess"]
    assert (fields["crop"], fields.get("resize_to", [])) == (crop, list(resize_to))
    assert from_json_bytes(data).preprocess == preprocess
    assert to_json_bytes(from_json_bytes(data)) == data


@pytest.mark.parametrize("crop", ["letterbox", "letterbox-corner"])
def test_a_letterbox_comes_back(crop):
    preprocess = PLAIN._replace(crop=crop, fill=(114, 0, 255))
    data = written(preprocess)
    assert json.loads(data.decode())["preprocess"]["fill"] == [114, 0, 255]
    assert from_json_bytes(data).preprocess == preprocess
    assert "fill" not in json.loads(written(PLAIN).decode())["preprocess"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": "corner"}, "'preprocess.crop': expected one of none, center, .*, letterbox-corner, found \"corner\""),
        ({"crop": "letterbox"}, r"'preprocess.fill': expected a pixel of 0 to 255 per channel \(3\)"),
        ({"crop": "letterbox", "fill": [0, 0, 256]}, "'preprocess.fill': expected a pixel of 0 to 255 per channel"),
        ({"crop": "letterbox", "fill": [114] * 3, "resize_to": [5]}, "expected an empty list for crop letterbox"),
        ({"fill": [114, 114, 114]}, "'preprocess.fill': expected none without a letterbox"),
        ({"crop": None}, "'preprocess.crop': expected one of none"),
        ({"crop": "center"}, "'preprocess.resize_to': expected one or two lengths for crop center"),
        ({"crop": "center", "resize_to": [5, 5, 5]}, "'preprocess.resize_to': expected one or two lengths"),
        ({"crop": "center", "resize_to": [3]}, "'preprocess.resize_to': expected at least 4x4, .*, found \"3\""),
        ({"crop": "center", "resize_to": [9, 3]}, "'preprocess.resize_to': expected at least 4x4, .*, found \"9x3\""),
        ({"crop": "center", "resize_to": [0]}, "'preprocess.resize_to': expected at least 4x4"),
        ({"crop": "center", "resize_to": 5}, "'preprocess.resize_to': expected a list, found 5"),
        ({"crop": "center", "resize_to": [5.5]}, r"'preprocess.resize_to\[0\]': expected a whole number"),
        ({"crop": "center-square", "resize_to": [5]}, "expected an empty list for crop center-square"),
        ({"resize_to": [5]}, "expected an empty list for crop none"),
    ],
)
def test_crops_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(BundleError, match=message):
        from_json_bytes(changed(**fields))


def test_which_way_up_pictures_are_is_written_where_it_is_new():
    upright = PLAIN._replace(orientation="exif")
    data = written(upright)
    assert json.loads(data.decode())["preprocess"]["orientation"] == "exif"
    assert from_json_bytes(data).preprocess == upright
    assert "orientation" not in json.loads(written(PLAIN).decode())["preprocess"]
    # A bundle from before: pictures were not turned.
    assert from_json_bytes(written(PLAIN)).preprocess.orientation == "stored"
    assert from_json_bytes(changed(orientation="stored")).preprocess == PLAIN
    with pytest.raises(BundleError, match="'preprocess.orientation': expected one of stored, exif, found \"up\""):
        from_json_bytes(changed(orientation="up"))


def test_preprocess_that_is_no_object_is_refused():
    raw = json.loads(written(PLAIN).decode())
    with pytest.raises(BundleError, match="'preprocess': expected an object, found 7"):
        from_json_bytes(json.dumps(dict(raw, preprocess=7)).encode())


def test_what_covers_a_crop():
    assert covers((256,), (224, 224))
    assert covers((224,), (224, 200))
    assert not covers((224,), (224, 225))
    assert covers((224, 300), (224, 300))
    assert not covers((300, 224), (224, 300))
