"""Where the dots of a front are, and that any file of it is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from coachc.draw.front_svg import Dot, front_svg, ticks

SVG = "{http://www.w3.org/2000/svg}"


def circles(dots):
    root = ET.fromstring(front_svg(dots))
    return [
        (float(circle.get("cx")), float(circle.get("cy")), circle.get("class"), circle.find(f"{SVG}title").text)
        for circle in root.iter(f"{SVG}circle")
    ]


def test_dots_are_to_scale_and_the_plan_stands_out():
    found = circles([Dot(10.0, 40.0, "a & <b>", True), Dot(20.0, 20.0, "device only"), Dot(40.0, 10.0, "x" * 80)])
    assert [kind for _, _, kind, _ in found] == ["plan", "way", "way"]
    (x1, y1, _, title), (x2, y2, _, _), (x3, y3, _, _) = found
    assert title == "a & <b>: 10.00 ms, 40.00 ms"
    # Both axes begin at 0: the third dot is twice as far to the right as the second, and half as high.
    assert (x3 - x2) == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert (y3 - y1) == pytest.approx(1.5 * (y2 - y1), abs=0.2)
    assert 0 < x1 < x3 < 640
    assert 0 < y1 < y3 < 420


def test_any_front_is_a_picture():
    rng = np.random.default_rng(0)
    for count in (1, 2, 30):
        dots = [Dot(*rng.uniform(1e-4, 1e4, 2).tolist(), f"cut {place}") for place in range(count)]
        assert len(circles(dots)) == count


@pytest.mark.parametrize(
    ("most", "expected"),
    [(10.0, [0, 2, 4, 6, 8, 10]), (0.7, [0, 0.2, 0.4, 0.6]), (6.0, [0, 1, 2, 3, 4, 5, 6]), (330.0, [0, 100, 200, 300])],
)
def test_ticks_are_round(most, expected):
    assert ticks(most) == pytest.approx(expected)
