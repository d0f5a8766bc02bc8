"""Input shapes: who decides each axis, and every contradiction by name."""

from __future__ import annotations

import shlex

import pytest

from coachc.cli.flags.model_flags import parse_shapes
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
    with pytest.raises(ModelError, match="a graph input has sizes that the model leaves open") as caught:
        shaped({"x": ["N", 3, "H", None]})
    assert caught.value.context == ("'x' is 1 x 3 x H x ?: unknown in axes 2, 3",)
    assert caught.value.hint == "state them, sizes here are examples: --shape x:1x3x224x224"


def test_a_missing_rank_is_refused(shaped):
    with pytest.raises(ModelError, match="a graph input has sizes") as caught:
        shaped({"x": None})
    assert caught.value.context == ("'x' states no shape, not even a rank",)
    assert caught.value.hint.endswith(": --shape x:1x3x224x224")


def test_all_open_inputs_are_named_at_once_with_flags_to_paste(shaped):
    declared = {
        "pixels": ["N", 3, "H", "W"],
        "size": [2],
        "past key": ["N", 8, "past", 64],
        "ids": ["N", "steps"],
        "free": None,
    }
    with pytest.raises(ModelError, match="4 graph inputs have sizes that the model leaves open") as caught:
        shaped(declared, batch=2)
    assert [line.split("'")[1] for line in caught.value.context] == ["pixels", "past key", "ids", "free"]
    pasted = shlex.split(caught.value.hint.split(": ", 1)[1])
    assert pasted[::2] == ["--shape"] * 4
    shapes = parse_shapes(pasted[1::2])
    assert shapes["pixels"] == (2, 3, 224, 224)
    bound = shaped(declared, batch=2, input_shapes=shapes)
    assert bound == {**shapes, "size": (2,)}
    assert list(bound) == list(declared)


def test_the_file_states_the_batch(shaped):
    assert shaped({"x": [4, 3, 8, 8]}) == {"x": (4, 3, 8, 8)}
    assert shaped({"x": [4, 3, 8, 8]}, batch=4) == {"x": (4, 3, 8, 8)}


def test_state_inputs_keep_their_own_first_axis(shaped):
    declared = {"x": ["N", 5, 16], "h0": [2, "N", 8], "c0": [2, "N", 8], "mask": [6, 5]}
    assert shaped(declared) == {"x": (1, 5, 16), "h0": (2, 1, 8), "c0": (2, 1, 8), "mask": (6, 5)}
    assert shaped(declared, batch=3) == {"x": (3, 5, 16), "h0": (2, 3, 8), "c0": (2, 3, 8), "mask": (6, 5)}


def test_a_stated_axis_names_the_open_first_axis_of_another_input(shaped):
    declared = {"query": ["N", 3], "gallery": ["N", 4], "other": ["G", 4]}
    assert shaped(declared, input_shapes={"gallery": (5, 4)}) == {"query": (5, 3), "gallery": (5, 4), "other": (1, 4)}
    with pytest.raises(ModelError, match="axis 'N' has two sizes"):
        shaped(declared, batch=2, input_shapes={"gallery": (5, 4)})


@pytest.mark.parametrize(
    ("declared", "found"),
    [({"x": [4, 3]}, "4 ('x')"), ({"x": [4, 3], "size": [2], "h0": [2, 3]}, "4 ('x'), 2 ('h0')")],
)
def test_a_batch_that_no_input_can_have_is_refused(shaped, declared, found):
    with pytest.raises(ModelError, match="fixed in the model") as caught:
        shaped(declared, batch=3)
    assert caught.value.context == ("expected     3 (--batch)", f"found        {found}")
    assert "leave --batch out" in caught.value.hint


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
