"""Recorded runs through another driver: equal, unless a number was changed; and records that do not fit."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from coachc.evaluate.replay_record import replay_record
from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.device.run_bundle import run_bundle
from coachc.runtime.engines.halves import Engines, cloud_engine
from coachc.runtime.errors import RecordError
from tests.helpers.commands import coachc
from tests.helpers.online_bundles import Watched, engine_for, inputs, make_online_bundle, policy_of
from tests.helpers.runtime_bundles import Loopback

N = 60


class Changing(Watched):
    """A link of 2 MB/s, of 50 kB/s from the tenth request on, and of 2 MB/s again after ten more."""

    def hold_up(self, size):
        self.bytes_per_s = 5e4 if 10 <= self.requests < 20 else 2e6
        super().hold_up(size)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(bundle, folder, lines of a run's record under policy default); the device alone is slow, so tasks are sent."""
    folder = tmp_path_factory.mktemp("recorded")
    np.savez(folder / "data.npz", input=inputs(N))
    bundle = make_online_bundle(folder / "b", cuts=("one", "two"), alone_s=1.0)
    return bundle, folder, record_of(bundle, folder, "default")


def record_of(bundle, folder, policy, **options):
    engines = Engines(bundle, engine_for)
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    names = [bundle.served_name_of(cut) for cut in cuts]
    services = Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in cuts])
    with Loopback(Changing(services)) as server:
        run_bundle(
            bundle.path, server.address, str(folder / "data.npz"), policy=policy, engine_factory=engine_for,
            record=str(folder / "record"), **options,
        )  # fmt: skip
    return (folder / "record").read_text().splitlines(keepends=True)


def write(folder, lines):
    (folder / "changed").write_text("".join(lines))
    return str(folder / "changed")


def change(line, **fields):
    return json.dumps({**json.loads(line), **fields}) + "\n"


def first(lines, call, **fields):
    """Position of the first line of a call with these fields."""
    for place, line in enumerate(lines):
        found = json.loads(line)
        if found.get("call") == call and all(found[name] == value for name, value in fields.items()):
            return place
    raise AssertionError(f"no {call} in {len(lines)} lines")


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("default", {}),
        ("default", {"prefer": "bytes", "interval_s": 0.01}),
        ("default", {"cut": "two"}),
        ("paper", {}),
        ("paper", {"interval_s": 0.01}),
        ("none", {}),
        (None, {"bits": 8}),
    ],
)
def test_every_decision_comes_out_again(recorded, policy, options):
    bundle, folder, _ = recorded
    lines = record_of(bundle, folder, policy, **options)
    found = replay_record(bundle, write(folder, lines))
    assert (found.equal, found.first, found.cut_short) == (found.decisions, None, False)
    assert found.tasks == N
    assert found.decisions > N
    assert found.recorded == found.replayed
    # One that may move goes where the device is done soonest, which depends on this machine.
    if policy != "default" or "cut" in options:
        assert (found.recorded.exits.value > 0.1) == (policy in ("default", "paper"))
    assert 2 <= found.recorded.bits.value <= 8


def without_a_link(lines):
    """The link that the run was told of, a thousandth of it."""
    return [change(lines[0], bandwidth_bytes_per_s=2.5e3), *lines[1:]]


def another_feature(lines):
    decides = [place for place, line in enumerate(lines) if '"call":"decide"' in line]
    place = next(place for place in decides if json.loads(lines[place])["decision"]["exit"])
    feature = base64.b64encode(np.zeros(3, "<f4").tobytes()).decode()
    return [*lines[:place], change(lines[place], feature=feature), *lines[place + 1 :]]


def another_draw(lines):
    decides = [place for place, line in enumerate(lines) if '"call":"decide"' in line]
    place = next(place for place in decides if json.loads(lines[place])["decision"]["exit"])
    return [*lines[:place], change(lines[place], draw=0.0), *lines[place + 1 :]]


def slower_answers(lines):
    """Each took a hundred times as long."""
    changed = []
    for line in lines:
        found = json.loads(line)
        if (transfer := found.get("transfer")) is not None:
            transfer["end_s"] = transfer["start_s"] + 100 * (transfer["end_s"] - transfer["start_s"])
        changed.append(line if transfer is None else change(line, transfer=transfer))
    return changed


@pytest.mark.parametrize("damage", [without_a_link, another_feature, another_draw, slower_answers])
def test_a_number_that_was_changed_is_a_difference(recorded, damage):
    bundle, folder, lines = recorded
    changed = damage(lines)
    path = write(folder, changed)
    found = replay_record(bundle, path)
    assert found.equal < found.decisions
    touched = next(place for place, pair in enumerate(zip(lines, changed, strict=True), 1) if pair[0] != pair[1])
    assert found.first.line >= touched
    assert found.first.recorded != found.first.replayed
    outcome = coachc("eval", bundle.path, "--replay", path)
    assert outcome.code == 3
    assert f"decisions   {found.equal} of {found.decisions} equal" in outcome.out
    assert f"first       line {found.first.line}, task {found.first.task}, {found.first.call}" in outcome.out
    assert f"  recorded  {found.first.recorded}\n  replayed  {found.first.replayed}" in outcome.out
    assert json.loads(coachc("eval", bundle.path, "--replay", path, "--json").out)["equal"] == found.equal


