"""`coachc inspect`: operators, blocks, cut and bytes as a table, a tree or a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.pass_flags import PassFlags
from coachc.cli.options import Json
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import KINDS
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.cli.inspect_model import Inspected
    from coachc.cli.screen import Screen


@takes_groups
def inspect(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle folder, or an ONNX file.")],
    device: Annotated[str, typer.Option(help="Target whose time per operator is shown.")] = "tx2",
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Show the chain of blocks as a tree instead of the table.")
    ] = False,
    draw: Annotated[
        str | None,
        typer.Option(metavar="FILE.svg", help="Also draw the blocks; of a bundle, both sides and the cut."),
    ] = None,
    *,
    shapes: ModelFlags,
    passes: PassFlags,
    json: Json = False,
) -> None:
    """Show the fused operators of a model with their virtual blocks, bytes and time; of a bundle, the cuts too."""
    import json as json_module
    import os

    from coachc.cli.files import check_place, refuse_packed, write_file
    from coachc.cli.inspect_model import inspected, inspected_json
    from coachc.cli.screen import Screen
    from coachc.draw.blocks_svg import blocks_svg

    if draw is not None and not draw.lower().endswith(".svg"):
        raise UsageError(f"--draw '{draw}' is not the name of an .svg file", hint="for example --draw blocks.svg")
    if os.path.isdir(path):
        shapes.refuse_for_bundle(path)
    if draw is not None:
        check_place(draw, "--draw")
    refuse_packed(path)
    observers = passes.observers(lowering=False)
    found = inspected(path, device=device, batch=shapes.size, input_shapes=shapes.input_shapes, observers=observers)
    result = {**inspected_json(found), "drawing": draw}
    if draw is not None:
        write_file(draw, blocks_svg(found.graph, found.blocks, found.mask).encode())
    if json:
        print(json_module.dumps(result, indent=1))
        return
    print_inspected(Screen(), result, found, blocks=blocks)
    if draw is not None:
        print(f"drawn in {draw}")


def print_inspected(screen: Screen, result: dict[str, Any], found: Inspected, *, blocks: bool) -> None:
    """The operators as a table, or the blocks as a tree; what they come to; the cuts of a bundle."""
    from coachc.cli.block_tree import rendered_tree

    if blocks:
        screen.tree(rendered_tree(found.name, found.graph, found.blocks.chain, found.profile.seconds, screen.width))
    else:
        screen.table(_COLUMNS, _rows(result["nodes"]))
    ways = f"{result['partitions']} ways to cut it" if result["partitions"] else "more ways to cut it than are listed"
    screen.line(
        f"{result['model']}: opset {result['opset']}, {result['operators']} operators in {result['blocks']} blocks "
        f"({result['virtual_blocks']} of them with parallel branches), {ways}, {result['device_s'] * 1e3:.2f} ms on "
        f"{result['device']} ({KINDS[found.profile.provenance.kind]})"
    )
    for cut in result["cuts"]:
        screen.line(_cut_line(cut, result), 4)


def _cut_line(cut: dict[str, Any], result: dict[str, Any]) -> str:
    """One cut of a bundle: what is on the device, what crosses, and the models of each side."""
    crossing = ", ".join(f"{value['value']} at {value['bits']} bits" for value in cut["values"]) or "nothing crosses"
    mark = ">" if cut["name"] == result["cut"] else " "
    return (
        f"{mark} cut {cut['name']}: {cut['device_operators']} of {result['operators']} operators on the device, "
        f"{crossing}; device: {' + '.join(cut['on_device']) or '-'}, cloud: {' + '.join(cut['on_cloud']) or '-'}"
        + (f"; up to {cut['max_batch']} tasks in one run" if cut["max_batch"] > 1 else "")
    )


_COLUMNS = (
    Column("operator", "name"),
    Column("kind", "text"),
    Column("block", "text"),
    Column("side", "text"),
    Column("value", "name"),
    *map(Column, ("sent at bits", "shape", "bytes", "MFLOP", "ms")),
)


def _rows(nodes: list[dict[str, Any]]) -> list[Row]:
    """One operator a row; those whose values cross are bold."""
    return [
        Row(
            (
                node["operator"],
                node["kind"],
                node["block"],
                node["side"] or "",
                "\n".join(output["value"] for output in node["outputs"]),
                "\n".join(str(output["crosses_at_bits"] or "") for output in node["outputs"]),
                "\n".join("x".join(str(length) for length in output["shape"]) for output in node["outputs"]),
                "\n".join(f"{output['bytes']:,}" for output in node["outputs"]),
                f"{node['flops'] / 1e6:.2f}",
                f"{node['device_s'] * 1e3:.3f}",
            ),
            bold=any(output["crosses_at_bits"] for output in node["outputs"]),
        )
        for node in nodes
    ]
