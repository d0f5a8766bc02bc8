"""What a driver was asked and said, to a file and back; and files that are none, or damaged."""

import io
import json
import threading

import numpy as np
import pytest

from coachc.runtime.errors import RecordError
from coachc.runtime.online import recording
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.controller import Answer, Decision
from coachc.runtime.online.driver import Driver
from coachc.runtime.online.recorder import Recorder
from coachc.runtime.online.recording import Header, Recording, event_line, header_line
from coachc.runtime.online.scoring import NOTHING, Scored
from tests.helpers.online import feature_with_margin, memory_of, policy_of, rule_of

HEADER = Header("b" * 64, "default", None, ("cut",), "cut", "alone", 1e6, "accuracy", 0.05)
DECISION = Decision("score", 3, 1, "", Scored(2, 0.1 + 0.2), True)
EVENTS = (
    recording.Reached(0.005),
    recording.NextCut(0.1, False, "cut"),
    recording.Outage(1 / 3, True),
    recording.RungAhead("cut", 0.2, True, False, 4),
    recording.Decide(0, "cut", np.float32([0.1, -np.inf, 3e-39]), 0.3, None, 0.25, DECISION),
    recording.Decide(1, "cut", None, 0.3, 2, None, Decision("", -1, 0, "memory", NOTHING, False)),
    recording.WasAlone("alone", True, 0.5),
    recording.WasAlone("alone", False, None),
    recording.Sending(1, 0.4),
    recording.AskingRate(),
    recording.AskedRate(0.45, 2.5e6, 14700.0),
    recording.Answered(1, "cut", Transfer(1234, 0.4, 0.5000000000000001, -1.0), Answer(7, 0.75)),
    recording.Answered(1, "cut", Transfer(1234, 0.4, 0.5, -1.0), Answer(7, float("nan"))),
    recording.Answered(2, "cut", Transfer(1234, 0.4, 0.5, -1.0), None),
    recording.Lost(3),
)


def written(path, events=EVENTS, header=HEADER):
    path.write_text(header_line(header) + "".join(event_line(event) for event in events))
    return str(path)


def same(one, two):
    """Events that are equal to the last bit."""
    return event_line(one) == event_line(two) and type(one) is type(two)


def test_every_call_reads_back_as_it_was(tmp_path):
    found = Recording(written(tmp_path / "r"))
    assert found.header == HEADER
    events = list(found)
    assert [line for line, _ in events] == list(range(2, 2 + len(EVENTS)))
    assert all(same(event, wanted) for (_, event), wanted in zip(events, EVENTS))
    assert {type(event) for event in EVENTS} == {cls for cls, _ in recording.CALLS.values()}
    # The last digit of a float64, and a float32 below the normal ones.
    assert events[11][1].transfer.end_s == 0.5000000000000001
    assert events[4][1].feature.tobytes() == EVENTS[4].feature.tobytes()
    assert not found.cut_short


