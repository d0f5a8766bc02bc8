"""Period against latency of the ways that no other beats, as a picture: the text of an SVG file, for any browser."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 24, 48
#: About so many numbers on an axis.
TICKS = 6
MOST_CHARACTERS = 34

_STYLE = """
 text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', 'Courier New', monospace;
        font-size: 10px; fill: #1f2328 }
 .axis { stroke: #656d76; fill: none }
 .grid { stroke: #eaeef2 }
 .front { stroke: #2f6fb3; fill: none; stroke-dasharray: 4 3 }
 .way { fill: #d6e9ff; stroke: #2f6fb3 }
 .plan { fill: #cf222e; stroke: #cf222e }
 .number { fill: #656d76 }
"""


@dataclass(frozen=True, slots=True)
class Dot:
    """One way: milliseconds, what it is called, and whether it is the plan."""

    period_ms: float
    latency_ms: float
    name: str
    plan: bool = False


def front_svg(dots: Sequence[Dot]) -> str:
    """Draw a front; both axes begin at 0, so that distances can be compared.

    Parameters
    ----------
    dots : sequence of Dot
        At least one.
    """
    wide, high = (1.1 * max(getattr(dot, axis) for dot in dots) or 1.0 for axis in ("period_ms", "latency_ms"))

    def place(dot: Dot) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * dot.period_ms / wide
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * dot.latency_ms / high

    ordered = sorted(dots, key=lambda dot: dot.period_ms)
    path = " ".join(f"{'L' if place_ else 'M'} {x:.1f} {y:.1f}" for place_, (x, y) in enumerate(map(place, ordered)))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for tick in ticks(wide):
        x, _ = place(Dot(tick, 0.0, ""))
        lines.append(f'<path class="grid" d="M {x:.1f} {TOP} V {HEIGHT - BOTTOM}"/>')
        lines.append(
            f'<text class="number" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in ticks(high):
        _, y = place(Dot(0.0, tick, ""))
        lines.append(f'<path class="grid" d="M {LEFT} {y:.1f} H {WIDTH - RIGHT}"/>')
        lines.append(f'<text class="number" x="{LEFT - 8}" y="{y + 3:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines += [
        f'<path class="axis" d="M {LEFT} {TOP} V {HEIGHT - BOTTOM} H {WIDTH - RIGHT}"/>',
        f'<text x="{middle:g}" y="{HEIGHT - 12}" text-anchor="middle">period, ms</text>',
        f'<text x="12" y="{TOP - 8}">latency, ms</text>',
        f'<path class="front" d="{path}"/>',
    ]
    for dot in ordered:
        x, y = place(dot)
        name = html.escape(dot.name)
        lines.append(f'<circle class="{"plan" if dot.plan else "way"}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">')
        lines.append(f"<title>{name}: {dot.period_ms:.2f} ms, {dot.latency_ms:.2f} ms</title></circle>")
        right = x < middle
        shown = dot.name if len(dot.name) <= MOST_CHARACTERS else "..." + dot.name[3 - MOST_CHARACTERS :]
        anchor = f'x="{x + 9 if right else x - 9:.1f}" text-anchor="{"start" if right else "end"}"'
        lines.append(f'<text {anchor} y="{y - 6:.1f}">{html.escape(shown)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most`, at steps of 1, 2 or 5 times a power of ten."""
    rough = most / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    return [round(step * place, 12) for place in range(int(most / step + 1e-9) + 1)]
