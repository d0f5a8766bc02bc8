"""What a plan wins beside the next way, and the speeds at which that turns, against plans made at those speeds."""

from __future__ import annotations

import dataclasses

import pytest

from coachc.cli.compile_report import stakes_lines
from coachc.core.plan import BitPlan, Quantizer
from coachc.core.profile import Provenance
from coachc.passes.partition import Limits, search
from coachc.planning.decide import decide
from coachc.planning.stakes import stakes
from tests.helpers.graphs import CHAIN, costs_of, graph_of
from tests.helpers.wire import entry_bytes

GRAPH = graph_of(CHAIN, elements={"x": 40000, "v0": 8000, "v1": 800, "v2": 80})


def costs(device, *, bandwidth=1e6, factor=1.0, cloud=0.001, **options):
    seconds = [each / factor for each in device]
    return costs_of(seconds, [cloud] * 4, **{"bandwidth": bandwidth, "bytes_per_s": 1e15} | options)


def eight_bits(mask, cut, most_bits):
    return BitPlan(tuple(Quantizer(name, "packed", 8) for name in cut), None)


def planned(given):
    found = search(GRAPH, given, eight_bits, limits=Limits())
    return decide(GRAPH, given, found, None, None, Limits()), found


#: A device that is slow, one for which splitting pays a little, and one that needs no server.
DEVICES = {"slow": (0.02,) * 4, "even": (0.001, 0.001, 0.006, 0.004), "fast": (0.0005,) * 4}


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bandwidth", [1e5, 1e6, 1e7])
def test_the_figures_are_those_of_both_ways(name, bandwidth):
    given = costs(DEVICES[name], bandwidth=bandwidth)
    plan, found = planned(given)
    won = stakes(plan, found, given)
    ours, theirs = plan.way.timeline, won.other.timeline
    assert won.other.mode != plan.way.mode
    assert won.frames == theirs.period_s / ours.period_s
    assert won.latency == ours.latency_s / theirs.latency_s
    # Within 1 % the device alone is preferred; else the plan is the faster one.
    assert won.frames >= 1 / 1.0101


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("bandwidth", [1e5, 1e6, 1e7])
def test_beyond_each_limit_the_other_way_gives_more(name, bandwidth):
    given = costs(DEVICES[name], bandwidth=bandwidth)
    plan, found = planned(given)
    won = stakes(plan, found, given)

    def lead(factor=1.0, rate=1.0):
        """How much longer the plan's period is than the other's, with both as they are."""
        there = costs(DEVICES[name], bandwidth=bandwidth * rate, factor=factor)
        periods = []
        for way in (plan.way, won.other):
            device = way.timeline.device_s / factor
            headers = sum(entry_bytes(GRAPH.values[q.name], q.bits if q.packed else None) for q in way.bits.quantizers)
            link = there.link.transfer_s(way.timeline.payload_bytes + headers) if way.timeline.link_s else 0.0
            periods.append(max(device, link, way.timeline.cloud_s))
        return periods[0] - periods[1]

    limits = [
        ({"factor": won.device_factor}, "factor", won.device_factor),
        ({"rate": (won.least_bytes_per_s or 0) / bandwidth}, "rate", won.least_bytes_per_s),
        ({"rate": (won.most_bytes_per_s or 0) / bandwidth}, "rate", won.most_bytes_per_s),
    ]
    for at, key, limit in limits:
        if limit is None:
            continue
        beyond, before = (at[key] * 1.001, at[key] / 1.001) if at[key] > 1 else (at[key] / 1.001, at[key] * 1.001)
        assert lead(**{key: before}) < 1e-9
        assert lead(**{key: beyond}) > -1e-9
    if won.device_factor is None and lead() < 0:
        assert all(lead(factor=factor) < 0 for factor in (0.01, 0.1, 0.5, 2, 10, 100))
    if won.least_bytes_per_s is None and lead() < 0:
        assert all(lead(rate=rate) < 0 for rate in (0.01, 0.1, 0.5))


def test_without_another_way_there_is_nothing_to_say():
    given = costs(DEVICES["slow"])
    plan, found = planned(given)
    alone = {mode: dataclasses.replace(each, barrier="does not build") for mode, each in plan.alternatives.items()}
    assert stakes(dataclasses.replace(plan, alternatives=alone), found, given) is None
    assert stakes_lines(None, GUESS) == []


GUESS, MEASURED = Provenance("guess", "by hand", 2.0), Provenance("measured", "by hand")


def test_it_is_said_in_plain_words():
    said = {
        "against": "device-only", "frames_ratio": 1.0372, "latency_ratio": 5.61, "device_factor": 1.3,
        "least_bandwidth_bytes_per_s": 14e6 / 8, "most_bandwidth_bytes_per_s": None,
    }  # fmt: skip
    assert stakes_lines(said, GUESS) == [
        "gain      1.04x the frames of device only, 5.61x its latency",
        "holds     while the device is less than 1.3x as fast as estimated and the link carries more than 14 Mbit/s",
        "unsure    estimates are within 2x: measure the device (README, your own times)",
    ]
    sure = Provenance("fitted", "by hand", 1.25)
    assert len(stakes_lines(said, sure)) == 2
    other = {**said, "device_factor": 0.5, "least_bandwidth_bytes_per_s": None, "most_bandwidth_bytes_per_s": 1e6}
    assert stakes_lines(other, MEASURED)[1] == (
        "holds     while the device is more than 0.5x as fast as measured and the link carries less than 8 Mbit/s"
    )
    unmoved = {**other, "device_factor": None, "most_bandwidth_bytes_per_s": None}
    assert len(stakes_lines(unmoved, GUESS)) == 1
