import pytest

from coachc.runtime.online.precision import (
    HYSTERESIS,
    SLACK,
    Rung,
    as_printed,
    link_s,
    lowest,
    period_s,
    throughput,
    without_bubble,
)
from tests.helpers.online import ENDLESS, RUNGS

INFINITY = float("inf")
TOP = len(RUNGS) - 1


def test_link_and_period_by_hand():
    """(1000 + 330 + 2 * 90) / (100,000 * 0.955) = 1510 / 95,500 s, and half a second of coding."""
    rung = Rung((4, 8), 1000.0, 0.5)
    assert link_s(rung, 1e5) == pytest.approx(0.5 + 1510 / 95500)
    assert period_s(5.0, 8.0, 3.0) == 8
    assert period_s(5.0, 1.0, 12.0, 2.0) == 6


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan")])
def test_no_bandwidth_takes_for_ever(bandwidth):
    assert link_s(RUNGS[0], bandwidth) == INFINITY
    assert without_bubble(RUNGS, 1, 0, bandwidth, 0.0, 5.0) == (1, True)
    assert as_printed(RUNGS, 1, bandwidth, 5.0) == (1, True)
    assert throughput(RUNGS, bandwidth, 5.0) == (0, True)


def test_the_lowest_the_score_reaches():
    """S_adj = 0.6 for 2 bits, 0.3 for 3 bits; 4 bits and more for every task."""
    adjust = (0.6, 0.3, -INFINITY, -INFINITY)
    scores = (9.0, 0.6, 0.599, 0.3, 0.299, -5.0, -INFINITY, float("nan"))
    assert [lowest(adjust, score) for score in scores] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert lowest((INFINITY, -INFINITY), 1e30) == 1
    assert lowest((0.5, 0.4), 0.1) == 1


def test_equation_11_as_printed():
    """T_e = 5, T_c = 3; the rungs' T' are 2, 4, 8, 16 and 32.

    |T' - max(5, T', 3)| = 3, 1, 0, 0 and 0: from 8 s on every precision is as good as any other, 32 s on a pipeline of
    5 s among them. The smallest of equals is taken.
    """
    assert [link_s(rung, ENDLESS) for rung in RUNGS] == [2, 4, 8, 16, 32]
    assert as_printed(RUNGS, 0, ENDLESS, 5.0) == (2, False)
    assert as_printed(RUNGS, 2, ENDLESS, 5.0) == (2, True)
    assert as_printed(RUNGS, 3, ENDLESS, 5.0) == (3, True)
    assert as_printed(RUNGS, TOP, ENDLESS, 5.0) == (TOP, True)
    assert as_printed(RUNGS, 0, ENDLESS, 100.0) == (TOP, False)  # 32 is the nearest to 100


def test_equation_11_of_a_plan_that_the_link_holds_up():
    """T_e = 5, T_t = 8, T_c = 3: as printed the task stays at 8 s; corrected it takes the 4 s that fit into 5."""
    assert as_printed(RUNGS, 0, ENDLESS, max(5.0, 3.0)).rung == 2
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 0.0, max(5.0, 3.0)).rung == 1


def test_corrected_takes_the_highest_that_fits():
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 0.0, 9.0) == (2, False)  # 8 <= 0.95 * 9
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 0.0, 8.0) == (1, False)  # 8 > 0.95 * 8: the slack
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 0.0, 1000.0) == (TOP, False)


def test_corrected_counts_the_backlog():
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 1.0, 9.0) == (1, False)  # 8 + 1 > 8.55
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 6.0, 9.0) == (0, False)
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 7.0, 9.0) == (0, True)
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, float("nan"), 9.0) == (0, True)


def test_corrected_goes_up_later_than_down():
    """8 s in 9: within the slack, not within slack and hysteresis. In 10 both."""
    assert 9 * (1 - SLACK - HYSTERESIS) < 8 < 9 * (1 - SLACK)
    assert without_bubble(RUNGS, 0, 2, ENDLESS, 0.0, 9.0).rung == 2
    assert without_bubble(RUNGS, 0, 1, ENDLESS, 0.0, 9.0).rung == 1
    assert without_bubble(RUNGS, 0, 1, ENDLESS, 0.0, 10.0).rung == 2


def test_corrected_says_when_the_link_is_the_bottleneck():
    assert without_bubble(RUNGS, 2, TOP, ENDLESS, 0.0, 5.0) == (2, True)
    assert without_bubble(RUNGS, 0, TOP, ENDLESS, 0.0, 1.0) == (0, True)


def test_there_is_no_hysteresis_where_there_is_no_choice():
    """8 s in 9 after a lower one that this task does not admit: as high as it has to be, and no bottleneck."""
    assert without_bubble(RUNGS, 2, 0, ENDLESS, 0.0, 9.0) == (2, False)


def test_throughput_asks_nobody():
    assert throughput(RUNGS, ENDLESS, 9.0) == (2, False)
    assert throughput(RUNGS, ENDLESS, 1.0) == (0, True)
