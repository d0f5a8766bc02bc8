import json

import pytest

from coachc.runtime.device.state_file import StateFile
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.driver import Driver
from tests.helpers.online_bundles import policy_of

POLICIES = {"one": policy_of("default", "one"), "two": policy_of("default", "two")}


def driver():
    return Driver(POLICIES, "one", "device-only", 1e6, "accuracy", lambda: 1.0)


def taught():
    one = driver()
    one.reached(0.007)
    for task in range(20):
        now_s = float(task)
        name = one.next_cut(now_s, False)
        one.decide(task, name, None, now_s + 0.1)
        one.sending(task, now_s + 0.1)
        one.answered(task, name, Transfer(20000, now_s + 0.1, now_s + 0.2, 0.03, 0.02))
    return one


def test_another_run_begins_where_this_one_ends(tmp_path):
    path, one, other = str(tmp_path / "state.json"), taught(), driver()
    StateFile(path, "a bundle", one).keep()
    StateFile(path, "a bundle", other)
    assert other.snapshot() == one.snapshot()
    assert other.snapshot()["stages"]["one"]["device"] == pytest.approx([0.1] * 9)
    assert other.rtt_s == 0.007


def test_the_first_run_has_no_state(tmp_path, caplog):
    fresh = driver()
    StateFile(str(tmp_path / "state.json"), "a bundle", fresh)
    assert fresh.snapshot() == driver().snapshot()
    assert caplog.records == []


def damaged(change):
    record = {"coachc_state": 1, "bundle_id": "a bundle", "driver": taught().snapshot()}
    change(record)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("[" * 100000, "is damaged"),
        (damaged(lambda record: record.update(bundle_id="another")), "is of another bundle"),
        (damaged(lambda record: record.update(coachc_state=2)), "is of another bundle"),
        (damaged(lambda record: record["driver"].pop("cut")), "is damaged"),
        (damaged(lambda record: record["driver"].update(rtt_s=-1)), "is damaged"),
        (damaged(lambda record: record["driver"].update(rtt_s="long")), "is damaged"),
        (damaged(lambda record: record["driver"].update(bandwidth_bytes_per_s=float("nan"))), "is damaged"),
        (damaged(lambda record: record["driver"].update(stages={"one": {"device": [1.0]}})), "is damaged"),
        (damaged(lambda record: record["driver"].update(climbed={"one": -1})), "is damaged"),
    ],
)
def test_a_state_that_is_none_is_left_alone(tmp_path, monkeypatch, text, reason):
    said = []
    monkeypatch.setattr(
        "coachc.runtime.device.state_file.log_event", lambda what, **facts: said.append((what, facts["reason"]))
    )
    (tmp_path / "state.json").write_text(text)
    fresh = driver()
    StateFile(str(tmp_path / "state.json"), "a bundle", fresh)
    assert fresh.snapshot() == driver().snapshot()
    ((what, why),) = said
    assert (what, reason in why) == ("state ignored", True)


def test_a_place_that_takes_no_state_ends_nothing(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("coachc.runtime.device.state_file.log_event", lambda what, **facts: said.append(what))
    StateFile(str(tmp_path / "missing" / "state.json"), "a bundle", driver()).keep()
    assert said == ["state not kept"]
    assert list(tmp_path.iterdir()) == []


def test_cuts_of_another_bundle_are_left_out():
    snapshot = taught().snapshot()
    other = Driver({"one": POLICIES["one"]}, "one", None, 1e6, "accuracy", lambda: 1.0)
    other.restore(Driver.checked(snapshot))
    assert set(other.snapshot()["stages"]) == {"one"}
