"""The closed loop against the pipeline simulator where nothing is decided, and what each policy does in it."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.evaluate.bandwidth_trace import Trace, constant, steps
from coachc.evaluate.replay import Setup, replay
from coachc.evaluate.replay_figures import measure
from coachc.evaluate.tasks import HalfKind, Sent
from coachc.passes.simulate import pipeline, staged_task
from coachc.runtime.online.policy import ExitRule, Policy
from coachc.runtime.online.precision import Rung, link_s
from coachc.runtime.online.scoring import Scorer

RUNGS = tuple(Rung((bits,), 1000.0 * bits) for bits in (2, 3, 4, 6, 8))


class Made:
    """Tasks of two classes on a line: the further from 0, the surer; 1 in 20 is where the other class is."""

    def __init__(self, count=400, seed=0):
        rng = np.random.default_rng(seed)
        self.truths = rng.integers(0, 2, count)
        side = np.where(rng.uniform(0, 1, count) < 0.05, 1 - self.truths, self.truths)
        self.features = np.stack([side, 1 - side], 1) + 0.2 * rng.standard_normal((count, 2))

    def __len__(self):
        return len(self.truths)

    def feature(self, task, cut):
        return self.features[task].astype(np.float32)

    def sent(self, task, cut, rung):
        return Sent(int(self.truths[task]), 0.9, RUNGS[rung].size_bytes)

    def alone(self, task):
        return int(self.truths[task])

    def truth(self, task):
        return int(self.truths[task])


def policy(name="default", device_s=4e-3, cloud_s=3e-3, threshold=0.8, cut="split"):
    scorer = Scorer("head", (0, 1), np.float32([[-1, 1], [1, -1]]), np.zeros(2, np.float32), np.zeros(2, np.float32))
    nothing = np.zeros(0, np.float32)
    exits = ExitRule(scorer, (threshold,), 0.05, 0.5, 0.2, nothing, nothing)
    adjust = (np.inf, np.inf, -np.inf, -np.inf, -np.inf)
    return Policy(name, cut, exits if name != "none" else None, None, RUNGS, 2, adjust, device_s, cloud_s)


@pytest.mark.parametrize("interval_s", [0.0, 2e-3, 6e-3, 9e-3])
@pytest.mark.parametrize("bandwidth", [0.4e6, 1.2e6, 6e6])
@pytest.mark.parametrize("workers", [1, 2])
def test_without_decisions_it_is_the_simulated_pipeline(interval_s, bandwidth, workers):
    plain = policy("none", cloud_s=7e-3)
    setup = Setup(constant(bandwidth), 5e-3, bandwidth, interval_s, workers)
    outcomes = replay("none", Made(60), range(60), {"split": plain}, "split", setup)
    task = staged_task(plain.device_s, link_s(RUNGS[2], bandwidth), plain.cloud_s, 5e-3)
    arrivals = [interval_s * number for number in range(60)]
    expected = pipeline([task] * 60, arrivals, workers)
    # The device waits for room on the link here and not there, which moves no later stage.
    assert [o.finish_s for o in outcomes] == pytest.approx(list(expected.finishes_s))


def test_the_same_seed_gives_the_same_replay():
    setup = Setup(steps([1.0], [2.5e6, 1e6]), 5e-3, 2.5e6)
    one, two = (replay("default", Made(), range(400), {"split": policy()}, "split", setup) for _ in range(2))
    assert one == two


def test_exits_end_on_the_device():
    setup = Setup(constant(1e6), 5e-3, 1e6)
    outcomes = replay("default", Made(), range(400), {"split": policy()}, "split", setup)
    exits = [o for o in outcomes if o.exit]
    assert 100 < len(exits) < 400
    assert all(o.size_bytes == 0 and o.finish_s == pytest.approx(o.start_s + 4e-3) for o in exits)
    sent = [o for o in outcomes if not o.exit]
    assert all(o.right and o.rung >= 2 for o in sent)
    audited = [o for o in sent if abs(Made().features[o.task][0] - Made().features[o.task][1]) * 2 > 0.8]
    assert audited


def test_precision_follows_the_link():
    """Above what the rest of the pipeline takes nothing is gained; below it the floor holds."""
    fast = replay(
        "default", Made(), range(200), {"split": policy(threshold=9)}, "split", Setup(constant(6e6), 5e-3, 6e6)
    )
    slow = replay(
        "default", Made(), range(200), {"split": policy(threshold=9)}, "split", Setup(constant(2e5), 5e-3, 2e5)
    )
    assert {o.rung for o in fast[20:]} == {4}
    assert {o.rung for o in slow} == {2}


@pytest.mark.parametrize("kind", ["default", "paper"])
def test_the_link_has_the_time_between_tasks(kind):
    """8 kB at 0.4 MB/s are 22 ms: too long for tasks of 4 ms, not for those that come every 50."""
    rungs = {}
    for interval_s in (0.0, 50e-3):
        setup = Setup(constant(4e5), 5e-3, 4e5, interval_s)
        outcomes = replay(kind, Made(), range(100), {"split": policy(kind, threshold=9)}, "split", setup)
        rungs[interval_s] = {o.rung for o in outcomes[20:]}
    assert rungs[50e-3] == {4}
    assert max(rungs[0.0]) <= 2


@pytest.mark.parametrize(
    ("half", "expected"),
    [(HalfKind(), {0, 2}), (HalfKind(True, False), {2}), (HalfKind(False, False), {2})],
)
def test_a_half_in_one_piece_sends_at_the_precision_it_ran_at(half, expected):
    """With spare time left to save bytes: a sure task's fewer bits need a half that can quantize once more."""
    sure = policy(threshold=9)._replace(adjust=(0.5, 0.5, -np.inf, -np.inf, -np.inf))
    setup = Setup(constant(1e6), 5e-3, 1e6, prefer="bytes", halves={"split": half})
    outcomes = replay("default", Made(), range(200), {"split": sure}, "split", setup)
    assert {o.rung for o in outcomes} == expected


