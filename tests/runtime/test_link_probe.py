import json
import os

import pytest

from coachc.runtime.bundle.link_file import MeasuredLink, read_link
from coachc.runtime.link_probe import main, text
from tests.helpers.probe_server import ProbeServer


def test_it_measures_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    path = "l.json"
    with ProbeServer() as server:
        assert main([server.address, "--seconds", "1", "-o", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    labels = [line[:12].strip() for line in lines if not line.startswith(" ")]
    assert labels == ["link", "rate", "round trip", "jitter", "loss", "headers", "written"]
    link = read_link(path)
    assert (link.server, link.coachc) == (server.address, None)
    assert f"{1e3 * link.rtt_s:.2f} ms" in lines[2]


def test_json_is_the_file(tmp_path, capsys):
    path = str(tmp_path / "l.json")
    with ProbeServer() as server:
        assert main([server.address, "--seconds", "1", "-o", path, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        with open(path) as stream:
            assert said == json.load(stream)
        before = len(server.asked)
        assert main([server.address, "--seconds", "1", "-o", path]) == 1
        assert "exists already\n  hint: --force replaces it" in capsys.readouterr().err
        assert len(server.asked) == before  # known before anything is measured
        assert main([server.address, "--seconds", "1", "-o", path, "--force"]) == 0


def test_nothing_is_left_of_a_measurement_that_failed(tmp_path, capsys):
    with ProbeServer(probe=False) as server:
        assert main([server.address, "-o", str(tmp_path / "l.json")]) == 1
    assert "has no probe" in capsys.readouterr().err
    assert os.listdir(str(tmp_path)) == []


def test_what_is_unknown_or_a_bound_is_said():
    link = MeasuredLink(2.5e6, False, 0.01, 0.005, 0.001, None, 412, "h:1", "2026-11-30T09:15:00Z", None, 9, 40, 9.8)
    said = text(link._replace(at_least=True), None, None)
    assert "rate        at least 20 Mbit/s up on the wire" in said
    assert "loss        unknown: this system does not count segments" in said
    assert "rate        20 Mbit/s" in text(link._replace(at_least=False), None, 80)


@pytest.mark.parametrize("seconds", ["0.1", "1e9", "nan", "long"])
def test_times_that_make_no_sense(seconds, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["h:1", "--seconds", seconds])
    assert stopped.value.code == 2
    assert main(["nowhere"]) == 2
    assert "'nowhere' is not HOST:PORT" in capsys.readouterr().err
