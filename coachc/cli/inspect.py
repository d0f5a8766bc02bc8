"""`coachc inspect`: operators, blocks, cut and bytes as a table, a tree or a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.pass_flags import PassFlags
from coachc.cli.options import Json
from coachc.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table


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

    from rich.console import Console

    from coachc.cli.block_tree import rendered_tree
    from coachc.cli.files import write_file
    from coachc.cli.inspect_model import inspected, inspected_json
    from coachc.draw.blocks_svg import blocks_svg

    if draw is not None and not draw.lower().endswith(".svg"):
        raise UsageError(f"--draw '{draw}' is not the name of an .svg file", hint="for example --draw blocks.svg")
    if os.path.isdir(path):
        shapes.refuse_for_bundle(path)
    observers = passes.observers(lowering=False)
    found = inspected(path, device=device, batch=shapes.batch, input_shapes=shapes.input_shapes, observers=observers)
    result = {**inspected_json(found), "drawing": draw}
    if draw is not None:
        write_file(draw, blocks_svg(found.graph, found.blocks, found.mask).encode())
    if json:
        print(json_module.dumps(result, indent=1))
        return
    # Names of operators may look like rich's markup.
    console = Console(width=None if Console().is_terminal else 160, highlight=False, markup=False, emoji=False)
    if blocks:
        chain, seconds = found.blocks.chain, found.profile.seconds
        console.print(rendered_tree(found.name, found.graph, chain, seconds, console.width))
    else:
        console.print(_table(result["nodes"]))
    partitions = f"{result['partitions']} partitions" if result["partitions"] else "more partitions than are enumerated"
    console.print(
        f"{result['model']}: opset {result['opset']}, {result['operators']} operators in {result['blocks']} blocks "
        f"({result['virtual_blocks']} virtual), {partitions}, {result['device_s'] * 1e3:.2f} ms on {result['device']} "
        f"({found.profile.provenance.kind})"
    )
    for cut in result["cuts"]:
        console.print(_cut_line(cut, result), soft_wrap=True)
    if draw is not None:
        console.print(f"drawn in {draw}", soft_wrap=True)


def _cut_line(cut: dict[str, Any], result: dict[str, Any]) -> str:
    """One cut of a bundle: what is on the device, what crosses, and the models of each side."""
    crossing = ", ".join(f"{value['value']} at {value['bits']} bits" for value in cut["values"]) or "nothing crosses"
    mark = ">" if cut["name"] == result["cut"] else " "
    return (
        f"{mark} cut {cut['name']}: {cut['device_operators']} of {result['operators']} operators on the device, "
        f"{crossing}; device: {' + '.join(cut['on_device']) or '-'}, cloud: {' + '.join(cut['on_cloud']) or '-'}"
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    """One operator a row; those whose values cross are bold."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("operator", "kind", "block", "side", "value", "shape", "bytes", "MFLOP", "ms"):
        table.add_column(title, justify="right" if title in ("bytes", "MFLOP", "ms") else "left", overflow="fold")
    for row in rows:
        outputs = row["outputs"]
        crossing = [o["crosses_at_bits"] for o in outputs if o["crosses_at_bits"]]
        table.add_row(
            row["operator"],
            row["kind"],
            row["block"],
            row["side"] or "",
            "\n".join(
                f"{o['value']}" + (f"  > {o['crosses_at_bits']} bit" if o["crosses_at_bits"] else "") for o in outputs
            ),
            "\n".join("x".join(str(d) for d in o["shape"]) for o in outputs),
            "\n".join(f"{o['bytes']:,}" for o in outputs),
            f"{row['flops'] / 1e6:.2f}",
            f"{row['device_s'] * 1e3:.3f}",
            style="bold" if crossing else "",
        )
    return table
