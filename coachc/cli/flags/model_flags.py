"""Flags of every command that reads an ONNX model: what it leaves open of its inputs' shapes."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFlags(FlagGroup):
    """`--batch` and `--shape`."""

    batch: Annotated[
        int | None,
        typer.Option(help="Size of an input's first axis where the model leaves it open.  [default: 1]", min=1),
    ] = None
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="NAME:1x3x224x224",
            help="Whole shape of one input, for models that leave other axes open. Repeat for more inputs.",
        ),
    ] = None

    def refuse_for_bundle(self, path: str) -> None:
        """Raise UsageError if a flag was given: a bundle knows its shapes."""
        if self.batch is not None or self.shape:
            raise UsageError(
                "--batch and --shape take a model, not a bundle, which has the shapes it was compiled with",
                hint=f"leave them out, or name the ONNX model instead of {path}",
            )

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by input.

        Raises
        ------
        UsageError
            One cannot be understood.
        """
        return parse_shapes(self.shape)


def parse_shapes(texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Input shapes from "name:1x3x224x224"."""
    shapes = {}
    for text in texts or []:
        name, _, dims = text.rpartition(":")
        parts = dims.lower().split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise UsageError(f"--shape '{text}' is not NAME:AxBxC", hint="for example --shape input:1x3x224x224")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes
