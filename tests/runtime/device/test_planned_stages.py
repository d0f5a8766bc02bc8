"""A run beside its plan: medians, bubbles, and the sentence that follows."""

import pytest

from coachc.runtime.device import planned_stages as module
from coachc.runtime.device.outcome import Done
from coachc.runtime.device.planned_stages import planned_engine, planned_stages
from coachc.runtime.device.task_tally import Tally
from tests.helpers.runtime_bundles import make_manifest

PLAN = {
    "plan": {"device_s": 0.01, "link_s": 0.02, "cloud_s": 0.005, "period_s": 0.02},
    "alternatives": {"device_only": {"device_s": 0.05, "link_s": 0.0, "cloud_s": 0.0, "period_s": 0.05}},
    "cut_set": {"cuts": [{"name": "raw", "device_s": 0.0, "link_s": 0.03, "cloud_s": 0.006, "period_s": 0.03}]},
}
SIDE = {"target": "tx2", "precision": "fp16", "tensorrt": "8.2.1"}
MANIFEST = make_manifest()._replace(plan=PLAN, device=SIDE)


def sent(device_s=0.01, round_trip_s=0.025, server_s=0.005, cut="middle", end=""):
    return Done(0, (1,), 0.1, device_s, round_trip_s, server_s, cut=cut, exit=end, work_s=server_s)


def compare(manifest, cut, engine, done, elapsed_s):
    """A run of these outcomes beside its plan."""
    tally = Tally(manifest, lambda: 1e6)
    for number, one in enumerate(done):
        tally.submit(number)
        tally.end(one._replace(task=number))
    return module.compare(manifest, cut, engine, tally.stages(cut), tally.answered, elapsed_s)


#: A run's medians are known that closely.
ABOUT = 0.006


def stages(compared):
    return {stage.name: stage for stage in compared.stages}


def test_stages_are_told_apart():
    done = [sent(device_s=0.01 * (1 + place % 3)) for place in range(30)]
    compared = compare(MANIFEST, "middle", "an engine", done, 1.0)
    found = stages(compared)
    assert list(found) == ["device", "link", "cloud"]
    assert found["device"].achieved_s.p50 == pytest.approx(0.02, rel=ABOUT)
    assert found["link"].achieved_s.p50 == pytest.approx(0.02, rel=ABOUT)
    assert found["cloud"].achieved_s.p50 == pytest.approx(0.005, rel=ABOUT)
    assert [found[name].planned_s for name in found] == [0.01, 0.02, 0.005]
    assert [found[name].idle for name in found] == pytest.approx([0.4, 0.4, 0.85])
    assert (compared.planned_period_s, compared.period_s) == (0.02, pytest.approx(1 / 30))


def test_what_takes_another_time_than_planned_is_said():
    compared = compare(MANIFEST, "middle", "an engine", [sent(device_s=0.031)] * 5, 1.0)
    assert compared.notes() == [
        "the device stage takes 3.1x what the plan says: write what it takes with --profile-out run.json, and compile "
        "with --from-run run.json"
    ]
    slow = compare(MANIFEST, "middle", "an engine", [sent(round_trip_s=0.085)] * 5, 1.0).notes()
    assert slow == [
        "the link stage takes 4x what the plan says: measure the link (coachc link HOST:PORT) and compile for it"
    ]
    fast = compare(MANIFEST, "middle", "an engine", [sent(device_s=0.004)] * 5, 1.0).notes()
    assert fast[0].startswith("the device stage takes 0.4x")
    assert compare(MANIFEST, "middle", "an engine", [sent()] * 5, 1.0).notes() == []


def test_on_another_machine_the_device_is_not_measured(monkeypatch):
    monkeypatch.setattr(module, "chip_name", lambda: "tegra234")
    there = MANIFEST._replace(device=dict(SIDE, compute_capability="6.2"))
    notes = compare(there, "middle", "an engine", [sent(device_s=0.031)] * 5, 1.0).notes()
    assert notes == [
        "the device stage takes 3.1x what the plan says: this machine is no tx2; compile with --device local for this "
        "one"
    ]


