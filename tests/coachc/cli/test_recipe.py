"""Recipes on the command line: written by `compile`, read by three commands, and overridden by flags."""

from __future__ import annotations

import json
import os
import re
import tomllib

import numpy as np
import pytest

from tests.helpers.commands import coachc, compile_json

pytestmark = [pytest.mark.needs("PIL"), pytest.mark.needs("onnxruntime")]

TARGETS = ["--device", "tx2", "--cloud", "a6000", "--bandwidth", "20Mbit"]


def recipe_at(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def read(path):
    return tomllib.loads(path.read_text())


def preprocess_in(bundle):
    return json.loads((bundle / "manifest.json").read_bytes())["preprocess"]


def test_what_was_used_is_written_and_used_again(picture_model, picture_folder, tmp_path):
    recipe = tmp_path / "recipes" / "r.toml"
    recipe.parent.mkdir()
    flags = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--resize-to", "10", "--samples", "15"]
    flags += ["--budget", "5%", "--resize", "bicubic", "--orientation", "stored"]
    first = compile_json(
        picture_model, tmp_path / "a.coach", "--calib", picture_folder, *flags, "--save-recipe", recipe
    )
    assert read(recipe) == {
        "calibration": {"data": "../images", "samples": 15, "task": "classify", "budget": 0.05},
        "preprocess": {
            "size": [8, 8],
            "resize": "bicubic",
            "crop": "center",
            "resize_to": 10,
            "layout": "nchw",
            "color": "rgb",
            "pixel_scale": 255.0,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "orientation": "stored",
        },
    }
    again = compile_json(picture_model, tmp_path / "b.coach", "--recipe", recipe)
    assert again["plan"] == first["plan"]
    assert again["accuracy"] == first["accuracy"]
    seen, wanted = again["calibration_data"], first["calibration_data"]
    assert seen["preprocess"] == wanted["preprocess"]
    assert seen["inputs"] == wanted["inputs"]
    assert preprocess_in(tmp_path / "b.coach") == preprocess_in(tmp_path / "a.coach")
    # A recipe that was read is written as it was.
    compile_json(
        picture_model, tmp_path / "c.coach", "--recipe", recipe, "--save-recipe", tmp_path / "recipes" / "s.toml"
    )
    assert read(tmp_path / "recipes" / "s.toml") == read(recipe)


def test_flags_win_over_the_recipe(picture_model, picture_folder, tmp_path):
    recipe = recipe_at(
        tmp_path / "r.toml",
        '[calibration]\ndata = "nowhere"\nsamples = 7\nbudget = 0.3\n'
        '[preprocess]\nmean = [0.5, 0.5, 0.5]\nstd = [0.25]\ncrop = "center-square"\nresize = "area"\n',
    )
    report = compile_json(
        picture_model, tmp_path / "a.coach", "--recipe", recipe, "--calib", picture_folder, "--mean", "0.1,0.2,0.3"
    )
    data = report["calibration_data"]
    assert (data["source"], data["samples"]) == (str(picture_folder), 7)
    assert data["preprocess"]["mean"] == [0.1, 0.2, 0.3]
    assert data["preprocess"]["std"] == [0.25] * 3
    assert (data["preprocess"]["crop"], data["preprocess"]["resize"]) == ("center-square", "area")
    # A flag wins even where it says what the default is.
    arguments = ["--recipe", recipe, "--calib", picture_folder, "--std", "1", "--samples", "2000", "--crop", "none"]
    data = compile_json(picture_model, tmp_path / "b.coach", *arguments)["calibration_data"]
    assert (data["preprocess"]["std"], data["samples"], data["preprocess"]["crop"]) == ([1.0] * 3, 20, "none")


@pytest.mark.parametrize("command", ["explain", "compare"])
def test_other_commands_read_recipes_too(picture_model, picture_folder, tmp_path, command):
    text = '[calibration]\ndata = "../images"\nsamples = 9\n[preprocess]\nmean = [0.5]\ncrop = "center-square"\n'
    recipe = recipe_at(tmp_path / "recipes" / "r.toml", text)
    report = coachc(command, picture_model, "--recipe", recipe, "--json").json()
    data = report["calibration_data"]
    assert (data["samples"], data["preprocess"]["mean"], data["preprocess"]["crop"]) == (9, [0.5] * 3, "center-square")
    assert os.path.samefile(data["source"], picture_folder)
    assert coachc(command, picture_model, "--bits", "4", "--json").json()["calibration_data"] is None
    outcome = coachc(command, picture_model, "--recipe", recipe, "--bits", "4")
    assert outcome.code == 2
    assert f"--bits and the data of {recipe} exclude each other" in outcome.err


def test_sources_are_relative_to_the_recipe(picture_model, picture_folder, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "data.py").write_text(
        "import numpy as np\ndef load():\n    rng = np.random.default_rng(0)\n"
        "    return [rng.standard_normal((1, 3, 8, 8)) for _ in range(6)]\n"
    )
    monkeypatch.chdir(tmp_path / "code")
    for calib, name, written in (
        ("data.py:load", "r.toml", "data.py:load"),
        ("data.py:load", tmp_path / "r.toml", "code/data.py:load"),
        ("../images", "i.toml", "../images"),
        (picture_folder, tmp_path / "i.toml", "images"),
        ("random", "n.toml", "random"),
    ):
        report = compile_json(picture_model, tmp_path / "o.coach", "--force", "--calib", calib, "--save-recipe", name)
        assert read(tmp_path / "code" / name)["calibration"]["data"] == written
        again = compile_json(picture_model, tmp_path / "p.coach", "--force", "--recipe", name)
        assert again["accuracy"] == report["accuracy"]
    monkeypatch.chdir(tmp_path)
    again = compile_json(picture_model, tmp_path / "p.coach", "--force", "--recipe", "code/r.toml")
    assert again["calibration_data"]["source"] == "code/data.py:load"


def test_a_folder_called_random_is_no_noise(picture_model, picture_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture_folder.rename(tmp_path / "random")
    compile_json(picture_model, "a.coach", "--calib", "./random", "--save-recipe", "r.toml")
    assert read(tmp_path / "r.toml")["calibration"]["data"] == "./random"
    assert compile_json(picture_model, "b.coach", "--recipe", "r.toml")["calibration"] == "calibrated"


def test_arrays_say_nothing_about_pictures(picture_model, tmp_path):
    np.savez(tmp_path / "d.npz", input=np.random.default_rng(0).standard_normal((9, 3, 8, 8)))
    compile_json(
        picture_model, tmp_path / "a.coach", "--calib", tmp_path / "d.npz", "--save-recipe", tmp_path / "r.toml"
    )
    assert read(tmp_path / "r.toml") == {
        "calibration": {"data": "d.npz", "samples": 2000, "task": "outputs", "budget": 0.02}
    }
    compile_json(picture_model, tmp_path / "b.coach", "--recipe", tmp_path / "r.toml")
    assert preprocess_in(tmp_path / "b.coach") is None


def refused(tmp_path, arguments, *patterns):
    before = sorted(os.listdir(tmp_path))
    outcome = coachc("compile", *arguments, *TARGETS, "-o", tmp_path / "o.coach")
    assert (outcome.code, outcome.out) == (2 if outcome.err.startswith("error[usage]") else 1, ""), outcome
    for pattern in patterns:
        assert re.search(pattern, outcome.err), f"{pattern!r} not in\n{outcome.err}"
    assert sorted(os.listdir(tmp_path)) == before


def test_recipes_that_cannot_be_read(picture_model, picture_folder, tmp_path):
    refused(
        tmp_path, [picture_model, "--recipe", tmp_path / "none.toml"], r"cannot read recipe .*none\.toml: No such file"
    )
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    refused(
        tmp_path, [picture_model, "--recipe", tmp_path / "latin.toml"], r"error\[file\]: .*latin\.toml is not TOML: "
    )
    recipe = recipe_at(tmp_path / "r.toml", "[preprocess]\nmeans = [0]\n")
    message = r"r\.toml: unknown key 'preprocess\.means'; did you mean 'preprocess\.mean'\?"
    refused(
        tmp_path,
        [picture_model, "--recipe", recipe],
        message,
        r"expected  preprocess\.size, ",
        r"found     preprocess\.means",
    )
    recipe = recipe_at(tmp_path / "r.toml", "[calibration]\nsamples = '9'\n")
    message = r"r\.toml: wrong value of 'calibration\.samples'"
    refused(
        tmp_path,
        [picture_model, "--recipe", recipe],
        message,
        "expected  a whole number of at least 1",
        'found     "9"',
    )
    recipe = recipe_at(tmp_path / "r.toml", "[calibration]\nsamples = 9\n")
    refused(tmp_path, [picture_model, "--recipe", recipe], "no calibration data")


def test_recipes_for_another_model(picture_model, picture_folder, tmp_path):
    for line, message in (
        ("size = [224, 224]", "the recipe is for inputs of 224x224, the model takes 8x8"),
        ('layout = "nhwc"', "the recipe is for layout nhwc, the model's input is nchw"),
        ("resize_to = 4", "--resize-to 4 is smaller than the model's input of 8x8"),
        ('color = "gray"', "--color 'gray' does not suit"),
    ):
        recipe = recipe_at(tmp_path / "r.toml", f'[calibration]\ndata = "images"\n[preprocess]\n{line}\n')
        refused(tmp_path, [picture_model, "--recipe", recipe], message, r"recipe  .*r\.toml")


def test_places_where_no_recipe_can_be_written(picture_model, picture_folder, tmp_path):
    arguments = [picture_model, "--calib", picture_folder, "--save-recipe"]
    refused(tmp_path, [*arguments, tmp_path / "no" / "r.toml"], r"--save-recipe .*: there is no folder .*/no")
    refused(tmp_path, [*arguments, picture_folder], "--save-recipe .*images is a folder")
    recipe = recipe_at(tmp_path / "r.toml", "# by hand\n")
    refused(tmp_path, [*arguments, recipe], r"--save-recipe .*r\.toml exists already", "hint: --force replaces it")
    assert recipe.read_text() == "# by hand\n"
