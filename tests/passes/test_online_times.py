"""The runtime's stage times are the compiler's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coachc.core.plan import BitPlan, Quantizer
from coachc.cost import link
from coachc.cost.link import Link
from coachc.passes.timeline import from_stages, stage_times
from coachc.runtime.bundle.manifest_types import Layout
from coachc.runtime.online import precision
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung, link_s, period_s
from tests.helpers.graphs import CHAIN, costs_of, graph_of
from tests.helpers.wire import entry_bytes


def test_the_constants_are_the_same():
    assert precision.GOODPUT == link.GOODPUT
    assert precision.REQUEST_HEADER_BYTES == link.REQUEST_HEADER_BYTES


def test_link_times_are_the_same_to_the_last_bit():
    rng = np.random.default_rng(1)
    for _ in range(2000):
        tensors, size = int(rng.integers(0, 9)), int(rng.integers(0, 10**7))
        bandwidth = float(10 ** rng.uniform(2, 10))
        expected = Link(bandwidth).transfer_s(size + 90 * tensors)
        assert link_s(Rung((4,) * tensors, size), bandwidth) == expected
        coding_s = float(rng.uniform(0, 0.1))
        assert link_s(Rung((4,) * tensors, size, coding_s), bandwidth) == expected + coding_s
        counted = Link(bandwidth, request_bytes=200).transfer_s(size + 77)
        assert link_s(Rung((4,) * tensors, size, 0.0, 277), bandwidth) == counted


def test_periods_are_the_same_to_the_last_bit():
    rng = np.random.default_rng(2)
    for _ in range(2000):
        device_s, link_time_s, cloud_s = (float(10 ** rng.uniform(-4, 1)) for _ in range(3))
        workers, devices = (int(count) for count in rng.integers(1, 9, 2))
        costs = replace(costs_of([1.0], [1.0], workers=workers), devices=devices)
        expected = from_stages(device_s, link_time_s, cloud_s, 0, costs).period_s
        assert period_s(device_s, link_time_s, cloud_s, costs.server_share) == expected
        policy = Policy("none", "cut", None, None, (), 0, (), device_s, cloud_s, costs.server_share)
        assert max(policy.rest_s, link_time_s) == expected


@pytest.mark.parametrize("coding", ["", "none", "huffman"])
def test_a_split_has_the_same_times(coding):
    """Cuts of two values; without measured bytes, with them, and with the time of coding in the link's."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        elements = {name: int(rng.integers(1, 200_000)) for name in ("v0", "v1")}
        graph = graph_of(["x", "x", "v0 v1", "v2"], elements=elements)
        bits = tuple(int(b) for b in rng.integers(2, 9, 2))
        quantizers = tuple(Quantizer(f"v{i}", "packed", b) for i, b in enumerate(bits))
        packed = sum(-(-count * b // 8) for count, b in zip(elements.values(), bits, strict=True))
        costs = costs_of(
            rng.uniform(0, 0.1, 4).tolist(), rng.uniform(0, 0.1, 4).tolist(),
            bandwidth=float(10 ** rng.uniform(4, 8)), workers=int(rng.integers(1, 5)),
        )  # fmt: skip
        measured, size, coding_s = None, float(packed), 0.0
        if coding:
            size = packed * float(rng.uniform(0.3, 1))
            measured = BitPlan(quantizers, layouts=(Layout("bytes", (), coding),) * 2, coded_bytes=size)
            coding_s = packed * link.CODING_S_PER_BYTE if coding != "none" else 0.0
        expected = stage_times(graph, 0b0011, quantizers, costs, measured)
        headers = 330 + sum(entry_bytes(graph.values[q.name], q.bits) for q in quantizers)
        found = link_s(Rung(bits, size, coding_s, headers), costs.link.bandwidth_bytes_per_s)
        assert found == pytest.approx(expected.link_s, rel=1e-14)
        period = period_s(expected.device_s, found, expected.cloud_s, costs.server_share)
        assert period == pytest.approx(expected.period_s, rel=1e-14)


def test_a_chain_by_hand():
    """v1 has 1,000 values at 4 bits: 500 bytes, 330 of headers, and 91 of its own."""
    graph = graph_of(CHAIN, elements={"v1": 1000})
    costs = costs_of([1, 1, 1, 1], [1, 1, 1, 1], bandwidth=1e5)
    expected = stage_times(graph, 0b0011, [Quantizer("v1", "packed", 4)], costs)
    assert link_s(Rung((4,), 500.0, 0.0, 421), 1e5) == expected.link_s == pytest.approx(921 / 95500)
