"""A model that takes pictures, and pictures for it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.bundles import save


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
