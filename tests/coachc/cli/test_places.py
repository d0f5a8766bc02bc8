"""Where commands write: what cannot be is found before the work, and what fails leaves an old bundle as it was."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest

from coachc import pipeline
from coachc.errors import InternalError
from coachc.models.synthetic import chain
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, succeed

FULL = OSError(28, os.strerror(28))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, samples, and a bundle of it."""
    folder = tmp_path_factory.mktemp("made")
    save(chain(), folder / "chain.onnx")
    samples_for(chain(), folder / "samples.npz")
    compile_json(folder / "chain.onnx", folder / "chain.coach", "--calib", "random", "--mode", "device-only")
    succeed("pack", folder / "chain.coach", "-o", folder / "chain.coachz")
    return folder


@pytest.fixture
def place(made, tmp_path):
    """A folder with an old bundle in it."""
    shutil.copytree(made / "chain.coach", tmp_path / "old.coach")
    return tmp_path


def compiling(made: Path, output: object, *flags: object):
    return coachc(
        "compile", made / "chain.onnx", "--device", "tx2", "--calib", made / "samples.npz", "-o", output, *flags
    )


@pytest.mark.parametrize(
    ("output", "flags", "said", "hint"),
    [
        ("no/x.coach", [], "cannot write {place}/no/x.coach: its folder does not exist", "mkdir -p {place}/no"),
        ("file/x.coach", [], "cannot write {place}/file/x.coach: {place}/file is not a folder", "another path"),
        ("file/a/x.coach", [], "cannot write {place}/file/a/x.coach: {place}/file is not a folder", "another path"),
        ("/proc/x.coach", [], "cannot write /proc/x.coach: ", "name a place in a folder that you may write to"),
        ("old.coach", [], "{place}/old.coach exists already", "--force replaces a bundle"),
        ("file", [], "{place}/file is not a bundle and will not be replaced", "give another path"),
        ("file", ["--force"], "{place}/file is not a bundle and will not be replaced", "give another path"),
        ("", ["--force"], "{place} is not a bundle and will not be replaced", "give another path"),
        ("x.coach", ["--preview", "no/p.png"], "--preview no/p.png: there is no folder no", "in a folder that exists"),
        ("x.coach", ["--save-recipe", "/proc/r.toml"], "cannot write /proc/r.toml: ", "name a place in a folder"),
    ],
)
def test_a_place_that_will_not_do_is_found_before_the_work(output, flags, said, hint, made, place):
    (place / "file").write_text("mine")
    before = sorted(place.rglob("*"))
    with mock.patch.object(pipeline, "load_problem", side_effect=AssertionError("the work began")):
        outcome = compiling(made, f"{place}/{output}" if not output.startswith("/") else output, *flags)
    assert (outcome.code, outcome.out) == (1, "")
    assert said.format(place=place) in outcome.err
    assert f"hint: {hint.format(place=place)}" in outcome.err or hint in outcome.err
    assert sorted(place.rglob("*")) == before


def test_a_full_disk_is_found_before_the_work(made, place):
    with (
        mock.patch.object(pipeline, "load_problem", side_effect=AssertionError("the work began")),
        mock.patch("shutil.disk_usage", return_value=mock.Mock(free=100)),
    ):
        outcome = compiling(made, place / "x.coach")
    assert outcome.code == 1
    assert f"error[file]: too little space for {place}/x.coach\n  expected  0 MB for the model" in outcome.err


OPEN = Path.open


def full_for_journals(path, *arguments, **options):
    if path.name.endswith(".coach.partial"):
        raise FULL
    return OPEN(path, *arguments, **options)


def fails_in(name: str, error: BaseException):
    return mock.patch.object(pipeline, name, side_effect=error)


@pytest.mark.parametrize(
    ("failing", "code", "said"),
    [
        (lambda: mock.patch.object(Path, "open", full_for_journals), 1, "error[file]: cannot keep measurements in"),
        (lambda: mock.patch("coachc.runtime.bundle.store._write", side_effect=FULL), 1, "error[bundle]: cannot write"),
        (lambda: fails_in("explain", FULL), 1, "error[file]: No space left on device"),
        (lambda: fails_in("explain", InternalError("so it is")), 70, "error[internal]"),
        (lambda: fails_in("explain", KeyboardInterrupt()), 130, ""),
    ],
    ids=["journal", "bundle", "elsewhere", "a fault of ours", "interrupted"],
)
def test_after_any_failure_the_old_bundle_is_there_and_no_half_of_a_new_one(failing, code, said, made, place):
    before = sorted(path for path in place.rglob("*"))
    with failing():
        outcome = compiling(made, place / "old.coach", "--force")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert outcome.err.count("error[") == (1 if said else 0)
    assert ("Traceback" in outcome.err) == (code == 70)
    # The journal of measurements is what a second run goes on from.
    left = [path for path in sorted(place.rglob("*")) if path.name != "old.coach.partial"]
    assert left == before
    assert open_bundle(place / "old.coach").manifest.cuts[0].name == "device-only"


def test_a_journal_that_cannot_be_used(made, place):
    (place / "x.coach.partial").mkdir()
    outcome = compiling(made, place / "x.coach")
    assert outcome.code == 1
    assert f"error[file]: cannot use {place}/x.coach.partial, where measurements are kept: Is a dir" in outcome.err
    assert "hint: move it away, or give another output" in outcome.err


def test_the_later_of_two_compilations_keeps_its_work_beside_the_first(made, place):
    """The first is done while the second is at its explanation."""
    whole = pipeline.explain

    def meanwhile(*arguments, **options):
        shutil.copytree(made / "chain.coach", place / "x.coach")
        (place / "x-2.coach").write_text("also taken")
        return whole(*arguments, **options)

    with mock.patch.object(pipeline, "explain", meanwhile):
        outcome = compiling(made, place / "x.coach", "--mode", "split")
    assert (outcome.code, outcome.out) == (1, "")
    # A network of random weights guesses, which is said first.
    warned, err = outcome.err.split("\n", 1)
    assert warned.startswith("warning: the whole model is right for ")
    assert err == (
        f"error[bundle]: {place}/x.coach was written by another program in the meantime, and stays\n"
        f"  kept      {place}/x-3.coach, the bundle that was made here\n"
        "  hint: compare them, and move the one you want to its place\n"
    )
    assert open_bundle(place / "x.coach").manifest.chosen == "device-only"
    assert open_bundle(place / "x-3.coach").manifest.chosen == "split"
    assert sorted(os.listdir(place)) == ["old.coach", "x-2.coach", "x-3.coach", "x.coach", "x.coach.partial"]


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["inspect"],
        ["explain"],
        ["serve"],
        ["run", "--source", "x.npz"],
        ["eval", "--data", "x.npz"],
        ["doctor", "--bundle"],
        ["pack"],
        ["sign", "--key", "x.key"],
        ["compile", "--device", "tx2", "--calib", "random"],
    ],
    ids=lambda command: command[0],
)
def test_a_packed_bundle_in_the_place_of_a_folder(command, made, tmp_path):
    (tmp_path / "x.key").write_text("")
    with mock.patch("coachc.ship.keys._private_key"):
        outcome = coachc(*command, made / "chain.coachz")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"error[bundle]: {made}/chain.coachz is a packed bundle, and has to be unpacked first" in outcome.err
    assert f"hint: coachc unpack {made}/chain.coachz; on a device python3 -m runtime.install" in outcome.err


def test_other_files_in_the_place_of_a_bundle(made):
    outcome = coachc("serve", made / "chain.onnx")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"{made}/chain.onnx is an ONNX model, not a bundle\n  hint: coachc compile {made}/chain.onnx" in outcome.err
    outcome = coachc("run", made / "samples.npz", "--source", made / "samples.npz")
    assert f"{made}/samples.npz is a file, and a bundle is a folder" in outcome.err


def test_a_file_packed_meanwhile_stays(made, tmp_path):
    from coachc.runtime.bundle import pack

    read = pack.read_signed

    def meanwhile(path):
        (tmp_path / "x.coachz").write_text("the other's")
        return read(path)

    with mock.patch.object(pack, "read_signed", meanwhile):
        outcome = coachc("pack", made / "chain.coach", "-o", tmp_path / "x.coachz")
    assert outcome.code == 1
    assert "x.coachz exists already" in outcome.err
    assert (tmp_path / "x.coachz").read_text() == "the other's"
    assert os.listdir(tmp_path) == ["x.coachz"]


def test_rates_in_bytes_are_said_in_bits_first(made, tmp_path):
    flags = ["--bandwidth", "2.5MB", "--mode", "device-only", "--json"]
    outcome = compiling(made, tmp_path / "x.coach", *flags)
    assert outcome.err.splitlines()[0] == "note: --bandwidth 2.5MB is in bytes: 20 Mbit/s (write Mbit for bits)"
    assert json.loads(outcome.out)["link"]["bandwidth_bytes_per_s"] == 2.5e6
    for command in ("explain", "compare"):
        outcome = coachc(command, made / "chain.onnx", "--bandwidth", "3MB/s", "--json")
        assert outcome.err.startswith("note: --bandwidth 3MB/s is in bytes: 24 Mbit/s")
    assert coachc("explain", made / "chain.onnx", "--json").err == ""


def test_a_range_with_a_dash_is_one(made, tmp_path):
    report = compile_json(made / "chain.onnx", tmp_path / "x.coach", "--calib", "random", "--bandwidth", "2Mbit-9Mbit")
    assert (report["cut_set"]["low_bytes_per_s"], report["cut_set"]["high_bytes_per_s"]) == (250e3, 1.125e6)
