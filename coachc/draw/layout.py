"""Where everything in a drawing of a model's blocks goes, in pixels; what it looks like is left to others.

The chain runs from top to bottom and, where it is long, on at the top of the next column. The branches of a virtual
block stand side by side. The operators of a prime block stand in rows by depth and in columns along chains, so that
every cut passes between the upper and the lower ones of each column.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import mask_of, side_of
from coachc.draw.parts import BRANCH_GAP, GAP, PAD, Link, Part, Point, Rect, Segment, beside, framed, stack

BOX_HEIGHT = 32.0
#: Between columns of the chain.
GUTTER = 72.0
#: A chain no taller stands in one column; a taller one wraps into columns that together are about square.
COLUMN_HEIGHT = 1200.0
#: How far the line of a value that is read further down stays away from the boxes it passes.
CLEARANCE = 12.0
#: From the corner of a box where a line from another column arrives, and the like.
CORNER = 4.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing; all in pixels, from (0, 0) down to `width` and `height`.

    Attributes
    ----------
    width, height : float
        Without the lines around the outside, which stay within `GUTTER` / 2 of it.
    boxes : mapping of int to Rect
        Operators, by index into `GraphView.nodes`.
    blocks : tuple of Rect
        Each block of the chain.
    frames : tuple of (str, Rect)
        Kind and outline of each virtual and prime block, outer ones before those inside.
    links : tuple of Link
        From one link of a chain to the next, and from row to row of a prime block.
    skips : tuple of Link
        Values read further down the same column: start, two control points and end of a curve.
    detours : tuple of Link
        Values read in another column.
    cut : tuple of Point
        The line between device and cloud; empty unless both have something, or the cloud everything.
    """

    width: float
    height: float
    boxes: Mapping[int, Rect]
    blocks: tuple[Rect, ...]
    frames: tuple[tuple[str, Rect], ...]
    links: tuple[Link, ...]
    skips: tuple[Link, ...]
    detours: tuple[Link, ...]
    cut: tuple[Point, ...]


