"""`coachc doctor`, on machines that are not this one."""

from __future__ import annotations

import json

import pytest

from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.health import system as machine_facts
from tests.helpers.commands import coachc
from tests.helpers.fake_machines import laptop, orin, tx2
from tests.helpers.runtime_bundles import FILES, ROLES, make_manifest


@pytest.fixture
def machine(monkeypatch):
    def choose(system):
        monkeypatch.setattr(machine_facts, "System", lambda: system)

    return choose


@pytest.fixture
def bundle(tmp_path):
    side = {"target": "tx2", "precision": "fp16", "tensorrt": "8.2.1"}
    return write_bundle(tmp_path / "tiny.coach", make_manifest()._replace(device=side), FILES, ROLES).path


def test_a_machine_that_is_ready_and_one_that_is_not(machine):
    machine(tx2())
    done = coachc("doctor")
    assert done.code == 0
    assert done.out.endswith("\nready\n")
    machine(laptop())
    done = coachc("doctor", "--cloud", "--json")
    assert done.code == 3
    assert json.loads(done.out)["ok"] is False


def test_one_side_only():
    done = coachc("doctor", "--device", "--cloud")
    assert done.code == 2
    assert "error[usage]: --device and --cloud exclude each other" in done.err


def test_the_target_of_a_bundle_says_which_gpu_was_planned_for(machine, bundle):
    machine(orin())
    done = coachc("doctor", "--bundle", bundle)
    assert done.code == 0
    assert "(wrong)   its GPU" in done.out
    assert "expected: 6.2, the target's: its times are not this machine's" in done.out
    machine(tx2())
    assert "its GPU" not in coachc("doctor", "--bundle", bundle).out


def test_a_bundle_that_is_none(machine, tmp_path):
    machine(tx2())
    done = coachc("doctor", "--bundle", tmp_path / "none.coach")
    assert done.code == 1
    assert "error[bundle]" in done.err
