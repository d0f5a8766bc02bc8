"""What the program takes for a task besides the half: no more than a run shows, and no less than its parts."""

import numpy as np
import pytest

from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.device import program_cost
from coachc.runtime.device.program_cost import Asking, program_seconds
from coachc.runtime.device.run_task import Work
from coachc.runtime.engines.halves import Halves
from tests.helpers.online_bundles import SHAPE, engine_for, make_online_bundle
from tests.helpers.runtime_bundles import FILES, ROLES, fake_engine_for, make_bundle, make_manifest

FEED = {"input": np.zeros(SHAPE, np.float32)}


def test_requests_count_where_there_is_one_core_only(tmp_path, monkeypatch):
    bundle = make_online_bundle(tmp_path / "b")
    found = {}
    for cores in (1, 2):
        monkeypatch.setattr(program_cost, "usable_cores", lambda cores=cores: cores)
        found[cores] = program_seconds(bundle, Halves(bundle, engine_for), FEED, 20)
    assert 0 <= found[2] < found[1] < 0.1


def test_a_request_is_answered_without_a_network(tmp_path):
    bundle = make_bundle(tmp_path / "b")
    halves, cut = Halves(bundle, fake_engine_for), bundle.manifest.cut()
    feed = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in bundle.manifest.model.inputs}
    asking = Asking(bundle, cut)
    for task in range(3):
        asking(Work(task, 0.0, 0.0, halves.half(cut.name).run(feed), cut.name))
    asking.close()


@pytest.mark.parametrize("side", [0.0, 0.01])
def test_a_slower_half_is_no_slower_program(tmp_path, monkeypatch, side):
    import time

    monkeypatch.setattr(program_cost, "usable_cores", lambda: 2)
    bundle = make_online_bundle(tmp_path / "b")

    def slowed(data, providers=()):
        engine = engine_for(data)
        run = engine.run
        engine.run = lambda feed: time.sleep(side) or run(feed)
        return engine

    assert program_seconds(bundle, Halves(bundle, slowed), FEED, 10) < 0.008


def test_pictures_are_the_sources_time(tmp_path):
    manifest = make_manifest()._replace(chosen="jpeg")
    bundle = write_bundle(str(tmp_path / "b"), manifest, FILES, ROLES)
    assert program_seconds(bundle, Halves(bundle, fake_engine_for), {}, 3) == 0.0
