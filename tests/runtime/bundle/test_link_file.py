import json
import os

import pytest

from coachc.runtime.bundle.link_file import MeasuredLink, check_place, read_link, write_link
from coachc.runtime.errors import BundleError, LinkFileError

LINK = MeasuredLink(
    2.5e6, False, 0.01, 0.005, 0.001, 0.002, 412, "10.0.0.2:8700", "2026-11-30T09:15:00Z", "0.1.0", 9, 40, 9.8
)


def test_a_link_survives_its_file(tmp_path):
    path = str(tmp_path / "link.json")
    for link in (LINK, LINK._replace(loss=None, coachc=None, at_least=True)):
        write_link(path, link)
        assert read_link(path) == link
    assert os.listdir(str(tmp_path)) == ["link.json"]


def test_the_file_says_what_it_is_and_where_it_comes_from():
    said = LINK.to_json()
    assert (said["format"], said["version"]) == ("coachc link", 1)
    assert set(said["measured"]) == {"server", "date", "coachc", "repeats", "round_trips", "seconds"}
    assert LINK.source == "measured to 10.0.0.2:8700 on 2026-11-30"


def test_what_later_writers_add_is_left_alone(tmp_path):
    path = tmp_path / "link.json"
    path.write_text(json.dumps(dict(LINK.to_json(), more=1)))
    assert read_link(str(path)) == LINK


def said_of(path, text):
    path.write_bytes(text)
    with pytest.raises(LinkFileError) as caught:
        read_link(str(path))
    return caught.value.render()


@pytest.mark.parametrize(
    ("key", "value", "expected", "found"),
    [
        ("bandwidth_bytes_per_s", 0, "a rate of 0.125 to 1.25e11 bytes/s", "0"),
        ("bandwidth_bytes_per_s", float("nan"), "a rate of", "NaN"),
        ("bandwidth_bytes_per_s", float("inf"), "a rate of", "Infinity"),
        ("bandwidth_bytes_per_s", -2.5e6, "a rate of", "-2500000.0"),
        ("bandwidth_bytes_per_s", 10**400, "a rate of", "1000"),
        ("bandwidth_bytes_per_s", "20Mbit", "a rate of", '"20Mbit"'),
        ("bandwidth_bytes_per_s", True, "a rate of", "true"),
        ("rtt_s", -0.001, "0 to 3600 seconds", "-0.001"),
        ("rtt_s", None, "0 to 3600 seconds", "null"),
        ("jitter_s", float("nan"), "0 to 3600 seconds", "NaN"),
        ("loss", 1.5, "a share of 0 to 1, or null", "1.5"),
        ("at_least", 0, "true or false", "0"),
        ("header_bytes", 3.5, "a whole number that is not negative", "3.5"),
        ("spread", [], "a share that is not negative", "a JSON list"),
        ("measured", [], "an object", "a JSON list"),
        ("measured.server", "", "a line of text", '""'),
        ("measured.date", "a\nb", "a line of text", '"a\\nb"'),
        ("measured.coachc", 3, "a line of text, or null", "3"),
        ("measured.repeats", -1, "a whole number that is not negative", "-1"),
    ],
)
def test_a_value_that_no_link_has_is_named(tmp_path, key, value, expected, found):
    said = LINK.to_json()
    place, _, name = key.rpartition(".")
    (said[place] if place else said)[name] = value
    text = said_of(tmp_path / "x.json", json.dumps(said).encode())
    assert f"error[link]: {tmp_path / 'x.json'}: '{key}'" in text
    assert "  expected  " + expected in text
    assert "  found     " + found in text
    assert "hint: measure again: coachc link" in text


@pytest.mark.parametrize("key", ["bandwidth_bytes_per_s", "rtt_s", "loss", "measured.date"])
def test_a_field_that_is_missing_is_named(tmp_path, key):
    said = LINK.to_json()
    place, _, name = key.rpartition(".")
    del (said[place] if place else said)[name]
    assert f"x.json: '{key}' is missing" in said_of(tmp_path / "x.json", json.dumps(said).encode())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"format": "other"}', b"[" * 100000, b" " * 70000]
)
def test_other_files_are_refused(tmp_path, text):
    said = said_of(tmp_path / "x.json", text)
    assert "x.json is not the file of a measured link" in said
    assert 'expected  a JSON object whose "format" is "coachc link"' in said


def test_another_version_is_refused(tmp_path):
    said = said_of(tmp_path / "x.json", json.dumps(dict(LINK.to_json(), version=2)).encode())
    assert "x.json is of another version" in said
    assert "expected  1\n  found     2" in said


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LinkFileError, match="cannot read .*none.json: No such file") as caught:
        read_link(str(tmp_path / "none.json"))
    assert caught.value.hint == "coachc link HOST:PORT -o FILE writes one"


def test_places_are_tried_first(tmp_path):
    there = tmp_path / "link.json"
    check_place(str(there), False)
    there.write_text("mine")
    with pytest.raises(LinkFileError, match="--output .*link.json exists already") as caught:
        check_place(str(there), False)
    assert caught.value.hint == "--force replaces it"
    check_place(str(there), True)
    with pytest.raises(LinkFileError, match="is a folder"):
        check_place(str(tmp_path), True)
    with pytest.raises(BundleError, match="its folder does not exist"):
        check_place(str(tmp_path / "none" / "link.json"), False)
    assert there.read_text() == "mine"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    there = tmp_path / "link.json"
    there.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(LinkFileError, match="cannot write .*link.json: No space left"):
        write_link(str(there), LINK)
    assert os.listdir(str(tmp_path)) == ["link.json"]
    assert there.read_text() == "old"
