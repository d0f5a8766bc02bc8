"""Flags for how the installer is started on a machine behind ssh."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from coachc.cli.flags.group import FlagGroup


@dataclasses.dataclass(frozen=True, kw_only=True)
class SshFlags(FlagGroup):
    """`--python` and `--runtime`."""

    python: Annotated[str, typer.Option(help="ssh: the Python to run over there.")] = "python3"
    runtime: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="ssh: the folder over there that holds runtime/. Default: where ssh arrives."),
    ] = None
