"""What compile says of the online policies where calibration has little to show: one class, one sample, one output."""

from __future__ import annotations

import re

import numpy as np
import pytest

from coachc.cli.online_report import online_lines
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.online.policy_file import decode_policies
from tests.helpers.bundles import save
from tests.helpers.commands import coachc
from tests.helpers.onnx_models import constant, info, net, op, random_weight
from tests.helpers.videos import write_video

pytestmark = [pytest.mark.needs("PIL"), pytest.mark.needs("onnxruntime")]

PICTURE = (3, 8, 8)


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3)).astype(np.uint8)


def one_class_folder(folder, count=12):
    from PIL import Image

    (folder / "cat").mkdir(parents=True)
    for index, picture in enumerate(pictures(count)):
        Image.fromarray(picture).save(folder / "cat" / f"{index}.png")
    return folder


def video_of_one_thing(folder):
    pytest.importorskip("cv2")
    return write_video(folder / "one.avi", list(pictures(20)))


def noise_rows(folder, count=20):
    rows = np.random.default_rng(0).standard_normal((count, *PICTURE)).astype(np.float32)
    np.savez(folder / "rows.npz", input=rows)
    return folder / "rows.npz"


DATA = {
    "a folder of one class": (lambda folder: one_class_folder(folder / "one"), "12 samples"),
    "one video": (video_of_one_thing, "20 samples"),
    "20 rows of noise": (noise_rows, "20 samples"),
    "one picture": (lambda folder: one_class_folder(folder / "one", 1), "1 sample"),
    "one row": (lambda folder: noise_rows(folder, 1), "1 sample"),
}


def classifier(folder, classes=5, favourite=9.0):
    """A model that gives (nearly) every picture class 0 at any precision, because of a large bias."""
    bias = np.zeros(classes, np.float32)
    bias[0] = favourite
    nodes = [
        op("Conv", "input w", "c", pads=[1] * 4),
        op("Relu", "c", "r"),
        op("GlobalAveragePool", "r", "p"),
        op("Flatten", "p", "f"),
        op("Gemm", "f k bias", "logits"),
    ]
    weights = [random_weight("w", 4, 3, 3, 3), random_weight("k", 4, classes), constant("bias", bias)]
    model = net(nodes, [info("input", (1, *PICTURE))], [info("logits", (1, classes))], weights)
    return save(model, folder / "classifier.onnx")


def compiled(model, data, folder, *flags):
    """Outcome of a compilation that has to split, and the line about exits."""
    bundle = folder / "out.coach"
    outcome = coachc(
        "compile", model, "--device", "tx2", "--calib", data, "--mode", "split", "-o", bundle, *flags,
        "--bandwidth", "100kbit",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "> split" in outcome.out
    (line,) = re.findall(r"^online {4}(.*)$", outcome.out, re.M)
    return open_bundle(bundle), line


@pytest.mark.parametrize("case", DATA)
def test_samples_of_one_class_give_a_plan_without_exits(case, tmp_path):
    make, samples = DATA[case]
    bundle, line = compiled(classifier(tmp_path), make(tmp_path), tmp_path, "--task", "classify")
    assert line == f"no early exits: one class only, in {samples}"
    # The precision follows the link all the same.
    policies = decode_policies(bundle.read("split.policy"))
    assert all(policy.exits is None and policy.memory is None for policy in policies.values())
    assert len(policies["default"].rungs) > 1
    found = bundle.manifest.plan["online"]["split"]
    assert (found["reason"], found["scores"], found["score"]) == (f"one class only, in {samples}", {}, None)


@pytest.mark.parametrize("case", ["20 rows of noise", "one video"])
def test_a_model_with_one_output_class_gives_a_plan(case, tmp_path):
    _, line = compiled(classifier(tmp_path, classes=1), DATA[case][0](tmp_path), tmp_path)
    assert line == "no early exits: outputs are judged, not a class that the device could answer with"


def test_classes_that_occur_once_give_a_plan(tmp_path):
    """A class shown once has no centre when that sample is left out: nothing may exit by it, and nothing crashes."""
    count = 5
    rows = np.zeros((count, 4), np.float32)
    rows[np.arange(4), np.arange(4)] = 8.0
    rows[4, 0] = 6.0  # the class of the first once more
    nodes = [op("Relu", "input", "r"), op("MatMul", "r k", "logits")]
    model = net(nodes, [info("input", (1, 4))], [info("logits", (1, 4))], [constant("k", np.eye(4, dtype=np.float32))])
    np.savez(tmp_path / "rows.npz", input=rows)
    for rows_used in (rows, rows[:4], rows[:2]):
        np.savez(tmp_path / "rows.npz", input=rows_used)
        outcome = coachc(
            "compile", save(model, tmp_path / "m.onnx"), "--device", "tx2", "--calib", tmp_path / "rows.npz",
            "--mode", "split", "-o", tmp_path / "out.coach", "--force",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert "no early exits" in outcome.out
        # With a budget that five samples can certify, thresholds are looked for too.
        outcome = coachc(
            "compile", tmp_path / "m.onnx", "--device", "tx2", "--calib", tmp_path / "rows.npz",
            "--mode", "split", "-o", tmp_path / "out.coach", "--force", "--budget", "0.9",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert re.search(r"^online ", outcome.out, re.M)


def test_each_cut_says_why_it_has_no_exits():
    nothing = {"reason": "it sends nothing"}
    alike = {"reason": "one class only, in 3 samples", "score": None, "scores": {}, "bits": [4], "memory": None}
    assert online_lines({"a": nothing, "b": alike}) == [
        "online    a: no early exits: it sends nothing",
        "online    b: no early exits: one class only, in 3 samples",
    ]
    assert online_lines({"a": alike}) == ["online    no early exits: one class only, in 3 samples"]
    assert online_lines({}) == []
