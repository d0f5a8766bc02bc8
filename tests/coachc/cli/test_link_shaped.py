"""`runtime.link_probe`, which `coachc link` runs, on links whose rate and delay are known."""

from __future__ import annotations

import json

import pytest

from tests.helpers.shaped_link import SERVER, ShapedLink, delayed, missing, shaped

MBIT = 1e6 / 8


@pytest.fixture(autouse=True)
def _needs_namespaces():
    if missing():
        pytest.skip(f"needs {missing()}")


def measure(link: ShapedLink, seconds: float):
    return json.loads(link.python("-m", "runtime.link_probe", SERVER, "--json", "--seconds", str(seconds)))


def test_the_rate_of_a_shaped_link():
    with shaped() as link:
        for mbit in (2, 20, 100):
            link.rate(mbit)
            found = measure(link, 2.5)
            assert found["bandwidth_bytes_per_s"] == pytest.approx(mbit * MBIT, rel=0.03)
            assert not found["at_least"]
            assert found["loss"] is None or found["loss"] < 0.05


def test_rate_and_round_trip_of_a_link_with_a_delay():
    """Of the round trip the link's part is what a bare socket takes there, the server's what it takes without delay."""
    with delayed() as link:
        link.relay({"rate_mbps": 20}, {})
        own_s = measure(link, 1.0)["rtt_s"]
        for delay_ms in (5, 40):
            link.relay({"rate_mbps": 20, "delay_ms": delay_ms}, {"delay_ms": delay_ms})
            found = measure(link, 3.0)
            assert found["bandwidth_bytes_per_s"] == pytest.approx(20 * MBIT, rel=0.1)
            bare_s = float(link.python("-m", "tests.helpers.ping_pong", SERVER.partition(":")[0]))
            assert 2e-3 * delay_ms <= found["rtt_s"] < 1.1 * (bare_s + own_s)
