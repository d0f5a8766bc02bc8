"""What a model's outputs are judged as: found where model and samples leave no doubt, and said with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from coachc.errors import DataError
from coachc.runtime.bundle.classes import classes_of
from coachc.runtime.bundle.manifest_types import TASKS

#: Admissible loss where none is given: points of accuracy, and the share of an output's own scale.
BUDGETS = {"classify": 0.005, "outputs": 0.02}
#: Operators that make a distribution over classes, and those that leave it one.
_DISTRIBUTIONS = frozenset({"Softmax", "LogSoftmax"})
_VIEWS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class Judged:
    """A task, one of `runtime.bundle.manifest_types.TASKS`, and why it is that one, in words."""

    task: str
    reason: str


def find_task(
    asked: str | None, model: onnx.ModelProto, shapes: Sequence[Sequence[int]], first_input: Sequence[int], labels: bool
) -> Judged:
    """The task asked for, or the one that is certain.

    Parameters
    ----------
    asked : str or None
    model : onnx.ModelProto
    shapes : sequence of shapes
        Of the outputs.
    first_input : shape
    labels : bool
        Whether the samples have labels.

    Raises
    ------
    coachc.errors.DataError
        Classification is asked for, and the first output is no row of classes.
    """
    assert asked in (None, *TASKS)
    classes = classes_of(shapes[0], first_input)
    name = model.graph.output[0].name
    if asked == "classify" and classes is None:
        raise DataError(
            f"--task classify: output '{name}' is no row of classes for each sample",
            context=["expected  (rows, classes), with as many rows as the first input", f"found     {list(shapes[0])}"],
            hint="put the output with the classes first, or leave --task out: every output is judged then",
        )
    if asked is not None:
        return Judged(asked, "--task says so")
    if labels and classes is not None:
        return Judged("classify", f"the samples have labels, and the first output is {classes} numbers a row")
    if len(shapes) > 1:
        return Judged("outputs", f"there are {len(shapes)}" + (" and no labels" if not labels else ""))
    if classes is not None and _is_distribution(model, name):
        return Judged("classify", f"the only output is a Softmax over {classes} classes")
    if classes is not None:
        return Judged("outputs", f"no labels say that its {classes} numbers are classes (--task classify does)")
    return Judged("outputs", f"its shape {'x'.join(map(str, shapes[0])) or 'scalar'} is no row of classes")


def _is_distribution(model: onnx.ModelProto, name: str) -> bool:
    """Whether a value is a Softmax, seen through what only changes its form."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    while name in made_by and made_by[name].op_type in _VIEWS:
        name = made_by[name].input[0]
    return name in made_by and made_by[name].op_type in _DISTRIBUTIONS
