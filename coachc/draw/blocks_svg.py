"""A model's blocks as a picture: the text of an SVG file, for any browser.

Solid lines lead from one link of a chain to the next, thin curves from a value to operators further down that read it
too. Text is set in a monospaced font, whose width is known without asking for it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import side_of
from coachc.draw.layout import BOX_HEIGHT, GUTTER, Picture, layout
from coachc.draw.parts import Point, Rect

#: Pixels a character of 10 pixels' height: 0.6 em in Courier, DejaVu Sans Mono, Menlo and Liberation Mono.
CHARACTER_WIDTH = 6.1
#: Longer names are cut in front, longer kinds behind; the full name is the box's tooltip.
MOST_CHARACTERS = 30
LEGEND_HEIGHT = 30.0
#: Around the picture: room for the numbers of blocks, for curves, and for the ends of the cut.
MARGIN = GUTTER / 2

_STYLE = """
 text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', 'Courier New', monospace;
        font-size: 10px; fill: #1f2328 }
 .kind, .number { fill: #656d76 }
 .number { text-anchor: end }
 .operator rect { fill: #ffffff; stroke: #656d76 }
 .device rect, rect.device { fill: #fff1c9; stroke: #b88a00 }
 .cloud rect, rect.cloud { fill: #d6e9ff; stroke: #2f6fb3 }
 .virtual { fill: #8c959f; fill-opacity: 0.07; stroke: #656d76 }
 .prime { fill: none; stroke: #8250df; stroke-dasharray: 6 4 }
 .link { fill: none; stroke: #656d76 }
 .skip { fill: none; stroke: #afb8c1 }
 .cut { fill: none; stroke: #cf222e; stroke-width: 4; stroke-linejoin: round }
"""
# XML 1.0 has no way to write these, escaped or not.
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def blocks_svg(graph: GraphView, blocks: BlockGraph, mask: int | None = None) -> str:
    """Draw the blocks of a model.

    Parameters
    ----------
    graph : GraphView
    blocks : BlockGraph
        Of `graph`.
    mask : int, optional
        Nodes on the device, an ideal of `graph`: colours the two sides and draws the cut between them.

    Returns
    -------
    str
        An SVG document; its size in pixels grows with the number of operators, that of the text stays.
    """
    longest = max(len(text) for node in graph.nodes for text in (node.name, node.kind))
    characters = min(max(longest, 6), MOST_CHARACTERS)
    picture = layout(
        graph, blocks, mask=graph.full_mask if mask is None else mask, box_width=characters * CHARACTER_WIDTH + 10
    )
    legend, legend_width = _legend(picture, two_sides=mask is not None)
    width = max(picture.width + 2 * MARGIN, legend_width)
    height = picture.height + 2 * MARGIN + LEGEND_HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *legend,
        f'<g transform="translate({MARGIN:g} {MARGIN + LEGEND_HEIGHT:g})">',
        *_lines(picture),
        *(_operator(graph, node, picture.boxes[node], characters, mask) for node in range(len(graph.nodes))),
        *(
            f'<text class="number" x="{_n(rect.x - 9)}" y="{_n(rect.y + 13)}">{number}</text>'
            for number, rect in enumerate(picture.blocks, 1)
        ),
    ]
    if picture.cut:
        lines.append(f'<path class="cut" d="{_polyline(picture.cut)}"/>')
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _legend(picture: Picture, *, two_sides: bool) -> tuple[list[str], float]:
    """What the colours and lines of this picture mean, in one row, and how wide that is."""
    kinds = {kind for kind, _ in picture.frames}
    entries = [("device", "device"), ("cloud", "cloud")] if two_sides else []
    entries += [(kind, f"{kind} block") for kind in ("virtual", "prime") if kind in kinds]
    entries += [("cut", "cut")] if picture.cut else []
    entries += [("skip", "value read further down")] if picture.skips or picture.detours else []
    lines, x = [], MARGIN
    for style, text in entries:
        if style in ("cut", "skip"):
            lines.append(f'<path class="{style}" d="M {_n(x)} 19 h 22"/>')
        else:
            lines.append(f'<rect class="{style}" x="{_n(x)}" y="12" width="22" height="14" rx="3"/>')
        lines.append(f'<text x="{_n(x + 28)}" y="22">{text}</text>')
        x += 28 + (len(text) + 3) * CHARACTER_WIDTH
    return lines, x


def _lines(picture: Picture) -> Iterable[str]:
    """Frames and lines, which lie beneath the boxes."""
    for kind, rect in picture.frames:
        yield f'<rect class="{kind}" {_placed(rect)} rx="8"/>'
    for skip in picture.skips:
        start, *rest = (f"{_n(x)} {_n(y)}" for x, y in skip.points)
        yield f'<path class="skip" d="M {start} C {", ".join(rest)}"/>'
    for detour in picture.detours:
        yield f'<path class="skip" d="{_polyline(detour.points)}"/>'
    for link in picture.links:
        yield f'<path class="link" d="{_polyline(link.points)}"/>'


def _operator(graph: GraphView, node: int, box: Rect, characters: int, mask: int | None) -> str:
    name, kind = graph.nodes[node].name, graph.nodes[node].kind
    side = "" if mask is None else f" {side_of(node, mask)}"
    short_name = name if len(name) <= characters else "…" + name[len(name) - characters + 1 :]
    short_kind = kind if len(kind) <= characters else kind[: characters - 1] + "…"
    return (
        f'<g class="operator{side}"><title>{_text(name)}</title><rect {_placed(box)} rx="3"/>'
        f'<text x="{_n(box.x + 5)}" y="{_n(box.y + 13)}">{_text(short_name)}</text>'
        f'<text class="kind" x="{_n(box.x + 5)}" y="{_n(box.y + BOX_HEIGHT - 7)}">{_text(short_kind)}</text></g>'
    )


def _placed(rect: Rect) -> str:
    return f'x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}"'


def _polyline(points: Iterable[Point]) -> str:
    """Straight where a line is vertical or horizontal, an S from top to bottom where it is neither."""
    (x, y), *rest = points
    steps = [f"M {_n(x)} {_n(y)}"]
    for to_x, to_y in rest:
        if x == to_x or y == to_y:
            steps.append(f"L {_n(to_x)} {_n(to_y)}")
        else:
            half = (y + to_y) / 2
            steps.append(f"C {_n(x)} {_n(half)}, {_n(to_x)} {_n(half)}, {_n(to_x)} {_n(to_y)}")
        x, y = to_x, to_y
    return " ".join(steps)


def _n(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(value, 1):g}"


def _text(text: str) -> str:
    return html.escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))