def test_the_link_is_planned_with_all_that_a_run_sees_of_it():
    plan = {"plan": {"device_s": 0.01, "link_s": 0.02, "cloud_s": 0.005, "period_s": 0.02, "latency_s": 0.045}}
    assert planned_stages(MANIFEST._replace(plan=plan), "middle") == {
        "device_s": 0.01, "link_s": pytest.approx(0.03), "cloud_s": 0.005, "period_s": 0.02,
    }  # fmt: skip


def test_a_stage_of_less_than_a_millisecond_is_the_programs_own_time():
    plan = {"plan": {"device_s": 1e-4, "link_s": 1e-4, "cloud_s": 1e-4, "period_s": 1e-4}}
    done = [sent(device_s=9e-4, round_trip_s=9e-4, server_s=5e-4)] * 3
    assert compare(MANIFEST._replace(plan=plan), "middle", "an engine", done, 1.0).notes() == []


def test_tasks_that_were_not_sent_say_nothing_of_link_and_server():
    done = [sent(), sent(end="score", round_trip_s=0.0, server_s=-1.0), sent(cut="raw", device_s=9.0)]
    found = stages(compare(MANIFEST, "middle", "an engine", done, 1.0))
    assert found["link"].achieved_s.mean == pytest.approx(0.02, rel=ABOUT)
    assert found["device"].achieved_s.p99 == pytest.approx(0.01, rel=ABOUT)
    silent = stages(compare(MANIFEST, "middle", "an engine", [sent(server_s=-1.0)], 1.0))
    assert list(silent) == ["device", "link"]
    assert silent["link"].achieved_s.mean == pytest.approx(0.025, rel=ABOUT)


@pytest.mark.parametrize(("cut", "period_s"), [("middle", 0.02), ("device-only", 0.05), ("raw", 0.03), ("jpeg", None)])
def test_the_plan_of_each_cut(cut, period_s):
    assert planned_stages(MANIFEST, cut).get("period_s") == period_s
    done = [sent(cut=cut, end="device" if cut == "device-only" else "")]
    assert compare(MANIFEST, cut, "an engine", done, 1.0).planned_period_s == period_s


@pytest.mark.parametrize("plan", [{}, {"plan": 3}, {"plan": {"device_s": "long"}}, {"cut_set": {"cuts": [3]}}])
def test_a_plan_that_says_nothing(plan):
    compared = compare(MANIFEST._replace(plan=plan), "middle", "an engine", [sent()], 1.0)
    assert [stage.planned_s for stage in compared.stages] == [None] * 3
    assert compared.notes() == []
    assert "planned -" in compared.lines()[0][1]


def test_lines_and_json():
    compared = compare(MANIFEST, "middle", "an engine", [sent(device_s=0.031)] * 5, 1.0)
    lines = dict(compared.lines())
    assert lines["device"] == "median 31.10 ms, p95 31.10 ms, planned 10.00 ms; idle 84 %"
    assert lines["period"] == "200.00 ms, planned 20.00 ms"
    assert lines["planned for"] == "tx2 with TensorRT 8.2.1, fp16"
    record = compared.to_json()
    assert record["engine"] == {"planned": "tx2 with TensorRT 8.2.1, fp16", "used": "an engine"}
    assert record["stages"]["device"]["planned_s"] == 0.01
    assert record["period_s"] == {"planned": 0.02, "achieved": 0.2}


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"target": "local", "precision": "fp32", "tensorrt": ""}, "local with ONNX Runtime, fp32"),
        ({}, ""),
        ({"target": 3}, ""),
    ],
)
def test_what_the_plan_was_costed_for(side, said):
    assert planned_engine(MANIFEST._replace(device=side)) == said
