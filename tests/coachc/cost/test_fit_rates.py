"""The fit's own arithmetic beside the profile's, and rates that were planted found again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.core.profile import Provenance
from coachc.cost.device import EAGER_PREFIX, Roofline
from coachc.cost.device_files import all_devices
from coachc.cost.fit_rates import Peak, fit_rates, fit_scales, network_s, scaled, work_of
from coachc.cost.roofline import ELEMENT_BYTES, estimate
from coachc.models.published.networks import published_graph

NETWORKS = (
    "resnet18", "resnet50", "resnet152", "vgg11", "vgg16", "alexnet", "squeezenet1_0", "densenet121", "mobilenet_v2",
    "inception_v3", "yolov8n_640", "mobilenet_v1_1.0_224",
)  # fmt: skip
WORKS = [work_of(published_graph(name)) for name in NETWORKS]
PLANTED = Roofline(
    {"conv1x1": 5e11, "conv3x3": 1.2e12, "conv": 5.2e11, "depthwise": 2e10, "gemm": 4e11},
    3.5e10, 6e-5, Provenance("fitted", "planted"),
)  # fmt: skip
START = Roofline(
    {"conv1x1": 4e11, "conv3x3": 8e11, "conv": 4e11, "depthwise": 5e10, "gemm": 4e11},
    4e10, 5e-5, Provenance("fitted", "held to"),
)  # fmt: skip
NO_PEAK = Peak(1e15, 1e15)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "vgg16"])
def test_a_network_takes_what_its_profile_sums_to(name):
    graph = published_graph(name)
    for spec in all_devices().values():
        for precision, roofline in spec.rooflines.items():
            whole = precision.removeprefix(EAGER_PREFIX)
            found = network_s(work_of(graph), roofline, ELEMENT_BYTES[whole], eager=whole != precision)
            assert found == pytest.approx(sum(estimate(graph, spec, precision).seconds), rel=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_planted_rates_are_found(noise):
    rng = np.random.default_rng(3)
    seconds = [network_s(work, PLANTED, 2, eager=False) * (1 + noise * rng.standard_normal()) for work in WORKS]
    found = fit_rates(WORKS, seconds, START, NO_PEAK, 2)
    for work, published in zip(WORKS, seconds, strict=True):
        assert network_s(work, found, 2, eager=False) == pytest.approx(published, rel=0.02 + 2.5 * noise)
    for kind in ("conv1x1", "conv3x3", "depthwise"):
        assert found.rate(kind) == pytest.approx(PLANTED.rate(kind), rel=0.15 + 4 * noise)
    assert found.overhead_s == pytest.approx(PLANTED.overhead_s, rel=0.1 + 3 * noise)


def test_no_rate_exceeds_the_peak():
    seconds = [network_s(work, PLANTED, 2, eager=False) for work in WORKS]
    found = fit_rates(WORKS, seconds, START, Peak(4.5e11, 2.5e10), 2)
    assert max(found.rate(kind) for kind in ("conv1x1", "conv", "depthwise", "gemm")) <= 4.5e11
    assert found.rate("conv3x3") <= 2.25 * 4.5e11
    assert found.bytes_per_s <= 2.5e10


def test_one_time_moves_what_it_says_and_holds_the_rest():
    vgg = WORKS[NETWORKS.index("vgg16")]
    found = fit_rates([vgg], [network_s(vgg, START, 2, eager=False) / 1.5], START, NO_PEAK, 2)
    assert found.rate("conv3x3") > 1.2 * START.rate("conv3x3")
    assert found.rate("depthwise") == pytest.approx(START.rate("depthwise"), rel=0.2)
    assert found.overhead_s == pytest.approx(START.overhead_s, rel=0.1)


def test_eager_launches_are_found():
    planted = dataclasses.replace(PLANTED, overhead_s=2e-4)
    seconds = [network_s(work, planted, 2, eager=True) for work in WORKS]
    found = fit_rates(WORKS, seconds, dataclasses.replace(START, overhead_s=1e-4), NO_PEAK, 2, eager=True)
    assert found.overhead_s == pytest.approx(2e-4, rel=0.05)


@pytest.mark.parametrize(("compute", "overhead"), [(0.4, 1.3), (3.0, 0.6), (1.0, 1.0)])
def test_planted_scales_are_found(compute, overhead):
    child = scaled(PLANTED, compute, 0.5, overhead)
    ratios = [network_s(work, child, 2, eager=False) / network_s(work, PLANTED, 2, eager=False) for work in WORKS]
    found = fit_scales(WORKS, ratios, PLANTED, (2, 2), memory=0.5, overhead=1.0)
    assert found == pytest.approx((compute, overhead), rel=0.06)


def test_a_smaller_sister_is_faster_at_nothing():
    child = scaled(PLANTED, 1.4, 0.5, 0.7)
    ratios = [network_s(work, child, 2, eager=False) / network_s(work, PLANTED, 2, eager=False) for work in WORKS]
    compute, overhead = fit_scales(WORKS, ratios, PLANTED, (2, 2), memory=0.5, overhead=1.0, smaller=True)
    assert compute <= 1 <= overhead


def test_rates_that_are_given_are_kept():
    compute, overhead = fit_scales(WORKS[:1], [0.5], PLANTED, (2, 1), memory=1.0, overhead=0.8, compute=2.0)
    assert compute == 2.0
    child = scaled(PLANTED, 2.0, 1.0, overhead)
    assert network_s(WORKS[0], child, 1, eager=False) == pytest.approx(
        0.5 * network_s(WORKS[0], PLANTED, 2, eager=False), rel=0.1
    )