def test_quantpipe_goes_below_the_floor():
    slow = replay("quantpipe", Made(), range(200), {"split": policy("none")}, "split", Setup(constant(2e5), 5e-3, 2e5))
    assert {o.rung for o in slow[20:]} == {0}


def test_the_oracle_is_never_wrong_and_exits_what_can():
    setup = Setup(constant(1e6), 5e-3, 1e6)
    outcomes = replay("oracle", Made(), range(400), {"split": policy()}, "split", setup)
    assert all(o.right for o in outcomes)
    assert sum(bool(o.exit) for o in outcomes) > 350


def several():
    """A late cut that sends little, an early one that sends much, and the device alone."""
    early = policy("none", device_s=2e-3, cut="early")._replace(
        rungs=tuple(r._replace(size_bytes=r.size_bytes * 4) for r in RUNGS)
    )
    late = policy("none", device_s=8e-3, cut="late")
    alone = Policy("none", "device-only", None, None, (), 0, (), 30e-3, 0.0)
    return {"early": early, "late": late, "device-only": alone}


@pytest.mark.parametrize(("bandwidth", "expected"), [(1.2e7, "early"), (1e6, "late"), (5e4, "device-only")])
def test_it_moves_to_the_cut_for_the_bandwidth(bandwidth, expected):
    setup = Setup(constant(bandwidth), 5e-3, 1e6)
    outcomes = replay("default", Made(), range(300), several(), "late", setup)
    cuts = [o.cut for o in outcomes[100:]]
    assert cuts.count(expected) >= 0.95 * len(cuts)


def test_a_bundle_of_one_cut_stays_at_it_but_for_an_outage():
    link = Trace(np.array([2.0, 10.0, 1e3]), np.array([1e5, 0.0, 1e5]))
    policies = {name: several()[name] for name in ("late", "device-only")}
    outcomes = replay("default", Made(), np.arange(900) % 400, policies, "late", Setup(link, 5e-3, 1e5))
    assert {o.cut for o in outcomes if o.start_s < 1.8} == {"late"}
    assert {o.cut for o in outcomes if 4.5 < o.start_s < 11.5} == {"device-only"}
    assert {o.cut for o in outcomes if o.start_s > 15} == {"late"}


def test_an_outage_is_sat_out_on_the_device():
    link = Trace(np.array([2.0, 10.0, 1e3]), np.array([1e6, 0.0, 1e6]))
    setup = Setup(link, 5e-3, 1e6)
    outcomes = replay("default", Made(), np.arange(1500) % 400, several(), "late", setup)
    down = [o for o in outcomes if 3.5 < o.start_s < 11.5]
    assert len(down) > 200
    assert {o.cut for o in down} == {"device-only"}
    after = [o for o in outcomes if o.start_s > 14]
    assert {o.cut for o in after} <= {"late", "early"}
    assert len(after) > 100


def test_what_is_measured_adds_up():
    setup = Setup(constant(1e6), 5e-3, 1e6)
    outcomes = replay("default", Made(), range(400), {"split": policy()}, "split", setup)
    result = measure(outcomes, [True] * 400)
    assert result.exits.value == pytest.approx(sum(bool(o.exit) for o in outcomes) / 400)
    assert result.loss == pytest.approx(sum(not o.right for o in outcomes) / 400)
    assert result.loss_bound > result.loss
    assert result.exits.low < result.exits.value < result.exits.high
    assert 0 < result.busy["device"] <= 1 + 1e-9
    assert 0 < result.busy["link"] <= 1 + 1e-9
    assert sum(result.rungs.values()) + sum(result.exit_reasons.values()) == 400
    assert result.latency_p50_s <= result.latency_p95_s <= result.latency_p99_s
