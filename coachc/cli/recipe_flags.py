"""What calibrates: the flags of a command over those of its recipe."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, NamedTuple

from coachc.cli.options import ImageFlags, parse_fraction
from coachc.errors import UsageError

if TYPE_CHECKING:
    import typer

    from coachc.calib.recipe import Recipe
    from coachc.runtime.bundle.manifest_types import Preprocess


class CalibrationFlags(NamedTuple):
    """Calibration data and how it is read.

    Attributes
    ----------
    calib : str or None
    samples : int
    budget : str
    images : ImageFlags
    recipe : str or None
        File that spoke where the command line did not.
    """

    calib: str | None
    samples: int
    budget: str
    images: ImageFlags
    recipe: str | None = None


def calibration_flags(ctx: typer.Context) -> CalibrationFlags:
    """Flags given on the command line, then what its recipe says, then the defaults.

    Raises
    ------
    UsageError
        The recipe cannot be read.
    """
    flags = dict(ctx.params)
    path = flags["recipe"]
    if path is not None:
        for name, value in _as_flags(_read(path), path).items():
            source = ctx.get_parameter_source(name)
            if source is None or source.name != "COMMANDLINE":
                flags[name] = value
    images = ImageFlags(**{name: flags[name] for name in ImageFlags._fields if name in flags})
    return CalibrationFlags(flags["calib"], flags["samples"], flags["budget"], images, path)


def check_recipe(path: str, force: bool) -> None:
    """Raise UsageError if `--save-recipe` cannot be written, before anything is compiled."""
    from coachc.cli.files import check_place

    check_place(path, "--save-recipe")
    if os.path.exists(path) and not force:
        raise UsageError(f"--save-recipe {path} exists already", hint="--force replaces it")


def write_recipe(path: str, used: CalibrationFlags, preprocess: Preprocess | None) -> None:
    """Write the recipe of what was used."""
    from coachc.calib.recipe import Recipe, format_recipe
    from coachc.cli.files import write_file

    assert used.calib is not None
    values = {} if preprocess is None else preprocess._asdict()
    if not values.get("resize_to"):
        values.pop("resize_to", None)
    recipe = Recipe(
        data=_relative(used.calib, os.path.dirname(path)),
        samples=used.samples,
        budget=parse_fraction(used.budget, "--budget"),
        **values,
    )
    write_file(path, format_recipe(recipe).encode())


def _read(path: str) -> Recipe:
    from coachc.calib.recipe import parse_recipe

    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as exc:
        raise UsageError(f"cannot read recipe {path}: {exc.strerror}", hint="--save-recipe writes one") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not TOML: {exc}") from exc
    return parse_recipe(text, path)


def _as_flags(recipe: Recipe, path: str) -> dict[str, object]:
    """What a recipe says, as the commands' parameters; `size` and `layout` have no flag."""
    from coachc.calib.dataset import RANDOM

    said = {name: value for name, value in dataclasses.asdict(recipe).items() if value is not None}
    for name, separator in (("mean", ","), ("std", ","), ("resize_to", "x")):
        if name in said:
            said[name] = separator.join(map(repr, said[name]))
    if "budget" in said:
        said["budget"] = repr(said["budget"])
    data = said.pop("data", None)
    if data is not None:
        said["calib"] = data if data == RANDOM else os.path.join(os.path.dirname(path), data)
    return said


def _relative(calib: str, folder: str) -> str:
    """A calibration source as a recipe in `folder` names it: with '/', wherever it was written."""
    from coachc.calib.dataset import RANDOM
    from coachc.calib.script import script_of

    if calib == RANDOM:
        return calib
    file, function = script_of(calib) or (calib, None)
    try:
        relative = os.path.relpath(file, folder or ".").replace(os.sep, "/")
    except ValueError:  # on another drive
        relative = os.path.abspath(file)
    if relative == RANDOM:
        relative = f"./{relative}"
    return relative if function is None else f"{relative}:{function}"
