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
        str | None,
        typer.Option(
            metavar="N",
            help="Size of an input's first axis where the model leaves it open.  [default: 1]  compile also takes "
            "1..N, for halves that take any number of tasks up to N at once.",
        ),
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
    def size(self) -> int | None:
        """The one size that `--batch` gives; None where it gives none.

        Raises
        ------
        UsageError
            It gives a range, or none of both.
        """
        size, most = self.batch_range
        if most > 1:
            raise UsageError(
                f"--batch {self.batch} is for coachc compile: this command looks at a model of one size",
                hint="leave --batch out for 1, or give one number",
            )
        return size

    @property
    def batch_range(self) -> tuple[int | None, int]:
        """What is compiled for, None where the model or the default says it, and the most tasks in one run.

        Raises
        ------
        UsageError
            `--batch` is neither a number nor a range from 1.
        """
        if self.batch is None:
            return None, 1
        least, dots, most = self.batch.partition("..")
        if least.isdecimal() and int(least) and not dots:
            return int(least), 1
        if least == "1" and most.isdecimal() and int(most) > 1:
            return None, int(most)
        raise UsageError(
            f"--batch '{self.batch}' is neither a number nor a range from 1",
            hint="for example --batch 4, for tasks of four rows, or --batch 1..8, for up to eight tasks at once",
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
