"""`coachc link` against `coachc serve`, and `--link` of the commands that take a link."""

from __future__ import annotations

import json

import pytest

from coachc import __version__
from coachc.runtime.bundle.link_file import MeasuredLink, write_link
from tests.helpers.commands import REPOSITORY, coachc, serving, succeed
from tests.helpers.probe_server import ProbeServer

DIGITS = REPOSITORY / "models" / "digits.onnx"
LINK = MeasuredLink(3e6, False, 0.01, 0.007, 0.001, 0.0, 347, "h:8700", "2026-11-30T09:15:00Z", "0.1.0", 9, 40, 9.8)
SOURCE = "measured to h:8700 on 2026-11-30"


@pytest.fixture
def link_file(tmp_path):
    write_link(str(tmp_path / "link.json"), LINK)
    return tmp_path / "link.json"


def test_the_link_to_a_server_is_measured_and_planned_for(digits_on_a_tx2, tmp_path):
    path = tmp_path / "link.json"
    with serving(digits_on_a_tx2 / "digits.coach") as address:
        said = coachc("link", address, "-o", path, "--seconds", 1, "--json").json()
    assert said == json.loads(path.read_text())
    assert (said["measured"]["server"], said["measured"]["coachc"]) == (address, __version__)
    assert said["bandwidth_bytes_per_s"] > 1e6
    assert 300 < said["header_bytes"] < 500
    found = coachc("explain", DIGITS, "--link", path, "--json").json()["link"]
    assert found["bandwidth_bytes_per_s"] == said["bandwidth_bytes_per_s"]
    assert found["rtt_s"] == said["rtt_s"]
    assert found["source"] == f"measured to {address} on {said['measured']['date'][:10]}"


def test_what_people_read_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with ProbeServer() as server:
        said = succeed("link", server.address, "--seconds", 1)
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["link", "rate", "round", "jitter", "loss", "headers"]
    assert max(map(len, lines)) <= 80


def test_a_file_is_not_replaced_unless_told(link_file):
    with ProbeServer() as server:
        refused = coachc("link", server.address, "-o", link_file, "--seconds", 1)
        assert (refused.code, server.asked) == (1, [])
        assert "exists already\n  hint: --force replaces it" in refused.err
        succeed("link", server.address, "-o", link_file, "--seconds", 1, "--force")
    assert json.loads(link_file.read_text())["measured"]["server"] == server.address


def test_a_server_that_cannot_be_measured_is_an_error(tmp_path):
    with ProbeServer(probe=False) as server:
        outcome = coachc("link", server.address, "-o", tmp_path / "x.json")
    assert (outcome.code, outcome.out, list(tmp_path.iterdir())) == (1, "", [])
    assert "error[connection]: the server at 127.0.0.1:" in outcome.err
    assert "hint: coachc serve of this version has one; of another server give --bandwidth and --rtt" in outcome.err
    assert "error[connection]: no server at" in coachc("link", server.address).err
    assert coachc("link", "here").code == 2


def test_a_bundle_is_compiled_for_a_measured_link(digits_on_a_tx2, link_file, tmp_path):
    output = tmp_path / "m.coach"
    flags = ["--device", "tx2", "--cloud", "a6000", "--calib", digits_on_a_tx2 / "calib.npz", "--samples", 50]
    text = succeed("compile", DIGITS, *flags, "--link", link_file, "-o", output)
    assert "digits: tx2 (fp16) -> 24 Mbit/s, 7 ms -> a6000 (fp16)" in text
    assert f"\nnetwork   {SOURCE}\n" in text
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["link"] == {"bandwidth_bytes_per_s": 3e6, "rtt_s": 0.007}
    planned = manifest["plan"]["link"]
    assert (planned["bandwidth_bytes_per_s"], planned["rtt_s"], planned["source"]) == (3e6, 0.007, SOURCE)
    assert f"; link {SOURCE}" in succeed("explain", output)


def test_commands_that_ask_say_where_the_link_comes_from(link_file):
    found = coachc("compare", DIGITS, "--link", link_file, "--json").json()
    assert (found["link"]["rtt_s"], found["link"]["source"]) == (0.007, SOURCE)
    assert [point["bandwidth_bytes_per_s"] for point in found["points"]] == [3e6]
    text = succeed("compare", DIGITS, "--link", link_file)
    assert "-> 7ms ->" in text
    assert text.endswith(f"; link {SOURCE}\n")
    assert succeed("compare", DIGITS).endswith("; link given\n")
    assert f"; link {SOURCE}" in succeed("explain", DIGITS, "--link", link_file)


def test_an_evaluation_takes_it_too(digits_on_a_tx2, link_file):
    flags = ["--data", digits_on_a_tx2 / "test.npz", "--limit", 20, "--policy", "none", "--json"]
    found = [
        coachc("eval", digits_on_a_tx2 / "digits.coach", *flags, *more).json()["none"]["latency_s"]["value"]
        for more in (["--link", link_file], ["--bandwidth", "24Mbit"])
    ]
    assert found[0] - found[1] == pytest.approx(0.002, rel=0.01)  # 7 ms instead of the bundle's 5


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        (
            "compile",
            ["--bandwidth", "20Mbit", "--calib", "random", "--device", "tx2", "--cloud", "a6000"],
            "--bandwidth",
        ),
        ("compare", ["--rtt", "5ms"], "--rtt"),
        ("explain", ["--rtt", "5ms", "--bandwidth", "1Mbit"], "--bandwidth and --rtt"),
    ],
)
def test_two_links_are_one_too_many(command, flags, said, link_file):
    outcome = coachc(command, DIGITS, "--link", link_file, *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"error[usage]: --link and {said} exclude each other: {link_file} says what the link is" in outcome.err
    assert f"hint: leave out --link or {said}" in outcome.err


def test_an_evaluation_takes_one_link_only(digits_on_a_tx2, link_file):
    for flag in (["--bandwidth", "1Mbit"], ["--trace", "x.json"]):
        outcome = coachc("eval", digits_on_a_tx2 / "digits.coach", "--data", "x.npz", "--link", link_file, *flag)
        assert outcome.code == 2
        assert f"--link and {flag[0]} exclude each other" in outcome.err


def test_a_file_that_is_no_link_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"dur_ms": [1], "mbps": [2]}')
    outcome = coachc("explain", DIGITS, "--link", path)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"error[link]: {path} is not the file of a measured link" in outcome.err