def layout(graph: GraphView, blocks: BlockGraph, *, mask: int, box_width: float) -> Picture:
    """Place every operator, frame and line of a model.

    Parameters
    ----------
    graph : GraphView
    blocks : BlockGraph
        Of `graph`.
    mask : int
        Nodes on the device: an ideal of `graph`.
    box_width : float
        Of every operator, in pixels.
    """
    sheet = _Sheet(graph, mask, box_width)
    columns: list[Part] = []
    lefts: list[float] = []
    outlines: list[Rect] = []
    x = 0.0
    for group in _wrapped([sheet.block(block) for block in blocks.chain]):
        column = stack(group)
        y = 0.0
        for part in group:
            outlines.append(Rect(x + (column.width - part.width) / 2, y, part.width, part.height))
            y += part.height + GAP
        columns.append(column.moved(x, 0.0))
        lefts.append(x)
        x += column.width + GUTTER
    links = [link for column in columns for link in column.links]
    for (above, below), left in zip(itertools.pairwise(columns), lefts[1:], strict=True):
        links += _wrap_links(above, below, left - GUTTER / 2)
    boxes = {node: box for column in columns for node, box in column.boxes.items()}
    place = {node: number for number, column in enumerate(columns) for node in column.boxes}
    linked = {(link.source, link.target) for link in links}
    others = [pair for pair in _edges(graph) if pair not in linked]
    return Picture(
        x - GUTTER,
        max(column.height for column in columns),
        boxes,
        tuple(outlines),
        tuple(frame for column in columns for frame in column.frames),
        tuple(links),
        tuple(_skip(boxes, place, u, v) for u, v in others if place[u] == place[v]),
        tuple(_detour(boxes, lefts[place[v]], u, v) for u, v in others if place[u] != place[v]),
        _cut_line(columns, lefts),
    )


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What every part of one drawing has in common."""

    graph: GraphView
    mask: int
    box_width: float

    def block(self, block: Block) -> Part:
        if block.kind == "virtual":
            branches = [stack([self.block(inner) for inner in branch]) for branch in block.branches]
            return framed("virtual", beside(branches))
        if block.kind == "prime":
            return framed("prime", self.prime(block.nodes))
        (node,) = block.nodes
        side = side_of(node, self.mask)
        box = Rect(0.0, 0.0, self.box_width, BOX_HEIGHT)
        return Part(self.box_width, BOX_HEIGHT, {node: box}, (node,), (node,), side)

    def prime(self, nodes: Sequence[int]) -> Part:
        """Rows by depth, columns along chains."""
        inside, device = mask_of(nodes), set(self.graph.indices_in(self.mask))
        before = {node: self.graph.indices_in(self.graph.predecessors[node] & inside) for node in nodes}
        row: dict[int, int] = {}
        chains: list[list[int]] = []
        for node in nodes:
            row[node] = 1 + max((row[m] for m in before[node]), default=-1)
            home = next((chain for chain in chains if chain[-1] in before[node]), None)
            if home is None:
                chains.append(home := [])
            home.append(node)
        step_x, step_y = self.box_width + BRANCH_GAP, BOX_HEIGHT + GAP
        boxes, cut = {}, []
        for column, chain in enumerate(chains):
            x = column * step_x
            boxes.update({node: Rect(x, row[node] * step_y, self.box_width, BOX_HEIGHT) for node in chain})
            y = max((boxes[node].bottom + PAD / 2 for node in chain if node in device), default=-PAD / 2)
            cut.append((x, x + self.box_width, y))
        width, height = len(chains) * step_x - BRANCH_GAP, (1 + max(row.values())) * step_y - GAP
        links = [
            Link(m, node, ((boxes[m].middle[0], boxes[m].bottom), (boxes[node].middle[0], boxes[node].y)))
            for node in nodes
            for m in before[node]
            if row[node] == row[m] + 1
        ]
        read = {m for found in before.values() for m in found}
        side = "cloud" if device.isdisjoint(nodes) else "device" if device.issuperset(nodes) else "both"
        return Part(
            width,
            height,
            boxes,
            tuple(node for node in nodes if not before[node]),
            tuple(node for node in nodes if node not in read),
            side,
            links=tuple(links),
            cut=tuple(cut) if side == "both" else (),
        )


def _wrapped(parts: Sequence[Part]) -> list[list[Part]]:
    """The chain in columns of about the same height."""
    total = sum(part.height + GAP for part in parts)
    limit = max(COLUMN_HEIGHT, math.sqrt(total * (max(part.width for part in parts) + GUTTER)))
    count = math.ceil(total / limit)
    columns: dict[int, list[Part]] = {}
    y = 0.0
    for part in parts:
        middle = y + (part.height + GAP) / 2
        columns.setdefault(int(middle / total * count), []).append(part)
        y += part.height + GAP
    return list(columns.values())


def _wrap_links(above: Part, below: Part, gutter: float) -> list[Link]:
    """From the foot of one column through the gutter to the head of the next."""
    foot, head = above.height + 2 * PAD, -2 * PAD
    links = []
    for source, target in itertools.product(above.exits, below.entries):
        start, end = above.boxes[source], below.boxes[target]
        (x, _), (to_x, _) = start.middle, end.middle
        corners = ((x, foot), (gutter, foot), (gutter, head), (to_x, head))
        links.append(Link(source, target, ((x, start.bottom), *corners, (to_x, end.y))))
    return links


def _edges(graph: GraphView) -> list[tuple[int, int]]:
    """Every operator with each that it reads from, the latter first."""
    return [
        (source, target)
        for target, before in enumerate(graph.predecessors)
        for source in range(target)
        if before >> source & 1
    ]


def _skip(boxes: Mapping[int, Rect], place: Mapping[int, int], source: int, target: int) -> Link:
    """Round the right of what lies between."""
    start, end = boxes[source], boxes[target]
    (_, y), (_, to_y) = start.middle, end.middle
    right = edge = max(start.right, end.right)
    left = min(start.x, end.x)
    for node in range(source + 1, target):
        box = boxes[node]
        if place[node] == place[source] and start.bottom < box.bottom <= end.y and box.x < edge and box.right > left:
            right = max(right, box.right)
    # Halfway along, a curve has gone three quarters of the way from its ends to its control points.
    control = [x + (right + CLEARANCE - x) / 0.75 for x in (start.right, end.right)]
    return Link(source, target, ((start.right, y), (control[0], y), (control[1], to_y), (end.right, to_y)))


def _detour(boxes: Mapping[int, Rect], left: float, source: int, target: int) -> Link:
    """Through the gutter before the target's column, beside the chain's own line and clear of the blocks' numbers."""
    start, end = boxes[source], boxes[target]
    (_, y), gutter, to_y = start.middle, left - GUTTER / 2 - CORNER, end.bottom - CORNER
    return Link(source, target, ((start.right, y), (gutter, y), (gutter, to_y), (end.x, to_y)))


def _cut_line(columns: Sequence[Part], lefts: Sequence[float]) -> tuple[Point, ...]:
    """One line through the segments of the cut, its ends a little beyond the column it is in."""
    cut: tuple[Segment, ...] = ()
    if columns[0].side == "cloud":
        cut = ((0.0, columns[0].width, -PAD / 2),)
    for number, (left, column) in enumerate(zip(lefts, columns, strict=True)):
        if column.cut:
            cut = column.cut
        elif column.side == "device" and number + 1 < len(columns) and columns[number + 1].side == "cloud":
            cut = ((left, left + column.width, column.height + PAD / 2),)
    points = [point for start, end, y in cut for point in ((start, y), (end, y))]
    for index in range(1, len(points) - 1, 2):
        # Two segments meet halfway between the branches they pass through.
        middle = (points[index][0] + points[index + 1][0]) / 2
        points[index], points[index + 1] = (middle, points[index][1]), (middle, points[index + 1][1])
    if points:
        points[0] = (points[0][0] - CORNER, points[0][1])
        points[-1] = (points[-1][0] + CORNER, points[-1][1])
    return tuple(points)
