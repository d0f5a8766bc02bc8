"""Recipes: what is written is read back, and what cannot be meant is refused with file, key, expected and found."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coachc.calib.recipe import KEYS, Recipe, format_recipe, parse_recipe
from coachc.errors import UsageError
from coachc.runtime.bundle.manifest_types import COLORS, CROPS, LAYOUTS, ORIENTATIONS, RESIZES, TASKS

FULL = Recipe(
    data="images/val",
    samples=1000,
    task="classify",
    budget=0.005,
    size=(224, 224),
    resize="bicubic",
    crop="center",
    resize_to=(256,),
    layout="nchw",
    color="rgb",
    pixel_scale=255.0,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    orientation="stored",
)


def test_every_field_has_a_key():
    assert [key for keys in KEYS.values() for key in keys] == [field.name for field in dataclasses.fields(Recipe)]


def test_a_full_recipe():
    text = format_recipe(FULL)
    assert text.startswith("# ")
    assert tomllib.loads(text) == {
        "calibration": {"data": "images/val", "samples": 1000, "task": "classify", "budget": 0.005},
        "preprocess": {
            "size": [224, 224],
            "resize": "bicubic",
            "crop": "center",
            "resize_to": 256,
            "layout": "nchw",
            "color": "rgb",
            "pixel_scale": 255.0,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "orientation": "stored",
        },
    }
    assert parse_recipe(text, "r.toml") == FULL


def test_what_is_not_said_is_not_written():
    assert parse_recipe("", "r.toml") == Recipe()
    assert tomllib.loads(format_recipe(Recipe())) == {}
    assert tomllib.loads(format_recipe(Recipe(data="x.npz"))) == {"calibration": {"data": "x.npz"}}
    assert parse_recipe("[preprocess]\nresize_to = [256, 320]", "r.toml") == Recipe(resize_to=(256, 320))
    assert parse_recipe("[preprocess]\nmean = [0]\nstd = [1]\npixel_scale = 1", "r") == Recipe(
        mean=(0.0,), std=(1.0,), pixel_scale=1.0
    )


numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)
lengths = st.integers(1, 10**6)
recipes = st.builds(
    Recipe,
    data=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    samples=st.none() | lengths,
    task=st.none() | st.sampled_from(TASKS),
    budget=st.none() | st.floats(1e-9, 1, exclude_max=True),
    size=st.none() | st.tuples(lengths, lengths),
    resize=st.none() | st.sampled_from(RESIZES),
    crop=st.none() | st.sampled_from(CROPS),
    resize_to=st.none() | st.tuples(lengths) | st.tuples(lengths, lengths),
    layout=st.none() | st.sampled_from(LAYOUTS),
    color=st.none() | st.sampled_from(COLORS),
    pixel_scale=st.none() | positive,
    mean=st.none() | st.tuples(numbers) | st.tuples(numbers, numbers, numbers),
    std=st.none() | st.tuples(positive) | st.tuples(positive, positive, positive),
    orientation=st.none() | st.sampled_from(ORIENTATIONS),
)


@settings(deadline=None)
@given(recipes)
def test_what_is_written_is_read_back(recipe):
    assert parse_recipe(format_recipe(recipe), "r.toml") == recipe


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ("data = 5", "a non-empty string", "5"),
        ('data = ""', "a non-empty string", '""'),
        ("samples = 0", "a whole number of at least 1", "0"),
        ("samples = true", "a whole number of at least 1", "true"),
        ("samples = 10.0", "a whole number of at least 1", "10.0"),
        ('task = "count"', "one of classify, outputs, segment, detect", '"count"'),
        ("decode = 1", "a non-empty string", "1"),
        ('truth = ""', "a non-empty string", '""'),
        ("task = 1", "one of classify, outputs", "1"),
        ('budget = "0.5%"', "a fraction between 0 and 1, for example 0.005", '"0.5%"'),
        ("budget = 1", "a fraction between 0 and 1, for example 0.005", "1"),
        ("budget = nan", "a fraction between 0 and 1, for example 0.005", "NaN"),
    ],
)
def test_wrong_values_of_calibration(line, expected, found):
    refused(f"[calibration]\n{line}", f"calibration.{line.split()[0]}", expected, found)


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ("size = 224", "a height and a width, for example [224, 224]", "224"),
        ("size = [224]", "a height and a width, for example [224, 224]", "[224]"),
        ("size = [224, 0]", "a height and a width, for example [224, 224]", "[224, 0]"),
        ('resize = "stretch"', "one of " + ", ".join(RESIZES), '"stretch"'),
        ("resize = 3", "one of " + ", ".join(RESIZES), "3"),
        ('crop = "corner"', "one of none, center, center-square", '"corner"'),
        ("fill = [1, 2]", "a list of one pixel of 0 to 255 per channel", "[1, 2]"),
        ("fill = [1, 2, 256]", "a list of one pixel of 0 to 255 per channel", "[1, 2, 256]"),
        ("fill = 114", "a list of one pixel of 0 to 255 per channel", "114"),
        ("resize_to = 0", "the shorter side, for example 256, or a height and a width, for example [256, 256]", "0"),
        ("resize_to = [1, 2, 3]", "the shorter side, for example 256, or a height and a width, for", "[1, 2, 3]"),
        ('layout = "chw"', "one of nchw, nhwc", '"chw"'),
        ('color = ["rgb"]', "one of rgb, bgr, gray", '["rgb"]'),
        ("pixel_scale = 0", "a positive number", "0"),
        ("pixel_scale = inf", "a positive number", "Infinity"),
        ("mean = 0.5", "a list of one number per channel", "0.5"),
        ("mean = [0.5, 0.5]", "a list of one number per channel", "[0.5, 0.5]"),
        ('mean = [0.5, 0.5, "x"]', "a list of one number per channel", '[0.5, 0.5, "x"]'),
        ("mean = [nan]", "a list of one number per channel", "[NaN]"),
        ("std = [1, 0, 1]", "a list of one positive number per channel", "[1, 0, 1]"),
        ("std = 2026-01-01", "a list of one positive number per channel", '"2026-01-01"'),
    ],
)
def test_wrong_values_of_preprocess(line, expected, found):
    refused(f"[preprocess]\n{line}", f"preprocess.{line.split()[0]}", expected, found)


def test_a_table_that_is_none():
    refused("calibration = 3", "calibration", "a table", "3")


def refused(text, key, expected, found):
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, "some/r.toml")
    assert caught.value.message == f"some/r.toml: wrong value of '{key}'"
    assert caught.value.context[0].startswith(f"expected  {expected}")
    assert caught.value.context[1] == f"found     {found}"


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("[preproces]", "unknown key 'preproces'; did you mean 'preprocess'?", "calibration, preprocess"),
        ("mean = [0]", "unknown key 'mean'", "calibration, preprocess"),
        (
            "[calibration]\nsample = 3",
            "unknown key 'calibration.sample'; did you mean 'calibration.samples'?",
            "calibration.data, calibration.samples, calibration.task, calibration.decode, calibration.truth",
        ),
        ("[preprocess]\nsamples = 3", "unknown key 'preprocess.samples'", "preprocess.size, preprocess.resize, "),
        ("[preprocess.mean]\nr = 3", "wrong value of 'preprocess.mean'", "a list of one number per channel"),
    ],
)
def test_unknown_keys(text, message, expected):
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, "r.toml")
    assert caught.value.message.startswith(f"r.toml: {message}")
    assert caught.value.context[0].startswith(f"expected  {expected}")


@pytest.mark.parametrize("text", ["[calibration", "a = ", "a = 1\na = 2", "\0"])
def test_what_is_no_toml(text):
    with pytest.raises(UsageError, match=r"r\.toml is not TOML: ") as caught:
        parse_recipe(text, "r.toml")
    assert caught.value.hint == "coachc compile --save-recipe writes one"
