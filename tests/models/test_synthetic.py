"""The small graphs have the shapes their names promise; the light models' output depends on the image."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from coachc.models import synthetic

GRAPHS = {
    "chain": synthetic.chain,
    "diamond": synthetic.diamond,
    "residual": synthetic.residual,
    "inception": synthetic.inception,
    "dense": synthetic.dense,
    "nested": synthetic.nested,
    "two_inputs": synthetic.two_inputs,
    "two_outputs": synthetic.two_outputs,
}

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LIGHT_NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


def readers(model):
    """How many nodes read each value."""
    return Counter(name for node in model.graph.node for name in node.input)


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_valid_at_every_opset(name, opset):
    model = GRAPHS[name](opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [opset]
    assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("name", GRAPHS)
def test_every_output_depends_on_every_input(name):
    import onnxruntime

    session = onnxruntime.InferenceSession(GRAPHS[name]().SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feed = {i.name: random.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()}
    before = session.run(None, feed)
    for changed in feed:
        after = session.run(None, {**feed, changed: random.standard_normal(synthetic.SHAPE, dtype=np.float32)})
        for old, new in zip(before, after, strict=True):
            assert new.shape == (1, synthetic.CLASSES)
            assert np.isfinite(new).all()
            assert np.abs(new - old).max() > 0.01


def test_same_seed_same_bytes():
    assert synthetic.nested().SerializeToString() == synthetic.nested().SerializeToString()
    assert synthetic.nested().SerializeToString() != synthetic.nested(seed=1).SerializeToString()


def test_a_chain_has_as_many_convolutions_as_asked_and_no_branch():
    model = synthetic.chain(6)
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 6
    assert set(readers(model).values()) == {1}


@pytest.mark.parametrize(
    ("name", "branch_points"),
    [("diamond", [2]), ("residual", [2, 2]), ("inception", [4, 4]), ("dense", [2, 2, 2]), ("nested", [2, 2])],
)
def test_branches(name, branch_points):
    counts = readers(GRAPHS[name]())
    assert [count for count in counts.values() if count > 1] == branch_points


def test_inputs_and_outputs_by_name():
    def names(values):
        return [value.name for value in values]

    assert names(synthetic.two_inputs().graph.input) == ["left", "right"]
    assert names(synthetic.two_outputs().graph.output) == ["early", "logits"]
    assert names(synthetic.chain().graph.input) == ["input"]


def test_the_onnx_package_has_the_nine_light_models():
    assert sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx")) == list(LIGHT_NAMES)


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("name", LIGHT_NAMES)
def test_light_models_answer_each_image_differently(tmp_path, name):
    import onnxruntime

    path = tmp_path / "model.onnx"
    model = synthetic.light_with_weights(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    assert not any(node.op_type == "ConstantOfShape" for node in graph.node)
    stored = {tensor.name for tensor in graph.initializer}
    assert stored <= set(readers(model))
    assert [value.name for value in graph.input if value.name in stored] == []
    assert len(graph.input) == 1
    onnx.save(model, path)
    input_name = graph.input[0].name
    # VGG-19 is 575 MB: by path, and without this copy.
    del model, graph
    onnx.checker.check_model(path, full_check=True)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    images = [random.standard_normal((1, 3, 224, 224), dtype=np.float32) for _ in range(2)]
    first, second = (session.run(None, {input_name: image})[0].ravel() for image in images)
    path.unlink()
    assert first.shape == (1000,)
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()
    if name != "densenet121":  # The only one that ends without a softmax.
        assert first.sum() == pytest.approx(1, abs=1e-4)
        assert 1.5e-3 < first.max() < 0.6
    assert first.std() > 0


def test_light_weights_follow_the_seed():
    def built(seed):
        return synthetic.light_with_weights(LIGHT / "light_squeezenet.onnx", seed).SerializeToString()

    assert built(0) == built(0)
    assert built(0) != built(1)
