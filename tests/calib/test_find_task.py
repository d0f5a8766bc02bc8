"""What outputs are judged as, and why: every case and its sentence."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.find_task import BUDGETS, Reading, find_task
from coachc.errors import DataError
from coachc.runtime.bundle.manifest_types import TASKS
from tests.helpers.onnx_models import constant, info, net, op


def one_output(*nodes, shape=(1, 10)):
    """A model of nodes from "x" to "y"."""
    return net(nodes, [info("x", (1, 10))], [info("y", shape)])


LOGITS = one_output(op("Relu", "x", "y"))
SOFTMAX = one_output(op("Softmax", "x", "y"))
MAP = one_output(op("Relu", "x", "y"), shape=(1, 4, 8, 8))
SCALAR = one_output(op("ReduceMax", "x", "y", keepdims=0), shape=())
TWO = net([op("Softmax", "x", "y"), op("Neg", "x", "z")], [info("x", (1, 10))], [info("y", (1, 10)), info("z", (1, 4))])


def found(model, labels, asked=None, first_input=(1, 10)):
    shapes = [tuple(axis.dim_value for axis in output.type.tensor_type.shape.dim) for output in model.graph.output]
    judged = find_task(asked, model, shapes, first_input, labels)
    return judged.task, judged.reason


@pytest.mark.parametrize(
    ("model", "labels", "task", "reason"),
    [
        (LOGITS, True, "classify", "the samples have labels, and the first output is 10 numbers a row"),
        (TWO, True, "classify", "the samples have labels, and the first output is 10 numbers a row"),
        (TWO, False, "outputs", "there are 2 and no labels"),
        (SOFTMAX, False, "classify", "the only output is a Softmax over 10 classes"),
        (LOGITS, False, "outputs", "no labels say that its 10 numbers are classes (--task classify does)"),
        (MAP, False, "outputs", "its shape 1x4x8x8 is no row of classes"),
        (MAP, True, "outputs", "its shape 1x4x8x8 is no row of classes"),
        (SCALAR, True, "outputs", "its shape scalar is no row of classes"),
    ],
    ids=["labels", "labels, two", "two", "softmax", "logits", "map", "map, labels", "scalar"],
)  # fmt: skip
def test_what_is_certain(model, labels, task, reason):
    assert found(model, labels) == (task, reason)


def test_labels_do_not_make_maps_of_several_outputs_classes():
    two = net(
        [op("Relu", "x", "y"), op("Neg", "x", "z")], [info("x", (1, 10))], [info("y", (1, 4, 8, 8)), info("z", (1, 4))]
    )
    assert found(two, True) == ("outputs", "there are 2")


@pytest.mark.parametrize("distribution", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("views", [(), ("Flatten",), ("Identity", "Cast"), ("Squeeze", "Unsqueeze", "Identity")])
def test_a_distribution_is_seen_through_what_only_changes_its_form(distribution, views):
    names = [f"v{place}" for place in range(len(views))] + ["y"]
    nodes = [op(distribution, "x", names[0])]
    nodes += [op(view, before, after) for view, before, after in zip(views, names[:-1], names[1:], strict=True)]
    assert found(one_output(*nodes), False) == ("classify", "the only output is a Softmax over 10 classes")


def test_a_reshape_of_a_distribution_is_one():
    nodes = [op("Softmax", "x", "s"), op("Reshape", "s shape", "y")]
    model = net(nodes, [info("x", (1, 10))], [info("y", (1, 10))], [constant("shape", np.int64([1, 10]))])
    assert found(model, False)[0] == "classify"


@pytest.mark.parametrize(
    "nodes",
    [
        [op("Softmax", "x", "s"), op("Neg", "s", "y")],
        [op("Identity", "x", "y")],
        [op("Sigmoid", "x", "y")],
        [op("Softmax", "x", "s"), op("Mul", "s x", "y")],
    ],
    ids=["negated", "the input", "sigmoid", "attention"],
)
def test_what_is_done_to_a_distribution_makes_it_another_thing(nodes):
    assert found(one_output(*nodes), False)[0] == "outputs"


def test_rows_have_to_be_those_of_the_input():
    """8 rows for one picture are boxes, whatever is in them."""
    model = one_output(op("Softmax", "x", "y"), shape=(8, 10))
    assert found(model, True) == ("outputs", "its shape 8x10 is no row of classes")
    assert found(model, True, first_input=(8, 3))[0] == "classify"


@pytest.mark.parametrize("task", ["classify", "outputs"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("model", [LOGITS, SOFTMAX, TWO], ids=["logits", "softmax", "two"])
def test_what_is_asked_for_is_taken(task, labels, model):
    assert found(model, labels, asked=task) == (task, "--task says so")


def test_maps_are_judged_as_outputs_where_that_is_asked_for():
    assert found(MAP, True, asked="outputs") == ("outputs", "--task says so")


def test_classes_that_are_none():
    with pytest.raises(DataError) as caught:
        found(MAP, True, asked="classify")
    assert caught.value.message == "--task classify: output 'y' is no row of classes for each sample"
    assert tuple(caught.value.context) == (
        "expected  (rows, classes), with as many rows as the first input",
        "found     [1, 4, 8, 8]",
    )
    assert caught.value.hint == (
        "put the output with the classes first, or leave --task out: every output is judged then"
    )


BOXES = Reading({"kind": "boxes", "head": "yolov8", "outputs": ["y"]}, "a YOLOv8 head")
PLANES = Reading({"kind": "mask", "head": "argmax", "axis": 1, "outputs": ["y"]}, "planes of the picture's size")
INDICES = Reading({"kind": "mask", "head": "classes", "outputs": ["y"]}, "indices of the picture's size")


def read(model, asked=None, labels=False, **known):
    shapes = [tuple(axis.dim_value for axis in output.type.tensor_type.shape.dim) for output in model.graph.output]
    judged = find_task(asked, model, shapes, (1, 10), labels, **known)
    return judged.task, judged.reason, judged.decode


def maps(*nodes, opset=13):
    return net(nodes, [info("x", (1, 4, 8, 8))], [info("y", (1, 4, 8, 8))], opset=opset)


def test_a_known_head_is_read_as_what_it_is():
    assert read(MAP, guessed=BOXES) == ("detect", "a YOLOv8 head", BOXES.decode)
    assert read(MAP, guessed=INDICES)[0] == "segment"
    # Noise shows no boxes, labels of rows of classes say what they are, and what is asked for is done.
    assert read(MAP, guessed=BOXES, certain=False)[0] == "outputs"
    assert read(LOGITS, guessed=BOXES, labels=True)[0] == "classify"
    assert read(MAP, "outputs", guessed=BOXES) == ("outputs", "--task says so", {})


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (maps(op("Softmax", "x", "y", axis=1)), "segment"),
        (maps(op("Softmax", "x", "s", axis=-3), op("Identity", "s", "y")), "segment"),
        (maps(op("LogSoftmax", "x", "y", axis=1)), "segment"),
        # Features, another picture; along a row; of all channels and positions together.
        (maps(op("Relu", "x", "y")), "outputs"),
        (maps(op("Softmax", "x", "y")), "outputs"),
        (maps(op("Softmax", "x", "y", axis=1), opset=11), "outputs"),
    ],
)
def test_planes_are_masks_for_sure_where_they_are_a_distribution_over_classes(model, task):
    assert read(model, guessed=PLANES)[0] == task
    assert read(model, "segment", guessed=PLANES)[0] == "segment"


def test_what_the_user_says_comes_first():
    given = Reading(INDICES.decode, "--decode says so")
    assert read(MAP, given=given, guessed=BOXES) == ("segment", "--decode says so", INDICES.decode)
    assert read(MAP, "segment", given=given, guessed=BOXES)[0] == "segment"
    with pytest.raises(DataError, match="--task detect reads boxes") as caught:
        read(MAP, "detect", given=given)
    assert tuple(caught.value.context) == ("found  --decode says so: mask",)


@pytest.mark.parametrize(("task", "kind"), [("detect", "boxes"), ("segment", "mask")])
def test_an_unknown_head_has_to_be_told(task, kind):
    with pytest.raises(DataError, match=f"--task {task}: the outputs are of no form that is known") as caught:
        read(MAP, task)
    assert f'--decode FILE.toml, with kind "{kind}"' in caught.value.hint


def test_every_task_has_a_budget():
    assert set(BUDGETS) == set(TASKS)
