"""The chain of blocks as nested values for a script, and as a tree for a person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from coachc.core.blocks import Block
from coachc.core.graph import GraphView

if TYPE_CHECKING:
    from rich.tree import Tree

#: Columns that each level of a tree is indented by.
_INDENT = 4
#: Columns of a line's aligned figures.
_FIGURES = len(f"{0:>14,} bytes{0:>10.3f} ms")


class Line(NamedTuple):
    """One line of the tree.

    Attributes
    ----------
    place : str
        Number of the block in the chain ("3", or "3-9" for a run), letters for the branches inside ("3a", "3ab").
    text : str
    nodes : tuple of int
        Indices into `GraphView.nodes`.
    children : tuple of Line
        Branches of a virtual block, or the blocks of a branch.
    """

    place: str
    text: str
    nodes: tuple[int, ...]
    children: tuple[Line, ...] = ()


def places(chain: Sequence[Block]) -> dict[int, str]:
    """For every node its place as in `Line`, with "*" behind it in a prime block."""
    found: dict[int, str] = {}

    def visit(block: Block, place: str) -> None:
        found.update(dict.fromkeys(block.nodes, place + ("*" if block.kind == "prime" else "")))
        for number, branch in enumerate(block.branches):
            for inner in branch:
                visit(inner, place + _letter(number))

    for number, block in enumerate(chain, 1):
        visit(block, str(number))
    return found


def tree_values(graph: GraphView, chain: Sequence[Block], seconds: Sequence[float]) -> list[dict[str, Any]]:
    """The blocks of a chain as a JSON array.

    Parameters
    ----------
    graph : GraphView
    chain : sequence of Block
    seconds : sequence of float
        Of each node of `graph` on the device.

    Returns
    -------
    list of dict
        `kind`, `nodes` (indices into `GraphView.nodes`), `bytes` that leave the block, `device_s`, and `branches`, each
        again such an array.
    """
    return [
        {
            "kind": block.kind,
            "nodes": list(block.nodes),
            "bytes": leaving_bytes(graph, block.nodes),
            "device_s": sum(seconds[node] for node in block.nodes),
            "branches": [tree_values(graph, branch, seconds) for branch in block.branches],
        }
        for block in chain
    ]


def leaving_bytes(graph: GraphView, nodes: Sequence[int]) -> int:
    """Bytes of the values that `nodes` make and that others read or that are outputs of the model."""
    inside = set(nodes)
    return sum(
        graph.values[name].size_bytes
        for node in nodes
        for name in graph.nodes[node].outputs
        if name in graph.outputs or not inside.issuperset(graph.consumers[name])
    )


def tree_lines(graph: GraphView, chain: Sequence[Block], place: str = "") -> tuple[Line, ...]:
    """The lines of a chain, operators in a row in one line; `place` is that of the branch, none for the whole model."""
    lines: list[Line] = []
    for plain, run in itertools.groupby(enumerate(chain, 1), key=lambda numbered: numbered[1].kind == "node"):
        numbered = list(run)
        if plain and len(numbered) > 1:
            ends = f"{numbered[0][0]}-{numbered[-1][0]}"
            lines.append(_row(graph, place or ends, [block.nodes[0] for _, block in numbered]))
            continue
        lines += [_line(graph, block, place or str(number)) for number, block in numbered]
    return tuple(lines)


def rendered_tree(title: str, graph: GraphView, chain: Sequence[Block], seconds: Sequence[float], width: int) -> Tree:
    """The tree for a console of `width` columns: bytes leaving each line's operators and their time, right-aligned."""
    from rich.tree import Tree

    lines = tree_lines(graph, chain)
    # Where lines do not fit beside their figures, alignment would only leave holes.
    aligned = _longest(lines, _INDENT) + _FIGURES <= width

    def add(parent: Tree, lines: tuple[Line, ...], room: int) -> None:
        places_width = max(len(line.place) for line in lines)
        for line in lines:
            text = f"{line.place:<{places_width}}  {line.text}"
            size_bytes, device_ms = leaving_bytes(graph, line.nodes), sum(seconds[node] for node in line.nodes) * 1e3
            if aligned:
                child = parent.add(f"{text:<{room}}{size_bytes:>14,} bytes{device_ms:>10.3f} ms")
            else:
                child = parent.add(f"{text}  {size_bytes:,} bytes  {device_ms:.3f} ms")
            if line.children:
                add(child, line.children, room - _INDENT)

    root = Tree(title)
    add(root, lines, _longest(lines, 0))
    return root


def _line(graph: GraphView, block: Block, place: str) -> Line:
    count = len(block.nodes)
    if block.kind == "node":
        node = graph.nodes[block.nodes[0]]
        return Line(place, f"{node.name}  {node.kind}", block.nodes)
    if block.kind == "prime":
        return Line(f"{place}*", f"{count} interwoven operators: {_ends(graph, block.nodes)}", block.nodes)
    branches = tuple(_branch(graph, branch, place + _letter(n)) for n, branch in enumerate(block.branches))
    return Line(place, f"{count} operators in {len(branches)} parallel branches", block.nodes, branches)


def _branch(graph: GraphView, chain: Sequence[Block], place: str) -> Line:
    lines = tree_lines(graph, chain, place)
    if len(lines) == 1:
        return lines[0]
    nodes = tuple(sorted(node for line in lines for node in line.nodes))
    return Line(place, f"branch, {len(nodes)} operators", nodes, lines)


def _row(graph: GraphView, place: str, nodes: Sequence[int]) -> Line:
    return Line(place, f"{len(nodes)} operators in a row: {_ends(graph, nodes)}", tuple(nodes))


def _ends(graph: GraphView, nodes: Sequence[int]) -> str:
    return f"{graph.nodes[nodes[0]].name} .. {graph.nodes[nodes[-1]].name}"


def _letter(number: int) -> str:
    """Of a branch, from a to z, then (27), (28), ..."""
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"


def _longest(lines: Sequence[Line], indent: int) -> int:
    """Columns of the longest line, its indentation and place included."""
    places_width = max(len(line.place) for line in lines)
    return max(
        max(
            indent + places_width + 2 + len(line.text),
            _longest(line.children, indent + _INDENT) if line.children else 0,
        )
        for line in lines
    )
