import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from coachc.runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from coachc.runtime.bundle.manifest_types import FORMAT_VERSION
from coachc.runtime.bundle.upgrade import OLDEST_VERSION, UPGRADES, upgraded
from coachc.runtime.errors import BundleError
from coachc.runtime.programs import how_to_update
from tests.helpers.kept_bundles import manifest_bytes
from tests.helpers.zips import Entry, zip_bytes


def kept(name="jpeg"):
    return json.loads(manifest_bytes(3, name).decode())


def values_of(raw):
    return [value for cut in raw["cuts"] for value in cut["values"]]


def read(raw):
    return from_json_bytes(json.dumps(raw).encode())


def refusal(raw):
    with pytest.raises(BundleError) as caught:
        read(raw)
    return caught.value


def test_there_is_one_upgrade_for_every_version_but_the_newest():
    assert sorted(UPGRADES) == list(range(OLDEST_VERSION, FORMAT_VERSION))


def test_the_newest_format_and_what_is_no_manifest_stay_as_they_are():
    for raw in ({"format_version": FORMAT_VERSION}, {}, [], None, 7):
        before = copy.deepcopy(raw)
        assert upgraded(raw) == before


@pytest.mark.parametrize("name", ["split", "range", "jpeg"])
def test_an_upgrade_makes_a_manifest_of_the_newest_format_and_leaves_its_input_alone(name):
    raw = kept(name)
    before = copy.deepcopy(raw)
    newest = upgraded(raw)
    assert raw == before
    assert newest["format_version"] == FORMAT_VERSION
    # What it makes is all that the newest format would have written.
    assert json.loads(to_json_bytes(read(raw)).decode()) == newest


def test_the_quality_of_a_jpeg_was_the_scale_of_its_level():
    for scale, quality in ((90.0, 90), (1.0, 1), (95, 95)):
        raw = kept()
        values_of(raw)[0]["levels"][0]["scale"] = [scale]
        (value,) = read(raw).cut("cloud-jpeg").values
        assert (value.jpeg, value.quality, value.levels) == (True, quality, ())
    for value in read(kept("range")).cut("split-1").values:
        assert (value.packed, value.quality, len(value.levels)) == (True, None, 7)
    for value in read(kept("range")).cut("split-2").values:
        assert (value.raw, value.quality, value.levels) == (True, None, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": []}, "'cuts[0].values[0].levels': expected one level of 8 bits, one scale and zero point 0"),
        ({"levels": 7}, "'cuts[0].values[0].levels': expected one level of 8 bits, one scale and zero point 0"),
        ({"levels": [{"bits": 8, "scale": []}]}, "expected one level of 8 bits, one scale and zero point 0"),
        ({"levels": [{"bits": 8, "scale": [90, 91], "zero_point": [0, 0]}]}, "expected one level of 8 bits, one scale"),
        ({"levels": [{"bits": 8, "scale": [90], "zero_point": [1]}]}, "expected one level of 8 bits, one scale"),
        ({"levels": [{"bits": 8, "scale": [90], "zero_point": [0], "x": 1}]}, "expected one level of 8 bits"),
        ({"levels": [{"bits": 8, "scale": [96], "zero_point": [0]}]}, "quality': expected a JPEG quality, 1 to 95"),
        ({"levels": [{"bits": 8, "scale": [90.5], "zero_point": [0]}]}, "quality': expected a whole number >= 0, fou"),
        ({"levels": [{"bits": 8, "scale": ["90"], "zero_point": [0]}]}, "quality': expected a whole number >= 0, fou"),
        ({"quality": 90}, "manifest field 'cuts[0].values[0].quality' is unknown to format 3"),
        ({"later": 1}, "manifest field 'cuts[0].values[0].later' is unknown to format 6"),
    ],
)
def test_what_format_3_did_not_allow_is_refused(change, message):
    raw = kept()
    values_of(raw)[0].update(change)
    error = refusal(raw)
    assert message in error.message
    assert error.context == ("the manifest is of format 3 and was read as format 6",)


def test_a_manifest_that_says_no_version_is_damaged_not_old():
    for version in ("3", True, -1, 3.0, None, []):
        error = refusal(dict(kept(), format_version=version))
        assert error.message.startswith("manifest field 'format_version': expected a whole number >= 0, found ")
        assert error.context == ()
    raw = kept()
    del raw["format_version"]
    assert refusal(raw).message == "manifest field 'format_version' is missing"


def test_what_wrote_a_manifest_of_another_time_is_named_where_it_says_so_plainly():
    for producer, shown in (
        ("coachc 0.9.1", "coachc 0.9.1, "), (7, ""), ("", ""), ("a\x1b[2Jb", ""), ("x" * 81, ""), (None, ""),
    ):  # fmt: skip
        for version, age in ((7, "a newer"), (2, "an older"), (0, "an older")):
            error = refusal({"format_version": version, "producer": producer})
            assert error.message == (
                f"written by {age} coachc ({shown}format {version}; this reader knows 3 to 6)"
            )  # and the hint says what to do
            assert "\n" not in error.message + error.hint
    assert refusal({"format_version": 10**400}).message.startswith("written by a newer coachc (format 1000000")
    assert refusal({"format_version": 2}).hint == "compile the model again: coachc compile MODEL"


def test_a_host_is_updated_by_pip_and_a_device_by_a_copy():
    assert refusal({"format_version": 7}).hint == how_to_update() == how_to_update("coachc.runtime")
    assert (
        how_to_update() == "update coachc here: pip install -U coachc; or compile again with the version installed here"
    )
    assert how_to_update("runtime") == (
        "update this device: copy the runtime/ folder of the coachc that made the bundle over the one here"
    )


@pytest.mark.parametrize("program", ["device", "cloud", "install", "build"])
def test_a_device_with_an_older_runtime_says_what_to_update(program, tmp_path):
    """A copy of the folder, as it lies on a device, and a bundle that a later coachc made."""
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    shutil.copytree(os.path.join(repository, "runtime"), str(tmp_path / "runtime"))
    data = b'{"format_version": 7, "producer": "coachc 9.1"}'
    if program == "install":
        bundle = tmp_path / "new.coachz"
        line = hashlib.sha256(data).hexdigest() + "  manifest.json\n"
        bundle.write_bytes(zip_bytes([Entry("manifest.json", data), Entry("manifest.sha256", line.encode())]))
        arguments = [str(bundle), "--into", str(tmp_path / "place")]
    else:
        bundle = tmp_path / "new.coach"
        bundle.mkdir()
        (bundle / "manifest.json").write_bytes(data)
        arguments = [str(bundle)] + (["--source", "x.npz"] if program == "device" else [])
    command = [sys.executable, "-W", "ignore", "-m", "runtime." + program] + arguments
    done = subprocess.Popen(
        command, cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=""), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (1, b"")
    assert err.decode().splitlines() == [
        "error[bundle]: written by a newer coachc (coachc 9.1, format 7; this reader knows 3 to 6)",
        "  hint: " + how_to_update("runtime"),
    ]
