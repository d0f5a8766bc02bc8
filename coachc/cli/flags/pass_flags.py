"""`--print-after` and `--dump-dir`: what the passes of import and of lowering leave, as text and as files."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.errors import FileError, UsageError

if TYPE_CHECKING:
    from coachc.frontend.pass_driver import Observer, Step

#: In place of a pass: after each.
ALL = "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassFlags(FlagGroup):
    """`--print-after` and `--dump-dir`."""

    print_after: Annotated[
        list[str] | None,
        typer.Option(
            "--print-after",
            metavar="PASS",
            help="Print the model on stderr as a pass leaves it, weights left out; `all` after each. Repeat for more. "
            "A name that is no pass's is answered with theirs.",
        ),
    ] = None
    dump_dir: Annotated[
        str | None,
        typer.Option(
            "--dump-dir",
            metavar="DIR",
            help="Write the model into DIR, an empty or new folder, as each pass leaves it.",
        ),
    ] = None

    def observers(self, *, force: bool | None = None, lowering: bool = True) -> tuple[Observer, ...]:
        """What both flags ask for.

        Parameters
        ----------
        force : bool or None
            Whether the folder, made where it is not there, may hold something already; files of the same names are
            replaced. None where a command has no such flag.
        lowering : bool
            Whether the command lowers models.

        Raises
        ------
        UsageError, FileError
            A name is no pass's; the folder cannot be used.
        """
        found: list[Observer] = []
        if self.print_after:
            known = (ALL, *pass_names(lowering=lowering))
            for name in self.print_after:
                if name not in known:
                    raise UsageError(f"--print-after '{name}' is no pass", hint=f"one of {', '.join(known)}")
            found.append(_printer(frozenset(self.print_after)))
        if self.dump_dir is not None:
            found.append(_dumper(_usable(self.dump_dir, force)))
        return tuple(found)


def pass_names(*, lowering: bool = True) -> tuple[str, ...]:
    """Every pass in the order in which they run, without those of lowering where a command does not lower."""
    from coachc.frontend.import_passes import import_pass_names
    from coachc.passes.lower.rewrite_model import lowering_pass_names

    return (*import_pass_names(), *(lowering_pass_names() if lowering else ()))


def _printer(names: frozenset[str]) -> Observer:
    def observe(step: Step) -> None:
        from coachc.frontend.model_text import step_text

        if ALL in names or step.name in names:
            print(step_text(step), file=sys.stderr)

    return observe


def _dumper(folder: Path) -> Observer:
    """One folder for each stage, files numbered in the order in which they come."""
    count: Counter[str] = Counter()

    def observe(step: Step) -> None:
        from coachc.cli.files import write_file

        count[step.stage] += 1
        home = folder.joinpath(*step.stage.split("/"))
        _make(home)
        write_file(str(home / f"{count[step.stage]:02}-{step.name}.onnx"), step.model.SerializeToString())

    return observe


def _usable(path: str, force: bool | None) -> Path:
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"--dump-dir {path} is a file", hint="name a folder; it is made where there is none")
    _make(folder)
    if not force and os.listdir(folder):
        either = "name an empty or a new folder"
        hint = either if force is None else f"{either}; --force replaces files of the same names"
        raise FileError(f"--dump-dir {path} is not empty", hint=hint)
    return folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise FileError(f"cannot make the folder {folder}: {exc.strerror}", hint="choose another --dump-dir") from exc
