"""The explanation of a plan, against what its words mean: costed anew for every ideal, at every bandwidth drawn."""

from __future__ import annotations

import dataclasses
import itertools
import math
from unittest import mock

import numpy as np
import pytest

import coachc.planning.explain as explaining
from coachc.core.operations import STAGES
from coachc.core.plan import MAX_BITS, UNQUANTIZED
from tests.helpers.admissible import cuttable
from tests.helpers.explained import Case, cases, near


@pytest.mark.parametrize("block", range(6))
def test_every_option_is_bound_by_what_the_words_mean(block):
    seen = set()
    for seed, case in cases(range(20 * block, 20 * block + 20), limited=block % 2 == 1, coded=block > 2):
        with mock.patch.object(explaining, "RUNNERS_UP", 10**6):
            found = case.explain()
        others = [mask for mask in case.masks if mask != case.plan.way.mask and "shape" not in case.binds(mask)]
        assert sorted(option.way.mask for option in found.runners_up) == sorted(others), f"seed {seed}"
        for option in found.runners_up:
            about = f"seed {seed}, mask {option.way.mask:b}: {option}"
            assert option.way.mode == {0: "cloud-raw", case.graph.full_mask: "device-only"}.get(
                option.way.mask, "split"
            )
            assert option.way.cut == case.graph.cut_values(option.way.mask)
            assert option.binds in case.binds(option.way.mask), about
            way = case.best_way(option.way.mask)
            assert option.way.timeline.period_s == pytest.approx(case.period_s(option.way.mask, way)), about
            assert option.way.timeline.latency_s == pytest.approx(case.latency_s(option.way.mask, way)), about
            assert option.possible == (option.binds != "memory" and case.in_time(option.way.mask, way)), about
            if option.binds != "memory" and option.way.mask != case.graph.full_mask:
                floats = [n for n in option.way.cut if case.graph.values[n].dtype == "float32"]
                width = max(32 if name in floats else 64 for name in option.way.cut)
                known, bits = case.known(option.way.mask)
                shown = (width, True) if way == UNQUANTIZED or not floats else (bits, known)
                assert (option.way.bits.fewest, option.known) == shown, about
            seen.add(option.binds)
    assert seen >= {*STAGES[:2], "accuracy"} | ({"latency", "memory"} if block % 2 else set())


@pytest.mark.parametrize("block", range(3))
def test_runners_up_are_the_five_least_periods_of_all_others(block):
    for seed, case in cases(range(20 * block, 20 * block + 20), coded=block > 0):
        asked = list(case.source.asked)
        found = case.explain()
        assert case.source.asked == asked, "nothing is measured unless asked for"
        others = [
            m for m in case.masks if m != case.plan.way.mask and (m == case.graph.full_mask or cuttable(case.graph, m))
        ]
        expected = sorted(case.period_s(mask, case.best_way(mask)) for mask in others)[:5]
        assert [option.way.timeline.period_s for option in found.runners_up] == pytest.approx(expected), f"seed {seed}"
        # Nobody is ahead of the plan, but for what counts as equal.
        assert expected[0] >= case.plan_s / (1 + case.costs.tie) - 1e-9, f"seed {seed}"


@pytest.mark.parametrize("block", range(3))
def test_regions_share_out_all_splits_in_the_order_of_the_model(block):
    for seed, case in cases(range(20 * block, 20 * block + 20), limited=block == 2, coded=block == 1):
        graph, chain = case.graph, case.problem.blocks.chain
        prefixes = [0, *itertools.accumulate((sum(1 << n for n in b.nodes) for b in chain), lambda a, b: a | b)]
        names = ["input", *((graph.nodes[b.nodes[0]].name, graph.nodes[b.nodes[-1]].name) for b in chain)]
        names[0] = ("input", "input")
        places = [[] for _ in prefixes]
        for mask in case.masks[:-1]:
            places[next(i for i, prefix in enumerate(prefixes) if mask & ~prefix == 0)].append(mask)
        regions = list(case.explain().regions)
        assert sum(region.partitions for region in regions) == len(case.masks) - 1, f"seed {seed}"
        assert all(a.binds != b.binds for a, b in itertools.pairwise(regions)), f"seed {seed}"
        place = 0
        for region in regions:
            assert region.first == names[place][0], f"seed {seed}"
            inside = []
            while sum(map(len, inside)) < region.partitions:
                inside.append(places[place])
                assert region.binds in keeps_from_winning(case, places[place]), f"seed {seed}, {names[place]}"
                place += 1
            assert region.last == names[place - 1][1], f"seed {seed}"
            least_s = min(case.period_s(mask, case.best_way(mask)) for masks in inside for mask in masks)
            assert region.least_period_s == pytest.approx(least_s), f"seed {seed}"


