import json

import pytest

from coachc.runtime.device.stats_file import StatsFile
from coachc.runtime.errors import CoachRuntimeError


def records_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_and_the_one_before_it_hold_the_last_lines(tmp_path):
    path = tmp_path / "s.jsonl"
    stats = StatsFile(str(path), limit_bytes=1000)
    for number in range(500):
        stats.write({"task": number})
    stats.close()
    before, now = records_of(tmp_path / "s.jsonl.1"), records_of(path)
    assert [one["task"] for one in before + now] == list(range(500 - len(before) - len(now), 500))
    assert path.stat().st_size <= 1020
    assert 1000 <= (tmp_path / "s.jsonl.1").stat().st_size <= 1020
    assert sorted(one.name for one in tmp_path.iterdir()) == ["s.jsonl", "s.jsonl.1"]
    assert stats.dropped == 0


def test_a_new_run_begins_anew(tmp_path):
    path = tmp_path / "s.jsonl"
    for number in (1, 2):
        stats = StatsFile(str(path))
        stats.write({"task": number})
        stats.close()
    assert records_of(path) == [{"task": 2}]


def test_a_place_that_takes_no_file(tmp_path):
    with pytest.raises(CoachRuntimeError, match="cannot write --stats"):
        StatsFile(str(tmp_path))
