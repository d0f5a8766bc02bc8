"""Recipes: how calibration data is read, as a TOML file that can be kept beside a model.

Values only. Which of them a flag overrides, and what paths are relative to, is decided where a recipe is used.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coachc.errors import UsageError
from coachc.runtime.bundle.manifest_types import COLORS, CROPS, LAYOUTS, ORIENTATIONS, RESIZES, TASKS

HEADER = "# How `coachc compile --recipe FILE` reads calibration data. Paths are relative to this file.\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a recipe says; None where it says nothing.

    Attributes
    ----------
    data : str or None
        Calibration source as `--calib` takes it, a path relative to the recipe.
    samples : int or None
        At most that many.
    task : str or None
        What is judged, one of `runtime.bundle.manifest_types.TASKS`.
    decode, truth, metric : str or None
        How boxes or masks are read, their annotations, or a function that scores samples instead: as the flags take
        them, paths relative to the recipe.
    budget : float or None
        What may be lost of it, a fraction.
    size, layout : tuple of int, str, or None
        (height, width) and layout of the model's input that the recipe was made for.
    resize, crop, resize_to, fill, color, pixel_scale, mean, std, orientation
        As in `runtime.bundle.manifest_types.Preprocess`.
    """

    data: str | None = None
    samples: int | None = None
    task: str | None = None
    decode: str | None = None
    truth: str | None = None
    metric: str | None = None
    budget: float | None = None
    size: tuple[int, ...] | None = None
    resize: str | None = None
    crop: str | None = None
    resize_to: tuple[int, ...] | None = None
    fill: tuple[int, ...] | None = None
    layout: str | None = None
    color: str | None = None
    pixel_scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    orientation: str | None = None


Reader = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a non-empty string")
    return value


def _one_of(words: tuple[str, ...]) -> Reader:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(value)

    return read


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _pixel(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise ValueError("a whole number of 0 to 255")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


def _positive(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError("a positive number")
    return float(value)


def _fraction(value: Any) -> float:
    if type(value) is not float or not 0 < value < 1:
        raise ValueError("a fraction between 0 and 1, for example 0.005")
    return value


def _list_of(read: Reader, what: str, lengths: tuple[int, ...]) -> Reader:
    def read_list(value: Any) -> tuple[Any, ...]:
        try:
            if not isinstance(value, list) or len(value) not in lengths:
                raise ValueError
            return tuple(read(item) for item in value)
        except ValueError:
            raise ValueError(what) from None

    return read_list


def _resize_to(value: Any) -> tuple[int, ...]:
    return _list_of(_count, _HEIGHT_AND_WIDTH, (1, 2))(value if isinstance(value, list) else [value])


_SIZE = _list_of(_count, "a height and a width, for example [224, 224]", (2,))
_MEAN = _list_of(_number, "a list of one number per channel", (1, 3))
_STD = _list_of(_positive, "a list of one positive number per channel", (1, 3))
_FILL = _list_of(_pixel, "a list of one pixel of 0 to 255 per channel", (1, 3))
_HEIGHT_AND_WIDTH = "the shorter side, for example 256, or a height and a width, for example [256, 256]"

#: Tables and their keys, in the order they are written.
KEYS: Mapping[str, Mapping[str, Reader]] = {
    "calibration": {
        "data": _text,
        "samples": _count,
        "task": _one_of(TASKS),
        "decode": _text,
        "truth": _text,
        "metric": _text,
        "budget": _fraction,
    },
    "preprocess": {
        "size": _SIZE,
        "resize": _one_of(RESIZES),
        "crop": _one_of(CROPS),
        "resize_to": _resize_to,
        "fill": _FILL,
        "layout": _one_of(LAYOUTS),
        "color": _one_of(COLORS),
        "pixel_scale": _positive,
        "mean": _MEAN,
        "std": _STD,
        "orientation": _one_of(ORIENTATIONS),
    },
}


def parse_recipe(text: str, file: str) -> Recipe:
    """A recipe from TOML.

    Parameters
    ----------
    text : str
    file : str
        Name for error messages.

    Raises
    ------
    UsageError
        It is not TOML, or has an unknown key or a value of the wrong type; names file, key, expected and found.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{file} is not TOML: {exc}", hint="coachc compile --save-recipe writes one") from exc
    said: dict[str, Any] = {}
    for table, values in tables.items():
        if table not in KEYS:
            raise _unknown(file, table, KEYS)
        if not isinstance(values, dict):
            raise _wrong(file, table, "a table", values)
        for key, value in values.items():
            if key not in KEYS[table]:
                raise _unknown(file, f"{table}.{key}", [f"{table}.{known}" for known in KEYS[table]])
            try:
                said[key] = KEYS[table][key](value)
            except ValueError as exc:
                raise _wrong(file, f"{table}.{key}", str(exc), value) from exc
    return Recipe(**said)


def format_recipe(recipe: Recipe) -> str:
    """The TOML that `parse_recipe` reads back; what the recipe does not say is left out."""
    import tomli_w

    values = {key: value for key, value in dataclasses.asdict(recipe).items() if value is not None}
    if recipe.resize_to is not None and len(recipe.resize_to) == 1:
        values["resize_to"] = recipe.resize_to[0]
    tables = {table: {key: values[key] for key in keys if key in values} for table, keys in KEYS.items()}
    return HEADER + tomli_w.dumps({table: said for table, said in tables.items() if said})


def _unknown(file: str, key: str, known: Any) -> UsageError:
    close = difflib.get_close_matches(key, list(known), 1)
    return UsageError(
        f"{file}: unknown key '{key}'" + (f"; did you mean '{close[0]}'?" if close else ""),
        context=[f"expected  {', '.join(known)}", f"found     {key}"],
    )


def _wrong(file: str, key: str, expected: str, found: Any) -> UsageError:
    shown = json.dumps(found, default=str)
    return UsageError(f"{file}: wrong value of '{key}'", context=[f"expected  {expected}", f"found     {shown[:80]}"])
