"""The pipeline as lines of text: drawn by hand for stages in whole units, and what holds for any stages."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.cli import gantt

TASKS = "12345"


def lines(device_s, link_s=0.0, cloud_s=0.0, *, rtt_s=0.0, width=96, workers=1):
    timeline = {"device_s": device_s, "link_s": link_s, "cloud_s": cloud_s}
    return gantt.lines(timeline, rtt_s, width, workers=workers)


def bars(drawn):
    """Stage -> its line without the name; the last line is the axis."""
    assert all(line[:8].strip() for line in drawn[:-1])
    assert drawn[-1][:8].strip() == ""
    return {line[:8].strip(): line[8:] for line in drawn[:-1]}


def test_the_first_scheme_of_fig2_a_character_a_unit():
    # "The maximum stage is reduced from 4": the link takes 4 units, the others 1.
    assert bars(lines(1, 4, 1, width=22)) == {
        "device": "12345.................",
        "link":   ".11112222333344445555.",
        "cloud":  ".....1...2...3...4...5",
    }  # fmt: skip


def test_the_third_scheme_of_fig2_has_no_bubbles():
    assert bars(lines(2, 2, 2, width=14)) == {
        "device": "1122334455....",
        "link":   "..1122334455..",
        "cloud":  "....1122334455",
    }  # fmt: skip
    twice = bars(lines(2, 2, 2, width=28))
    assert twice["link"] == "....11112222333344445555...."


def test_the_round_trip_is_idle_time_on_both_ways():
    assert bars(lines(1, 1, 1, rtt_s=2, width=18)) == {
        "device": "1122334455........",
        "link":   "..1122334455......",
        "cloud":  "......1122334455..",
    }  # fmt: skip


def test_a_cloud_that_binds_makes_nobody_wait_but_itself():
    drawn = bars(lines(1, 1, 3, width=17))
    assert drawn == {"device": "12345............", "link": ".12345...........", "cloud": "..111222333444555"}
    # Two workers: both begin as soon as they can, so the whole takes 11 units.
    assert lines(1, 1, 3, width=22, workers=2)[-1].split() == ["0", "11000.00", "ms"]
    shared = bars(lines(1, 1, 3, width=22, workers=2))["cloud"]
    assert shared.startswith("....11")
    assert list(filter(str.isdigit, shared)) == sorted(filter(str.isdigit, shared))


def test_a_device_only_plan_has_one_line():
    drawn = lines(0.02, width=25)
    assert bars(drawn) == {"device": "1111122222333334444455555"}
    assert drawn[-1].split() == ["0", "100.00", "ms"]


@pytest.mark.parametrize("seed", range(40))
def test_any_stages(seed):
    rng = np.random.default_rng([seed, 71])
    stages = rng.uniform(1e-4, 0.1, 3) * (rng.random(3) > 0.1)
    rtt_s, width = float(rng.choice([0.0, 0.02])), int(rng.integers(40, 140))
    drawn = lines(*stages.tolist(), rtt_s=rtt_s, width=width, workers=int(rng.integers(1, 3)))
    assert {len(line) for line in drawn} == {8 + width}
    split = stages[1:].any()
    assert list(bars(drawn)) == (["device", "link", "cloud"] if split else ["device"])
    for bar in bars(drawn).values():
        assert set(bar) <= {*TASKS, gantt.IDLE}
        digits = [character for character in bar if character != gantt.IDLE]
        assert digits == sorted(digits)
    # The device never waits: it is idle only when all its tasks are done.
    device = bars(drawn)["device"]
    assert gantt.IDLE not in device.rstrip(gantt.IDLE)
    if split:
        # Equal stages follow each other, and all of the time is drawn: the last answer ends it.
        whole_ms = float(drawn[-1].split()[1])
        assert whole_ms >= (sum(stages) + rtt_s) * 1e3 - 0.01
        assert bars(drawn)["link"].startswith(gantt.IDLE) == (stages[0] > whole_ms / 1e3 / width / 2)


def test_a_stage_too_short_to_be_seen_is_drawn_idle():
    drawn = bars(lines(1.0, 1e-6, 1.0, width=60))
    assert drawn["link"] == "." * 60
    assert bars(lines(1.0, 0.0, 0.0, width=60))["device"] == "".join(digit * 12 for digit in TASKS)
