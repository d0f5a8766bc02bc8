"""The promise of accuracy, simulated in small; `python -m coachc.bench.promise_simulation` does all cells at length."""

from __future__ import annotations

import pytest

from coachc.bench.promise_simulation import Cell, Count, cells, line, simulate, verdict
from coachc.calib.certificate import LEVEL

TRIALS = 25
#: Where something is proven often, and where the losses are at the edge of what may be lost.
NAMES = (
    "agreement, edge, single, n = 2,000",
    "agreement, slope, single, n = 5,000",
    "agreement, exits, single, n = 5,000",
    "labels, exits, single, n = 5,000",
    "labels, slope, clips, n = 5,000",
    "rows, slope, single, n = 5,000",
    "outputs, edge, clips, n = 2,000",
    "outputs, slope, single, n = 330",
)


@pytest.fixture(scope="module")
def counts():
    by_name = {cell.name: cell for cell in cells()}
    return {name: simulate(by_name[name], TRIALS) for name in NAMES}


def test_no_cell_is_wrong_more_often_than_it_says(counts):
    assert {name: count.least for name, count in counts.items() if count.least > LEVEL} == {}
    # All together: beyond 5 % by chance alone only once in a thousand such suites.
    trials, wrong = sum(count.trials for count in counts.values()), sum(count.wrong for count in counts.values())
    assert wrong <= LEVEL * trials + 3 * (LEVEL * trials) ** 0.5


def test_what_is_well_within_the_budget_is_certified(counts):
    for name in NAMES:
        if "slope" in name and "clips" not in name and "330" not in name:
            assert counts[name].certified > 0.1 * TRIALS, name


def test_every_kind_profile_and_size_has_a_cell():
    found = cells()
    assert len(found) == len({cell.name for cell in found})
    assert {cell.samples for cell in found} >= {100, 5000}
    assert {cell.world.kind for cell in found} == {"agreement", "labels", "rows", "outputs"}
    assert all(isinstance(cell, Cell) for cell in found)


def test_a_promise_that_is_broken_is_seen():
    """40 of 200 trials wrong: the interval of such a cell lies beyond 5 %, and the table says so."""
    broken, kept = Count(200, 200, 40), Count(200, 150, 5)
    assert broken.least > LEVEL > kept.least
    assert line("one", broken).split() == ["one", "100.0%", "20.0%", f"{broken.least:.2%}"]
    assert verdict([broken, kept]) == "400 trials in 2 cells: 11.25% wrong; 1 cells beyond 5%"
