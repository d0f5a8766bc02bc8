"""Pieces of a drawing and how two of them make a larger one: one below the other, side by side, or framed.

Knows pixels and which side a piece is on, but neither graphs nor SVG. A piece's upper left corner is (0, 0); y grows
downwards.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Pixels: between the links of a chain, between branches, and between a frame and what it holds.
GAP = 18.0
BRANCH_GAP = 20.0
PAD = 12.0

Point = tuple[float, float]
#: A horizontal piece of the cut: from x to x at y.
Segment = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Rect:
        return Rect(self.x + dx, self.y + dy, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Link:
    """The line from one operator to one that reads from it.

    Attributes
    ----------
    source, target : int
        Indices into `GraphView.nodes`.
    points : tuple of Point
    """

    source: int
    target: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a drawing.

    Attributes
    ----------
    width, height : float
    boxes : mapping of int to Rect
        Operators, by index into `GraphView.nodes`.
    entries, exits : tuple of int
        Operators that read from what stands above, and that are read by what stands below.
    side : str
        "device", "cloud", or "both".
    frames : tuple of (str, Rect)
        Kind of the block and its outline.
    links : tuple of Link
    cut : tuple of Segment
        From left to right, across the whole width, below every operator of the device and above all of the cloud;
        empty unless the part is on both sides.
    """

    width: float
    height: float
    boxes: Mapping[int, Rect]
    entries: tuple[int, ...]
    exits: tuple[int, ...]
    side: str
    frames: tuple[tuple[str, Rect], ...] = ()
    links: tuple[Link, ...] = ()
    cut: tuple[Segment, ...] = ()

    def moved(self, dx: float, dy: float) -> Part:
        return dataclasses.replace(
            self,
            boxes={node: box.moved(dx, dy) for node, box in self.boxes.items()},
            frames=tuple((kind, rect.moved(dx, dy)) for kind, rect in self.frames),
            links=tuple(Link(k.source, k.target, tuple((x + dx, y + dy) for x, y in k.points)) for k in self.links),
            cut=tuple((start + dx, end + dx, y + dy) for start, end, y in self.cut),
        )


def stack(parts: Sequence[Part]) -> Part:
    """One below the other, centred, each linked with the next."""
    width = max(part.width for part in parts)
    placed, tops, y = [], [], 0.0
    for part in parts:
        placed.append(part.moved((width - part.width) / 2, y))
        tops.append(y)
        y += part.height + GAP
    links = [link for part in placed for link in part.links]
    cut: tuple[Segment, ...] = next((stretch(part.cut, 0.0, width) for part in placed if part.cut), ())
    for (above, top), (below, next_top) in itertools.pairwise(zip(placed, tops, strict=True)):
        bottom = top + above.height
        links += [_link(above.boxes, below.boxes, u, v, bottom, next_top) for u in above.exits for v in below.entries]
        if (above.side, below.side) == ("device", "cloud"):
            cut = ((0.0, width, (bottom + next_top) / 2),)
    return Part(
        width,
        y - GAP,
        {node: box for part in placed for node, box in part.boxes.items()},
        parts[0].entries,
        parts[-1].exits,
        side_of(parts),
        tuple(frame for part in placed for frame in part.frames),
        tuple(links),
        cut,
    )


def beside(parts: Sequence[Part]) -> Part:
    """Next to each other, their tops in one line. A cut passes through all of them, or by above or below."""
    placed, x = [], 0.0
    side = side_of(parts)
    cut: list[Segment] = []
    for part in parts:
        placed.append(part.moved(x, 0.0))
        if side == "both":
            passing = -PAD / 2 if part.side == "cloud" else part.height + PAD / 2
            cut += placed[-1].cut or ((x, x + part.width, passing),)
        x += part.width + BRANCH_GAP
    return Part(
        x - BRANCH_GAP,
        max(part.height for part in parts),
        {node: box for part in placed for node, box in part.boxes.items()},
        tuple(node for part in parts for node in part.entries),
        tuple(node for part in parts for node in part.exits),
        side,
        tuple(frame for part in placed for frame in part.frames),
        tuple(link for part in placed for link in part.links),
        tuple(cut),
    )


def framed(kind: str, part: Part) -> Part:
    """With an outline around it."""
    width, height = part.width + 2 * PAD, part.height + 2 * PAD
    inner = part.moved(PAD, PAD)
    return dataclasses.replace(
        inner,
        width=width,
        height=height,
        frames=((kind, Rect(0.0, 0.0, width, height)), *inner.frames),
        cut=stretch(inner.cut, 0.0, width),
    )


def stretch(cut: Sequence[Segment], left: float, right: float) -> tuple[Segment, ...]:
    """A cut with its ends moved to `left` and `right`."""
    if not cut:
        return ()
    moved = [*cut]
    moved[0] = (left, *moved[0][1:])
    moved[-1] = (moved[-1][0], right, moved[-1][2])
    return tuple(moved)


def side_of(parts: Sequence[Part]) -> str:
    """The side all parts are on, or "both"."""
    sides = {part.side for part in parts}
    return sides.pop() if len(sides) == 1 else "both"


def _link(
    above: Mapping[int, Rect], below: Mapping[int, Rect], source: int, target: int, bottom: float, top: float
) -> Link:
    """Straight down to the end of the part above, across the gap, straight down to the operator."""
    start, end = above[source], below[target]
    (x, _), (to_x, _) = start.middle, end.middle
    return Link(source, target, ((x, start.bottom), (x, bottom), (to_x, top), (to_x, end.y)))
