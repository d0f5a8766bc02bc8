"""Element-wise work and provenance of a profile."""

from __future__ import annotations

import pytest

from coachc.core.profile import Provenance
from tests.helpers.graphs import profile


def test_elementwise_seconds_by_hand():
    half = profile([], bytes_per_s=1000.0, overhead_s=0.5, element_bytes=2)
    # 100 elements of 2 bytes read, 100 bytes written, 300 bytes at 1000 bytes/s, and the start.
    assert half.elementwise_s(100, 100) == pytest.approx(0.8)


@pytest.mark.parametrize(("kind", "measured"), [("measured", True), ("fitted", False), ("guess", False)])
def test_only_measured_is_measured(kind, measured):
    assert Provenance(kind, "somewhere").is_measured is measured
