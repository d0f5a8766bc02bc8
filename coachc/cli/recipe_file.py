"""The file of a recipe: what it says as the values of flags, and one written of what a compilation used."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coachc.errors import FileError, UsageError

if TYPE_CHECKING:
    from coachc.calib.recipe import Recipe
    from coachc.runtime.bundle.manifest_types import Preprocess


def recipe_flags(path: str) -> dict[str, Any]:
    """What a recipe says, by the names of the flags it stands for; `size` and `layout` have none.

    Raises
    ------
    FileError, UsageError
        It cannot be read; or it says what no recipe says, and its words stand for flags.
    """
    from coachc.calib.dataset import RANDOM

    recipe = _read(path)
    said = {name: value for name, value in dataclasses.asdict(recipe).items() if value is not None}
    for name, separator in (("mean", ","), ("std", ","), ("fill", ","), ("resize_to", "x")):
        if name in said:
            said[name] = separator.join(map(repr, said[name]))
    if "budget" in said:
        said["budget"] = repr(said["budget"])
    for name in ("decode", "truth", "metric"):
        if name in said:
            said[name] = os.path.join(os.path.dirname(path), said[name])
    data = said.pop("data", None)
    if data is not None:
        said["calib"] = data if data == RANDOM else os.path.join(os.path.dirname(path), data)
    return said


def check_recipe(path: str, force: bool, calib: str | None) -> None:
    """Raise FileError or UsageError if `--save-recipe` cannot be written, before anything is compiled."""
    from coachc.cli.files import check_place
    from coachc.runtime.bundle.skipped import printable

    if calib is not None and printable(calib) != calib:
        raise UsageError(f"--save-recipe: the name of {printable(calib)} is no UTF-8, as TOML is", hint="rename it")

    check_place(path, "--save-recipe")
    if os.path.exists(path) and not force:
        raise FileError(f"--save-recipe {path} exists already", hint="--force replaces it")


def write_recipe(
    path: str,
    calib: str,
    samples: int,
    judged: Mapping[str, Any],
    preprocess: Preprocess | None,
    *,
    decode: str | None = None,
    truth: str | None = None,
    metric: str | None = None,
) -> None:
    """Write the recipe of what was used; `decode`, `truth` and `metric` as they were given."""
    from coachc.calib.recipe import Recipe, format_recipe
    from coachc.cli.files import write_file

    values = {} if preprocess is None else preprocess._asdict()
    values = {name: value for name, value in values.items() if value or name not in ("resize_to", "fill")}
    recipe = Recipe(
        data=_relative(calib, os.path.dirname(path)),
        samples=samples,
        task=judged["task"],
        decode=decode and _relative(decode, os.path.dirname(path)),
        truth=truth and _relative(truth, os.path.dirname(path)),
        metric=metric and _relative(metric, os.path.dirname(path)),
        budget=judged["budget"],
        **values,
    )
    write_file(path, format_recipe(recipe).encode())


def _read(path: str) -> Recipe:
    from coachc.calib.recipe import parse_recipe

    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as exc:
        raise FileError(f"cannot read recipe {path}: {exc.strerror}", hint="--save-recipe writes one") from exc
    except UnicodeDecodeError as exc:
        raise FileError(f"{path} is not TOML: {exc}") from exc
    return parse_recipe(text, path)


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
