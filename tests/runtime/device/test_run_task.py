"""One task on the device: what it becomes, without sockets."""

import numpy as np
import pytest

from coachc.runtime.device.predictions import reader_of
from coachc.runtime.device.run_task import DeviceStage, Done, Work
from coachc.runtime.engines.halves import Halves
from coachc.runtime.online.driver import Driver
from tests.helpers.online_bundles import BITS, engine_for, inputs, make_online_bundle, policy_of, whole_model

X = inputs(20)


@pytest.fixture
def made(tmp_path):
    """(stage, driver) of a policy that never exits on a link that takes 8 bits of one task at a time."""
    bundle = make_online_bundle(tmp_path / "b")
    policies = {"one": policy_of("default", "one", exits=False, adjust=(-float("inf"),))}
    driver = Driver(policies, "one", "device-only", 6e5, "accuracy", lambda: 1.0, interval_s=0.02)
    predict = reader_of(bundle.manifest)
    clock = iter(range(1000))
    return DeviceStage(
        Halves(bundle, engine_for), policies, driver, predict, "device-only", lambda: 1e-6 * next(clock)
    ), driver


def test_a_task_is_sent_at_the_precision_decided(made):
    stage, _ = made
    bits = []
    for task in range(3):
        work = stage.run(task, {"input": X[task : task + 1]})
        assert isinstance(work, Work)
        assert (work.cut, work.task) == ("one", task)
        assert work.outputs["b/codes"].max() < 2 ** work.bits[0]
        assert np.array_equal(work.feed["input"], X[task : task + 1])
        bits += work.bits
    # The first fills the link, whose backlog leaves the others the least.
    assert bits == [BITS[2], BITS[0], BITS[0]]


def test_what_the_server_does_not_answer_is_answered_here_and_leaves_the_link(made):
    stage, _ = made
    works = [stage.run(task, {"input": X[task : task + 1]}) for task in range(3)]
    for work in works:
        stage.lost(work.task)
        done = stage.answer_alone(work.task, work.feed, work.arrival_s, work.device_s)
        assert (done.exit, done.cut, done.sent_bytes) == ("fallback", "device-only", 0)
        assert done.predictions == (whole_model(X[work.task : work.task + 1]).argmax(),)
        assert done.latency_s >= done.device_s > work.device_s
    assert stage.run(3, {"input": X[3:4]}).bits == (BITS[2],)


def test_a_server_out_of_reach_is_not_asked(made):
    stage, driver = made
    done = stage.run(0, {"input": X[:1]}, down=True)
    assert isinstance(done, Done)
    assert (done.exit, done.predictions) == ("device", (whole_model(X[:1]).argmax(),))
    assert isinstance(stage.run(1, {"input": X[1:2]}), Work)
    assert driver.moves == 2