def test_a_decision_that_was_changed_is_the_first_difference(recorded):
    bundle, folder, lines = recorded
    place = first(lines, "next_cut", cut="one")
    task = sum('"call":"decide"' in line or '"call":"was_alone"' in line for line in lines[:place])
    found = replay_record(bundle, write(folder, [*lines[:place], change(lines[place], cut="two"), *lines[place + 1 :]]))
    assert found.equal == found.decisions - 1
    assert (found.first.line, found.first.task, found.first.call) == (place + 1, task, "next_cut")
    assert (found.first.recorded, found.first.replayed) == ("two", "one")


def test_what_is_equal_is_said_with_shares_and_bits(recorded):
    bundle, folder, lines = recorded
    outcome = coachc("eval", bundle.path, "--replay", write(folder, lines))
    found = coachc("eval", bundle.path, "--replay", write(folder, lines), "--json").json()
    assert outcome.code == 0
    exits, bits = found["recorded"]["exits"], found["replayed"]["bits"]
    shown = f"{exits['value']:.1%} ({exits['low']:.1%}-{exits['high']:.1%})"
    assert outcome.out.splitlines() == [
        f"{folder / 'changed'}: policy default, {N} tasks",
        f"decisions   {found['decisions']} of {found['decisions']} equal",
        f"exits       recorded {shown}, replayed {shown}",
        "mean bits   " + ", ".join(f"{side} {bits['value']:.2f} +- {bits['half_width']:.2f}" for side in (
            "recorded", "replayed")),
    ]  # fmt: skip


def test_a_run_that_lost_power_is_replayed_as_far_as_it_went(recorded):
    bundle, folder, lines = recorded
    outcome = coachc("eval", bundle.path, "--replay", write(folder, [*lines[:50], lines[50][:20]]))
    assert outcome.code == 0
    assert "note        the last line is half written and was left out" in outcome.out


@pytest.mark.parametrize(
    ("call", "fields", "said"),
    [
        (None, {"bundle_id": "f" * 64}, "was recorded with another bundle\n  expected  "),
        (None, {"cut": "three"}, "line 1: expected cuts of the bundle (one, two, device-only), found three"),
        (None, {"cuts": ["one", "four"]}, "line 1: expected cuts of the bundle (one, two, device-only), found four"),
        (None, {"cuts": ["two"]}, "line 1: expected cuts of the bundle"),
        ("next_cut", {"cut": "four"}, "field 'cut': expected one of one, two, device-only"),
        ("decide", {"cut": "four"}, "field 'cut': expected one of one, two, device-only, found four"),
        ("decide", {"rung": 3}, "field 'rung': expected one of None, 0, 1, 2, found 3"),
        ("decide", {"feature": "AAAAAA=="}, "field 'feature': expected one of 3 numbers, found 1 numbers"),
        ("decide", {"decision": 5}, "field 'decision': expected an object, found 5"),
        ("rung_ahead", {"rung": 9}, "field 'rung': expected one of 0, 1, 2, found 9"),
        ("answered", {"cut": "four"}, "field 'cut': expected one of one, two, device-only, found four"),
    ],
)
def test_a_record_that_does_not_fit_is_one_clear_error(recorded, call, fields, said):
    bundle, folder, lines = recorded
    place = first(lines, call) if call is not None else 0
    path = write(folder, [*lines[:place], change(lines[place], **fields), *lines[place + 1 :]])
    with pytest.raises(RecordError) as caught:
        replay_record(bundle, path)
    assert said in caught.value.render()
    assert caught.value.hint
    if "bundle_id" not in fields:
        assert f"line {place + 1}: " in caught.value.message
    outcome = coachc("eval", bundle.path, "--replay", path)
    assert (outcome.code, outcome.err.splitlines()[0]) == (1, f"error[record]: {caught.value.message}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "x.npz"], "--data would not be used"),
        (["--trace", "x.json", "--data", "x.npz"], "--data, --trace would not be used"),
        (["--policy", "paper", "--fps", "20", "--stream"], "--stream, --fps, --policy would not be used"),
        (["--prefer", "bytes", "--seed", "3", "--one-cut"], "--one-cut, --prefer, --seed would not be used"),
    ],
)
def test_a_record_needs_no_samples_and_no_link(recorded, arguments, said):
    bundle, folder, lines = recorded
    outcome = coachc("eval", bundle.path, "--replay", write(folder, lines), *arguments)
    assert outcome.code == 2
    assert f"holds all that the run saw: {said}" in outcome.err
    assert "hint: leave out --" in outcome.err


def test_something_has_to_be_evaluated(recorded):
    bundle, _, _ = recorded
    outcome = coachc("eval", bundle.path)
    assert outcome.code == 2
    assert "no samples to evaluate on" in outcome.err
    assert "hint: --data DIR, or --replay FILE of a recorded run" in outcome.err


def test_a_memory_that_learns_is_replayed(tmp_path):
    """Exits because the server has just answered one like it: what was learned from answers is learned again."""
    from coachc.runtime.online.policy import MemoryRule

    memory = MemoryRule(0.99, 1.0, 16, np.zeros(3, np.float32))
    bundle = make_online_bundle(
        tmp_path / "b", policies=lambda name, cut: policy_of(name, cut, exits=False)._replace(memory=memory)
    )
    np.savez(tmp_path / "data.npz", input=np.tile(inputs(10), (6, 1, 1, 1)))
    found = replay_record(bundle, write(tmp_path, record_of(bundle, tmp_path, "default", in_flight=1)))
    assert found.equal == found.decisions
    assert found.recorded.exits.value > 0.3