def test_lines_are_json_that_any_reader_takes(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    with open(written(tmp_path / "r")) as stream:
        lines = [json.loads(line, parse_constant=refuse) for line in stream]
    assert lines[0]["coachc_record"] == 2
    assert [line["call"] for line in lines[1:]] == [recording.NAMES[type(event)] for event in EVENTS]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_last_line_that_is_half_written_is_left_out_and_said(tmp_path, cut):
    path = tmp_path / "r"
    written(path)
    path.write_bytes(path.read_bytes()[:-cut])
    found = Recording(str(path))
    assert len(list(found)) == len(EVENTS) - 1 - (cut == 60)
    assert found.cut_short
    # What a file system leaves of a page it had no time for.
    path.write_bytes((tmp_path / "r").read_bytes() + b"\0" * 100)
    assert len(list(Recording(str(path)))) == len(EVENTS) - 1 - (cut == 60)


def changed(line, **fields):
    return json.dumps(dict(json.loads(line), **fields)) + "\n"


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        (1, lambda line: "nonsense\n", "is no record of a run: expected a first line of JSON with 'coachc_record'"),
        (1, lambda line: "{}\n", "is no record of a run"),
        (1, lambda line: "", "is no record of a run"),
        (1, lambda line: "{half\n", "line 1: expected a JSON object, found b'{half"),
        (1, lambda line: changed(line, coachc_record=1), "is a record of version 1, this reader knows 2"),
        (1, lambda line: changed(line, policy="best"), "line 1: field 'policy': expected one of none, paper, default"),
        (1, lambda line: changed(line, more=1), "line 1: field 'more' is unknown to version 2"),
        (3, lambda line: "\n", "line 3: expected a JSON object, found b'"),
        (3, lambda line: "[]\n", "line 3: expected a JSON object, found b'"),
        (3, lambda line: "[" * 100000 + "\n", "line 3: expected a JSON object"),
        (3, lambda line: "\xe9\n", "line 3: expected a JSON object"),
        (3, lambda line: changed(line, call="guess"), "line 3: field 'call': expected one of next_cut, outage, "),
        (3, lambda line: changed(line, call=["next_cut"]), "line 3: field 'call': expected one of next_cut"),
        (3, lambda line: changed(line, now_s="soon"), "field 'now_s': expected a finite number, found \"soon\""),
        (3, lambda line: changed(line, down=0), "line 3: field 'down': expected true or false, found 0"),
        (3, lambda line: line.replace('"down":false,', ""), "line 3: field 'down' is missing"),
        (6, lambda line: changed(line, feature="AAA"), "line 6: field 'feature': expected base64 of float32 numbers"),
        (6, lambda line: changed(line, feature="AAAA"), "line 6: field 'feature': expected base64 of float32 numbers"),
        (6, lambda line: line.replace('"best":2', '"best":-2'), "field 'decision.scored.best': expected a whole"),
        (6, lambda line: changed(line, decision=1), "line 6: field 'decision': expected an object, found 1"),
        (13, lambda line: line.replace("1234", "12.5"), "line 13: field 'transfer.size_bytes': expected a whole"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_clear_error(tmp_path, place, change, said):
    path = tmp_path / "r"
    with open(written(path)) as stream:
        lines = stream.readlines()
    lines[place - 1] = change(lines[place - 1])
    with open(str(path), "w", encoding="latin-1") as stream:
        stream.writelines(lines)
    with pytest.raises(RecordError) as caught:
        list(Recording(str(path)))
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert "coachc" in caught.value.hint


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecordError, match="cannot read the record .*nowhere: No such file"):
        Recording(str(tmp_path / "nowhere"))


def drive(driver):
    """Some tasks, answers and losses; what the driver said."""
    said = []
    driver.reached(0.005)
    for task in range(40):
        now_s = 0.1 * task
        said.append(driver.next_cut(now_s, task == 5))
        if task == 5:
            driver.was_alone("alone")
            continue
        said.append(driver.rung_ahead("cut", now_s, True, True))
        feature = feature_with_margin((task % 10) / 10)
        decision = driver.decide(task, "cut", feature, now_s + 0.01)
        said.append(decision)
        if decision.exit:
            continue
        driver.sending(task, now_s + 0.01)
        if task % 3 == 1:
            driver.asking_rate()
            driver.asked_rate(now_s + 0.015, 2e6 if task % 2 else None, 15000)
        said.append(driver.outage(now_s + 0.02))
        if task % 7 == 0:
            driver.lost(task)
        else:
            transfer = Transfer(2000, now_s + 0.01, now_s + 0.02 * (1 + task % 3), 0.001)
            driver.answered(task, "cut", transfer, Answer(task % 10, 0.9), feature, decision)
    said.append(driver.bandwidth_bytes_per_s)
    return said


def drawn():
    return np.random.RandomState(0).random_sample


def test_a_recorder_decides_as_a_driver_and_writes_all_of_it(tmp_path):
    policies = {"cut": policy_of(exits=rule_of(), memory=memory_of())}
    plain = Driver(policies, "cut", "alone", 1e6, "accuracy", drawn(), 0.05)
    path = tmp_path / "r"
    with open(str(path), "w") as stream:
        said = drive(Recorder(stream, HEADER, policies, drawn()))
    assert said == drive(plain)
    assert {decision.exit for decision in said if isinstance(decision, Decision)} >= {"", "score"}
    calls = [event for _, event in Recording(str(path))]
    assert {type(event) for event in calls} == {cls for cls, _ in recording.CALLS.values()}
    decisions = [event.decision for event in calls if isinstance(event, recording.Decide)]
    assert decisions == [decision for decision in said if isinstance(decision, Decision)]
    numbers = drawn()
    assert [event.draw for event in calls if isinstance(event, recording.Decide)] == [numbers() for _ in decisions]


def test_lines_stand_in_the_order_the_driver_saw(tmp_path):
    """Four threads at once: the file holds whole lines, and each line's call came after those before it."""
    seen = []

    class Watched(Recorder):
        def _say(self, event):
            seen.append(event)
            super()._say(event)

    path = tmp_path / "r"
    with open(str(path), "w") as stream:
        driver = Watched(stream, HEADER, {"cut": policy_of()}, drawn())

        def work(first):
            for task in range(first, 400, 4):
                driver.decide(task, "cut", None, 0.0)
                driver.sending(task, 0.1)
                driver.lost(task)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [event for _, event in Recording(str(path))]
    assert len(found) == 1200
    assert all(same(one, two) for one, two in zip(found, seen))


def test_a_disk_that_is_full_ends_the_record_and_not_the_run():
    class Full(io.StringIO):
        def write(self, text):
            if text.startswith(self.refused):
                raise OSError(28, "No space left on device")
            return len(text)

    Full.refused = '{"call"'
    reasons = []
    driver = Recorder(Full(), HEADER, {"cut": policy_of()}, drawn(), reasons.append)
    for _ in range(3):
        assert driver.next_cut(0.0, False) == "cut"
    assert reasons == ["No space left on device"]
    Full.refused = "{"
    with pytest.raises(RecordError, match="cannot write the record: No space left on device"):
        Recorder(Full(), HEADER, {"cut": policy_of()}, drawn())
