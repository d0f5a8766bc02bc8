"""`--metric file.py:function`: what is judged is what the user's function scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coachc.models.synthetic import residual
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json

pytestmark = pytest.mark.needs("onnxruntime")

NEAR = """
import numpy as np

def score(outputs, whole, name):
    (key,) = whole
    return float(np.exp(-np.abs(outputs[key] - whole[key]).max()))
"""


@pytest.fixture
def model(tmp_path):
    return save(residual(), tmp_path / "net.onnx")


@pytest.fixture
def samples(tmp_path, model):
    from coachc.frontend.onnx_import import import_model

    loaded = import_model(str(model))
    (name,) = loaded.inputs
    x = np.random.default_rng(0).standard_normal((60, *loaded.values[name].shape[1:])).astype(np.float32)
    np.savez(tmp_path / "x.npz", **{name: x})
    return tmp_path / "x.npz"


def metric(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    return f"{tmp_path / 'mine.py'}:score"


def test_the_score_is_what_is_judged_and_the_bundle_holds_its_name_alone(model, samples, tmp_path):
    import hashlib

    flags = ["--calib", samples, "--mode", "split", "--metric", metric(tmp_path, NEAR)]
    report = compile_json(model, tmp_path / "o.coach", *flags)
    judged, accuracy = report["judged"], report["accuracy"]
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    assert judged["metric"] == {"function": "mine.py:score", "sha256": digest}
    assert (judged["task"], judged["budget"], accuracy["kind"]) == ("outputs", 0.005, "metric")
    assert accuracy["float"] == 1.0
    assert 0.99 < accuracy["split"] <= 1.0
    manifest = open_bundle(tmp_path / "o.coach").manifest
    assert manifest.plan["judged"]["metric"] == judged["metric"]
    assert "def score" not in json.dumps(manifest.plan)
    assert not list((tmp_path / "o.coach").glob("*.py"))
    mine = ["--metric", f"{tmp_path / 'mine.py'}:score"]
    found = coachc("eval", tmp_path / "o.coach", "--data", samples, *mine, "--json").json()["metric"]
    assert (found["truth"], found["whole"], found["figures"]) == ("metric", 1.0, {})
    assert found["split"] == pytest.approx(accuracy["split"], abs=1e-3)
    (tmp_path / "mine.py").write_text(NEAR + "# another\n")
    refused = coachc("eval", tmp_path / "o.coach", "--data", samples, *mine)
    assert "is not what the bundle was judged by" in refused.err
    (tmp_path / "mine.py").write_text(NEAR)
    said = coachc("compile", model, "--device", "tx2", "--bandwidth", "20Mbit", "-o", tmp_path / "p.coach", *flags)
    assert "judged    every sample's score: --metric" in said.out


def test_a_recipe_keeps_the_metric(model, samples, tmp_path):
    (tmp_path / "kept").mkdir()
    recipe = tmp_path / "kept" / "r.toml"
    flags = ["--calib", samples, "--mode", "split", "--metric", metric(tmp_path, NEAR)]
    first = compile_json(model, tmp_path / "a.coach", *flags, "--save-recipe", recipe)
    assert 'metric = "../mine.py:score"' in recipe.read_text()
    again = compile_json(model, tmp_path / "b.coach", "--recipe", recipe, "--mode", "split")
    assert again["judged"]["metric"] == first["judged"]["metric"]
    assert again["plan"]["cut"] == first["plan"]["cut"]


def test_a_metric_that_sees_nothing_takes_the_fewest_bits(model, samples, tmp_path):
    flags = ["--calib", samples, "--mode", "split", "--metric"]
    blind = metric(tmp_path, "def score(outputs, whole, name):\n    return 1\n")
    found = compile_json(model, tmp_path / "a.coach", *flags, blind)["plan"]["cut"]
    assert {value["bits"] for value in found} <= {2, 3}


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("def score(outputs, whole, name):\n    return 2\n", [], "gives no score for sample row "),
        ("def score(outputs, whole, name):\n    return None\n", [], "expected  a number from 0 to 1"),
        ("def score(outputs, whole, name):\n    return float('nan')\n", [], "gives no score"),
        ("def score(outputs, whole, name):\n    raise KeyError(name)\n", [], "failed: KeyError"),
        ("def other(outputs, whole, name):\n    return 1\n", [], "has no function 'score'"),
        ("import nothing_of_that_name\n", [], "cannot be imported"),
        (NEAR, ["--task", "classify"], "--metric and --task exclude each other"),
    ],
)
def test_what_a_function_does_wrong_is_said(model, samples, tmp_path, text, flags, said):
    outcome = coachc(
        "compile", model, "--device", "tx2", "--bandwidth", "20Mbit", "--calib", samples, "-o", tmp_path / "o.coach",
        "--metric", metric(tmp_path, text), *flags,
    )  # fmt: skip
    assert outcome.code != 0
    assert "internal" not in outcome.err
    assert said in outcome.err
    assert not (tmp_path / "o.coach").exists()


def test_what_is_no_function_is_said(model, samples, tmp_path):
    outcome = coachc(
        "compile", model, "--device", "tx2", "--bandwidth", "20Mbit", "--calib", samples, "-o", tmp_path / "o.coach",
        "--metric", "mine",
    )  # fmt: skip
    assert "--metric mine is no function" in outcome.err
