"""The chain of cuts against brute force, and where each is best against a fine grid."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from coachc.passes.cut_chain import LinkLine, best_chain, best_intervals


def ratios(members, periods, optimum):
    return [min(periods[m][k] for m in members) / optimum[k] for k in range(len(optimum))]


def brute_force(masks, periods, optimum, always, most, min_gain):
    """The same rule spelt out over all subsets."""
    rated = []
    for size in range(1, most + 1):
        for members in itertools.combinations(range(len(masks)), size):
            nested = all(
                not masks[a] & ~masks[b] or not masks[b] & ~masks[a] for a, b in itertools.combinations(members, 2)
            )
            if nested and (always is None or always in members):
                found = ratios(members, periods, optimum)
                rated.append((max(found), sum(found) / len(found), size))
    least = min((worst for worst, _, _ in rated), default=math.inf)
    if math.isinf(least):
        return None
    return min((size, worst, mean) for worst, mean, size in rated if worst <= least * (1 + min_gain))


@pytest.mark.parametrize("seed", range(200))
def test_the_best_chain_is_the_one_of_brute_force(seed):
    rng = random.Random(seed)
    bits, grid = rng.randint(1, 5), rng.randint(1, 5)
    masks = [rng.getrandbits(bits) for _ in range(rng.randint(1, 8))]
    always = None
    if rng.random() < 0.7:
        masks.append((1 << bits) - 1)
        always = len(masks) - 1
    periods = [
        [
            math.inf if rng.random() < 0.15 else rng.choice((1.0, 1.005, 1.5, 2.0, rng.uniform(1, 3)))
            for _ in range(grid)
        ]
        for _ in masks
    ]
    optimum = [min(0.99 * min(row[k] for row in periods), 5.0) for k in range(grid)]
    most, min_gain = rng.randint(1, 4), rng.choice((0.0, 0.01, 0.1))
    found = best_chain(masks, periods, optimum, always=always, most=most, min_gain=min_gain)
    wanted = brute_force(masks, periods, optimum, always, most, min_gain)
    if wanted is None:
        assert found is None
        return
    assert (len(found.members), found.worst, found.mean) == pytest.approx(wanted)
    assert always is None or always in found.members
    members = [masks[m] for m in found.members]
    assert all(not one & ~other for one, other in itertools.pairwise(members))
    assert found.worst == pytest.approx(max(ratios(found.members, periods, optimum)))


def test_cuts_that_are_not_nested_do_not_share_a_bundle():
    """Two branches, each best at one bandwidth: the chain takes one of them."""
    masks, optimum = [0b01, 0b10, 0b11], [1.0, 1.0]
    periods = [[1.0, 1.3], [1.2, 1.0], [4.0, 4.0]]
    found = best_chain(masks, periods, optimum, always=2)
    assert (found.members, found.worst) == ((1, 2), 1.2)


def test_a_cut_that_gains_less_than_a_hundredth_is_left_out():
    periods = [[1.0, 2.0], [1.008, 1.0], [9.0, 9.0]]
    found = best_chain([0b001, 0b011, 0b111], periods, [1.0, 1.0], always=2)
    assert (found.members, found.worst) == ((1, 2), 1.008)
    found = best_chain([0b001, 0b011, 0b111], periods, [1.0, 1.0], always=2, min_gain=0.001)
    assert (found.members, found.worst) == ((0, 1, 2), 1.0)


def test_the_same_operators_sent_in_two_ways():
    found = best_chain([1, 1, 3], [[1.0, 3.0], [2.0, 1.0], [9.0, 9.0]], [1.0, 1.0], always=2)
    assert found.members == (0, 1, 2)


def test_nothing_admissible():
    assert best_chain([], [], [1.0]) is None
    assert best_chain([1, 3], [[math.inf, 1.0], [math.inf, 1.0]], [1.0, 1.0]) is None


@pytest.mark.parametrize("seed", range(50))
def test_intervals_agree_with_a_fine_grid(seed):
    rng = random.Random(seed)
    lines = [
        LinkLine(rng.uniform(0, 1), rng.choice((0.0, rng.uniform(0, 0.2))), rng.uniform(0, 100))
        for _ in range(rng.randint(1, 6))
    ]
    found = best_intervals(lines, 10.0, 1000.0)
    assert (found[0][1], found[-1][2]) == (10.0, 1000.0)
    assert all(one[2] == other[1] and one[0] != other[0] for one, other in itertools.pairwise(found))
    for step in range(200):
        rate = 10.0 * 100.0 ** (step / 199)
        best = next(index for index, low, high in found if low <= rate <= high)
        assert lines[best].period_s(rate) == pytest.approx(min(line.period_s(rate) for line in lines), rel=1e-9)


def test_a_device_alone_is_best_below_the_bandwidth_at_which_its_time_is_the_links():
    alone, split = LinkLine(0.1, 0.0, 0.0), LinkLine(0.02, 0.0, 1000.0)
    assert best_intervals([alone, split], 1e3, 1e6) == [(0, 1e3, pytest.approx(1e4)), (1, pytest.approx(1e4), 1e6)]