def keeps_from_winning(case, masks):
    """A side that is slower by itself than the plan, else what binds the best of them; all that a tie leaves open."""
    periods = {mask: case.period_s(mask, case.best_way(mask)) for mask in masks}
    found = set()
    for mask in masks:
        if not near(periods[mask], min(periods.values())):
            continue
        binds = case.binds(mask)
        device_s, _, cloud_s = case.stages(mask, case.best_way(mask))
        sides = [("device", device_s), ("cloud", cloud_s / case.costs.server_share)]
        if binds & set(STAGES):
            found |= {side for side, s in sides if near(s, case.plan_s)}
            binds = next(({side} for side, s in sides if s > case.plan_s), binds) | (binds - set(STAGES))
        found |= binds
    return found


@pytest.mark.parametrize("block", range(4))
def test_at_every_bandwidth_the_move_names_the_least_period(block):
    raw = 0
    for seed, case in cases(range(20 * block, 20 * block + 20)):
        moves = case.explain(measure=block % 2 == 1).moves
        assert (moves[0].high_bytes_per_s, moves[-1].low_bytes_per_s) == (math.inf, 0.0)
        assert all(a.low_bytes_per_s == b.high_bytes_per_s for a, b in itertools.pairwise(moves)), f"seed {seed}"
        here = case.costs
        options = [
            (mask, bits)
            for mask in case.masks
            if mask == case.graph.full_mask or cuttable(case.graph, mask)
            for bits in case.ways(mask)
        ]
        rates = 10 ** np.random.default_rng(seed).uniform(3, 10, 30)
        for rate in (*rates.tolist(), here.link.bandwidth_bytes_per_s):
            link = dataclasses.replace(here.link, bandwidth_bytes_per_s=rate)
            case.costs = dataclasses.replace(here, link=link)
            periods = {option: case.period_s(*option) for option in options}
            # A server has to gain more than what counts as equal.
            periods[case.graph.full_mask, UNQUANTIZED] /= 1 + here.tie
            (move,) = [m for m in moves if m.low_bytes_per_s <= rate < m.high_bytes_per_s]
            floats = any(case.graph.values[name].dtype == "float32" for name in move.option.way.cut)
            as_it_is = not floats or move.option.way.bits.fewest == 32
            ways = [UNQUANTIZED] if move.option.way.mask == case.graph.full_mask else case.ways(move.option.way.mask)
            bits = UNQUANTIZED if as_it_is or (move.option.way.bits.fewest or 0) > MAX_BITS else ways[0]
            assert periods[move.option.way.mask, bits] == pytest.approx(min(periods.values())), (
                f"seed {seed}, {rate:.0f}"
            )
            raw += as_it_is and floats
        case.costs = here
        # At the bandwidth of the plan it is the plan, or one that is as good.
        named_s, tie = move.option.way.timeline.period_s, 1 + here.tie
        assert named_s / tie - 1e-9 <= case.plan_s <= named_s * tie + 1e-9, f"seed {seed}"
    assert raw, "tensors as they are never won"


@pytest.mark.parametrize("block", range(3))
def test_measure_makes_both_neighbours_certain_and_asks_nothing_else(block):
    asked_any = 0
    for seed, case in cases(range(20 * block, 20 * block + 20)):
        twin = Case(seed)
        before = list(case.source.asked)
        assert twin.source.asked == before
        while unsure := [move for move in neighbours(twin) if not move.option.known]:
            for move in unsure:
                twin.precision(move.option.way.mask, move.option.way.cut, MAX_BITS)
        found = case.explain(measure=True)
        assert case.source.asked == twin.source.asked, f"seed {seed}"
        assert found == twin.explain(), f"seed {seed}"
        asked_any += case.source.asked != before
        new = case.source.asked[len(before) :]
        assert len(new) == len({mask for mask, _ in new}), f"seed {seed}"
    assert asked_any


def neighbours(case):
    moves, rate = case.explain().moves, case.costs.link.bandwidth_bytes_per_s
    (here,) = [i for i, m in enumerate(moves) if m.low_bytes_per_s <= rate < m.high_bytes_per_s]
    return [move for i, move in enumerate(moves) if abs(i - here) <= 1]
