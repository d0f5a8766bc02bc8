"""Input shapes: who decides each axis, and every contradiction by name."""

from __future__ import annotations

import pytest

from coachc.errors import ModelError
from coachc.frontend.shapes import bind_inputs, static_shape


@pytest.fixture
def shaped(onnxes):
    """A model whose inputs have these declared shapes, bound; returns the resulting shapes."""

    def bind(declared, **options):
        inputs = [onnxes.value(name, shape) for name, shape in declared.items()]
        nodes = [onnxes.node("Relu", [name], [f"{name}_out"]) for name in declared]
        net = onnxes.model(nodes, inputs, [f"{name}_out" for name in declared])
        bound = bind_inputs(net, **options)
        assert net.graph.input[0] == inputs[0], "the argument was changed"
        return {value.name: static_shape(value) for value in bound.graph.input}

    return bind


@pytest.mark.parametrize("first", ["N", None, -1, 0, 2])
def test_the_first_axis_is_the_batch(shaped, first):
    assert shaped({"x": [first, 3, 4, 4]}, batch=2) == {"x": (2, 3, 4, 4)}


def test_vectors_and_scalars_have_no_batch(shaped):
    declared = {"x": ["N", 3], "size": [2], "scale": []}
    assert shaped(declared, batch=4) == {"x": (4, 3), "size": (2,), "scale": ()}


def test_stated_shapes_fill_open_axes(shaped):
    declared = {"x": ["N", 3, "H", None], "free": None}
    stated = {"x": (2, 3, 32, 64), "free": (5, 6)}
    assert shaped(declared, input_shapes=stated) == stated


def test_a_stated_shape_may_confirm_a_fixed_batch(shaped):
    assert shaped({"x": [4, 3]}, input_shapes={"x": (4, 3)}) == {"x": (4, 3)}


def test_axes_of_one_name_agree(shaped):
    declared = {"mask": ["N", "H"], "x": ["N", 3, "H"]}
    assert shaped(declared, input_shapes={"x": (1, 3, 9)}) == {"mask": (1, 9), "x": (1, 3, 9)}
    with pytest.raises(ModelError, match="axis 'H' has two sizes") as caught:
        shaped(declared, input_shapes={"x": (1, 3, 9), "mask": (1, 8)})
    assert caught.value.context == ("expected     8 (axis 1 of 'mask')", "found        9 (axis 2 of 'x')")


def test_open_axes_are_refused(shaped):
    with pytest.raises(ModelError, match="graph input 'x' has unknown sizes in axes 2, 3") as caught:
        shaped({"x": ["N", 3, "H", None]})
    assert caught.value.context == ("found        1 x 3 x H x ?",)
    assert caught.value.hint == "state them: --shape x:1x3x224x224"


def test_a_missing_rank_is_refused(shaped):
    with pytest.raises(ModelError, match="graph input 'x' states no shape, not even a rank") as caught:
        shaped({"x": None})
    assert caught.value.hint == "state it: --shape x:1x3x224x224"


def test_a_fixed_batch_is_refused(shaped):
    with pytest.raises(ModelError, match="the batch of input 'x' is fixed in the model") as caught:
        shaped({"x": [4, 3]})
    assert caught.value.context == ("expected     1 (--batch)", "found        4")
    assert "use --batch 4" in caught.value.hint


@pytest.mark.parametrize("stated", [(1, 4, 5), (1, 3), (1, 3, 5, 5)])
def test_a_contradicting_shape_is_refused(shaped, stated):
    with pytest.raises(ModelError, match="--shape of input 'x' contradicts the model") as caught:
        shaped({"x": ["N", 3, "W"]}, input_shapes={"x": stated})
    assert caught.value.context == ("expected     N x 3 x W", f"found        {' x '.join(map(str, stated))}")


def test_an_unknown_name_is_refused(shaped):
    with pytest.raises(ModelError, match="--shape names 'z', which is no input of the model") as caught:
        shaped({"x": [1, 3], "y": [1, 3]}, input_shapes={"z": (1, 3)})
    assert caught.value.context == ("inputs       x, y",)


def test_sizes_below_one_are_refused(shaped):
    with pytest.raises(ModelError, match="batch must be at least 1"):
        shaped({"x": ["N", 3]}, batch=0)
    with pytest.raises(ModelError, match="the shape of 'x' must be at least 1 in every axis"):
        shaped({"x": ["N", 3]}, input_shapes={"x": (1, -3)})
