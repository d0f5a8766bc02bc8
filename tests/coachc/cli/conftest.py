"""A model that takes pictures, and pictures for it; and the digits network compiled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.bundles import save
from tests.helpers.commands import REPOSITORY, compile_json
from tests.helpers.made_once import made_once


@pytest.fixture
def picture_model(tmp_path):
    """Conv, pool and a linear layer on 3x8x8 pictures."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((4, 3, 3, 3)), "k": rng.standard_normal((4, 5))}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], name="conv", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "k"], ["logits"], name="linear"),
    ]
    graph = helper.make_graph(
        nodes,
        "picture",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return save(model, tmp_path / "picture.onnx")


@pytest.fixture
def picture_folder(tmp_path):
    """20 pictures of 12x16 noise in folders class0 to class4."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(5):
        (tmp_path / "images" / f"class{label}").mkdir(parents=True)
        for number in range(4):
            array = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(array).save(tmp_path / "images" / f"class{label}" / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture(scope="session")
def digits_on_a_tx2(tmp_path_factory):
    """A folder: digits.coach for a TX2 on 20 Mbit/s, report.json of its compilation, calib.npz, and test.npz apart."""

    def make(folder):
        from coachc.models.digits import write_data

        write_data(folder / "calib.npz", folder / "test.npz")
        model = REPOSITORY / "models" / "digits.onnx"
        report = compile_json(model, folder / "digits.coach", "--calib", folder / "calib.npz", "--mode", "split")
        (folder / "report.json").write_text(json.dumps(report))

    return made_once(tmp_path_factory, "digits_on_a_tx2", make)
