"""Measured profiles as files: the same again after writing, and every field that is wrong is named."""

import json
import os

import pytest

from coachc.runtime.bundle.profile_file import (
    KIND,
    Layer,
    SeenLink,
    MeasuredProfile,
    Segment,
    read_profile,
    write_profile,
)
from coachc.runtime.errors import ProfileFileError

PROFILE = MeasuredProfile(
    "a" * 64,
    {"x": (1, 3, 8, 8)},
    "onnxruntime",
    "fp32",
    "a board",
    "nvpmodel 0",
    {"onnxruntime": "1.2", "coachc": "0.1"},
    "2026-11-30T10:00:00+00:00",
    3,
    20,
    "median of 20 runs",
    (Layer("Conv.a", 0.001, 0.0001), Layer("Relu.b", 0.002)),
    (Segment("whole", (), 0.5, 0.1), Segment("device", ("v", "w"), 0.25, 0.0, True)),
    1e9,
    1e-5,
    SeenLink(2.5e6, 0.005),
)


@pytest.mark.parametrize("profile", [PROFILE, PROFILE._replace(link=None, layers=(), segments=(), inputs={})])
def test_what_is_written_is_read(tmp_path, profile):
    path = str(tmp_path / "p.json")
    write_profile(path, profile)
    assert read_profile(path) == profile
    assert os.listdir(str(tmp_path)) == ["p.json"]


def test_the_whole_and_the_source():
    assert PROFILE.whole == PROFILE.segments[0]
    assert PROFILE._replace(segments=()).whole is None
    assert PROFILE.source == "a board, nvpmodel 0, coachc 0.1, onnxruntime 1.2, 2026-11-30, median of 20 runs"
    bare = PROFILE._replace(machine="", power_mode="", versions={})
    assert bare.source == "machine not stated, 2026-11-30, median of 20 runs"


def changed(tmp_path, **fields):
    path = tmp_path / "p.json"
    write_profile(str(path), PROFILE)
    record = json.loads(path.read_text())
    for name, value in fields.items():
        if value is KeyError:
            del record[name]
        else:
            record[name] = value
    path.write_text(json.dumps(record))
    return str(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": 2}, "has format 2, expected 1"),
        ({"kind": "else"}, "is no measured profile"),
        ({"model_sha256": 5}, "'model_sha256' is 5, expected a text"),
        ({"model_sha256": ""}, "'model_sha256' is \"\", expected a text"),
        ({"backend": "tvm"}, "'backend' is \"tvm\", expected one of onnxruntime, tensorrt"),
        ({"repeats": -1}, "'repeats' is -1, expected a whole number of 0 or more"),
        ({"repeats": True}, "'repeats' is true, expected a whole number"),
        ({"repeats": KeyError}, "'repeats' is nothing, expected a whole number"),
        ({"versions": {"a": 1}}, "'versions' is .*expected an object of texts"),
        ({"inputs": {"x": [1, "n"]}}, "'inputs' is .*expected an object of shapes"),
        ({"layers": 3}, "'layers' is 3, expected a list of objects"),
        (
            {"layers": [{"name": "a", "seconds": -1, "spread_s": 0}]},
            "layers 0: 'seconds' is -1, expected a number of 0",
        ),
        ({"layers": [{"name": "a", "seconds": 1e999, "spread_s": 0}]}, "layers 0: 'seconds' is Infinity"),
        ({"layers": [{"name": "a", "seconds": 1}]}, "layers 0: 'spread_s' is nothing"),
        ({"segments": [{"part": "half"}]}, "segments 0: 'part' is \"half\", expected one of device, cloud, whole"),
        ({"bytes_per_s": "fast"}, "'bytes_per_s' is \"fast\", expected a number"),
        ({"link": 3}, "'link' is 3, expected an object or null"),
        ({"link": {"bandwidth_bytes_per_s": 1}}, "link: 'rtt_s' is nothing, expected a number"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path, fields, said):
    with pytest.raises(ProfileFileError, match=said) as caught:
        read_profile(changed(tmp_path, **fields))
    assert "p.json" in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", json.dumps({"kind": KIND + "!"})])
def test_another_file_is_none(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ProfileFileError, match=r"p\.json is n"):
        read_profile(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ProfileFileError, match="cannot read the profile"):
        read_profile(str(tmp_path / "none.json"))


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ProfileFileError, match="cannot write the profile"):
        write_profile(str(tmp_path / "none" / "p.json"), PROFILE)
    (tmp_path / "p.json").mkdir()
    with pytest.raises(ProfileFileError, match="cannot write the profile"):
        write_profile(str(tmp_path / "p.json"), PROFILE)
    assert os.listdir(str(tmp_path)) == ["p.json"]
