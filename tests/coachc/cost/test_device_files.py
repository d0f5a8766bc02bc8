"""Targets from TOML files, ours and a user's, whole and inherited; what is said of one that is not as it must be."""

from __future__ import annotations

import pytest

from coachc.core.profile import Provenance
from coachc.cost.device import Roofline
from coachc.cost.device_files import all_devices, device_toml, find_device, read_device, read_devices
from coachc.errors import InternalError, ProfileError, UsageError

TEXT = """\
title = "A board"
sides = ["device"]
jetpack = "6.2"
python = "3.10"
tensorrt = "10.3"
max_opset = 20
memory_bytes = 4_000_000_000
precisions = ["fp16"]

[roofline.fp16]
kind = "measured"
source = "by hand"
bytes_per_s = 5e10
overhead_s = 2e-5

[roofline.fp16.flops_per_s]
conv = 1e12
depthwise = 1e11
"""


def read(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_device(path)


def test_a_file_of_the_users_own(tmp_path):
    spec = read(tmp_path, TEXT)
    assert (spec.name, spec.tensorrt, spec.memory_bytes, spec.aliases) == ("mine", "10.3", 4_000_000_000, ())
    row = spec.rooflines["fp16"]
    assert row == Roofline({"conv": 1e12, "depthwise": 1e11}, 5e10, 2e-5, Provenance("measured", "by hand", 1.0))
    assert [row.rate(kind) for kind in ("depthwise", "conv1x1", "attention")] == [1e11, 1e12, 1e12]
    assert find_device(str(tmp_path / "mine.toml"), side="device") == spec
    with pytest.raises(UsageError, match="mine is a device target, not a cloud"):
        find_device(str(tmp_path / "mine.toml"), side="cloud")


@pytest.mark.parametrize("name", sorted(all_devices()))
def test_what_is_shown_is_read_as_the_same_target(name, tmp_path):
    path = tmp_path / f"{name}.toml"
    path.write_text(device_toml(all_devices()[name]))
    found = read_device(path)
    assert found == all_devices()[name]


def test_a_profile_is_inherited_with_its_rates_scaled(tmp_path):
    start = TEXT.index("bytes_per_s")
    spec = read(tmp_path, TEXT[:start] + 'inherits = "tx2"\ncompute = 2.0\nmemory = 0.5\noverhead = 1.5\nband = 3.0\n')
    parent, row = all_devices()["tx2"].rooflines["fp16"], spec.rooflines["fp16"]
    assert row.flops_per_s == {kind: 2 * rate for kind, rate in parent.flops_per_s.items()}
    assert (row.bytes_per_s, row.overhead_s) == (0.5 * parent.bytes_per_s, 1.5 * parent.overhead_s)
    assert row.overheads_s == {kind: 1.5 * seconds for kind, seconds in parent.overheads_s.items()}
    assert row.provenance == Provenance("measured", "by hand", 3.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "A board"', 'title = "A board', "is not TOML: .*line 1"),
        ('title = "A board"\n', "", "mine.toml: key 'title' is missing"),
        ("max_opset = 20", 'max_opset = "20"', "line 6: 'max_opset' is '20', expected int"),
        ("max_opset = 20", "max_opset = 9", "line 6: 'max_opset' is 9, expected 13 or more"),
        ("max_opset = 20", "max_opset = true", "line 6: 'max_opset' is True, expected int"),
        ('"10.3"', '"ten"', "line 5: 'tensorrt' is 'ten', expected a version"),
        ('sides = ["device"]', 'sides = ["edge"]', "line 2: 'sides' is .*'edge'.*, expected some of device, cloud"),
        ('sides = ["device"]', "sides = []", "line 2: 'sides' is .*, expected some of device, cloud"),
        ('precisions = ["fp16"]', 'precisions = ["fp12"]', "line 8: 'precisions' is .*expected some of int8, fp16"),
        ('jetpack = "6.2"\n', "", "key 'jetpack' is missing"),
        ("memory_bytes", "memory", "key 'memory_bytes' is missing"),
        ('title = "A board"', 'title = "A board"\ncolour = "green"', "line 2: unknown key 'colour'"),
        ('kind = "measured"', 'kind = "known"', r"\[roofline.fp16\], line 11: 'kind' is 'known', expected one of"),
        ("overhead_s = 2e-5", "overhead_s = -1", r"line 14: 'overhead_s' is -1.0, expected a number above 0"),
        ("overhead_s = 2e-5", "overhead_s = nan", "line 14: 'overhead_s' is nan"),
        ("overhead_s = 2e-5", "overhead_s = 2e-5\nband = 0.5", "line 15: 'band' is 0.5, expected 1 or more"),
        ("overhead_s = 2e-5", "overhead_s = 2e-5\nspeed = 3", "line 15: unknown key 'speed'"),
        ("overhead_s = 2e-5\n", "", r"\[roofline.fp16\], line 10: key 'overhead_s' is missing"),
        ("conv = 1e12\n", "", "a rate for 'conv' at least"),
        ("conv = 1e12", 'conv = "fast"', "'flops_per_s' is .*expected dict"),
        ("depthwise = 1e11", "deepwise = 1e11", r"\[roofline.fp16.flops_per_s\], line 18: 'deepwise' is .* a key of: "),
        ("depthwise = 1e11", "depthwise = 0", "line 18: 'depthwise' is 0.0, expected a number above 0"),
        ("[roofline.fp16]", "[roofline.int8]", "'roofline.int8' is no table of a precision of 'precisions'"),
        (TEXT[TEXT.index("[roofline.fp16]") :], "", r"no profile, expected a table \[roofline.fp16\]"),
        (TEXT[TEXT.index("bytes_per_s") :], 'inherits = "tx9"', "line 13: 'inherits' is 'tx9', expected a target with"),
        (TEXT[TEXT.index("bytes_per_s") :], 'inherits = "mine"', "line 13: 'inherits' is 'mine'"),
        (TEXT[TEXT.index("bytes_per_s") :], 'inherits = "tx2"\nprecision = "int8"', "profile at int8"),
        (TEXT[TEXT.index("bytes_per_s") :], 'inherits = "tx2"\ncompute = 0', "line 14: 'compute' is 0.0"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(ProfileError, match=said) as caught:
        read(tmp_path, TEXT.replace(old, new))
    assert "mine.toml" in caught.value.message
    assert caught.value.hint == "`coachc devices show tx2 --toml` prints a file to start from"


POWER = """
[power]
kind = "measured"
source = "a meter"
idle_w = 3
busy_w = 12.5
send_w = 0.5
"""


def test_what_a_device_draws(tmp_path):
    power = read(tmp_path, TEXT + POWER).power
    assert (power.idle_w, power.busy_w, power.send_w) == (3.0, 12.5, 0.5)
    assert power.provenance == Provenance("measured", "a meter")
    assert read(tmp_path, TEXT).power is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("idle_w = 3", "idle_w = 0", r"\[power\], line 23: 'idle_w' is 0.0, expected a number above 0"),
        ("idle_w = 3\n", "", r"\[power\], line 20: key 'idle_w' is missing"),
        ("busy_w = 12.5", "busy_w = 2", "'busy_w' is 2.0, expected 3 or more"),
        ("send_w = 0.5", 'send_w = "low"', "'send_w' is 'low', expected float"),
        ('kind = "measured"', 'kind = "known"', "'kind' is 'known', expected one of"),
        ("send_w = 0.5", "send_w = 0.5\nvolts = 5", "unknown key 'volts'"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path, old, new, said):
    with pytest.raises(ProfileError, match=said):
        read(tmp_path, TEXT + POWER.replace(old, new))


@pytest.mark.parametrize("make", ["nothing", "folder", "bytes"])
def test_a_file_that_cannot_be_read(tmp_path, make):
    path = tmp_path / "mine.toml"
    if make == "folder":
        path.mkdir()
    elif make == "bytes":
        path.write_bytes(b"\xff\xfe title")
    with pytest.raises(ProfileError, match=r"cannot read the target .*mine\.toml") as caught:
        find_device(str(path), side="device")
    assert caught.value.hint == "give a TOML file, or a target's name"


def test_a_file_of_ours_that_is_wrong_is_our_mistake():
    with pytest.raises(InternalError, match=r"board\.toml, line 6: 'max_opset' is 9"):
        read_devices({"board": TEXT.replace("max_opset = 20", "max_opset = 9")})
