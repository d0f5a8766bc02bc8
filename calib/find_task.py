"""What a model's outputs are judged as: found where model and samples leave no doubt, and said with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from coachc.errors import DataError
from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.runtime.bundle.classes import classes_of
from coachc.runtime.bundle.manifest_checks import DECODED
from coachc.runtime.bundle.manifest_types import TASKS

#: Admissible loss where none is given: points of accuracy or of another score, and the share of an output's own scale.
METRIC_BUDGET = 0.005
BUDGETS = {"classify": 0.005, "outputs": 0.02, "segment": 0.005, "detect": 0.005}
#: Operators that make a distribution over classes, and those that leave it one.
_DISTRIBUTIONS = frozenset({"Softmax", "LogSoftmax"})
_VIEWS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class Judged:
    """What is judged and why.

    Attributes
    ----------
    task : str
        One of `runtime.bundle.manifest_types.TASKS`.
    reason : str
        In words.
    decode : mapping
        How outputs are read as boxes or masks (`runtime.decode.decode_spec`); empty for other tasks.
    metric : str
        The function that scores samples, "file.py:function", and its file's sha256; empty where none does.
    sha256 : str
    """

    task: str
    reason: str
    decode: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read outputs as boxes or masks, and where it comes from, in words."""

    decode: Mapping[str, Any]
    reason: str

    @property
    def task(self) -> str:
        """What such outputs are judged as."""
        return next(task for task, kind in DECODED.items() if kind == self.decode["kind"])


def find_task(
    asked: str | None,
    model: onnx.ModelProto,
    shapes: Sequence[Sequence[int]],
    first_input: Sequence[int],
    labels: bool,
    *,
    given: Reading | None = None,
    guessed: Reading | None = None,
    certain: bool = True,
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
    given, guessed : Reading or None
        How the user says that boxes or masks are read; how the shapes of the outputs say it.
    certain : bool
        Whether what is guessed is taken without being asked for: not on noise.

    Raises
    ------
    coachc.errors.DataError
        Classification is asked for, and the first output is no row of classes; boxes or masks are, and nobody knows
        how they are read.
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
    if asked in DECODED or (asked is None and given is not None):
        return _read_as(asked, given, guessed)
    if asked is not None:
        return Judged(asked, "--task says so")
    if labels and classes is not None:
        return Judged("classify", f"the samples have labels, and the first output is {classes} numbers a row")
    if guessed is not None and certain and (guessed.decode["kind"] == "boxes" or _is_certain_mask(model, guessed)):
        return Judged(guessed.task, guessed.reason, guessed.decode)
    if len(shapes) > 1:
        return Judged("outputs", f"there are {len(shapes)}" + (" and no labels" if not labels else ""))
    if classes is not None and _is_distribution(model, name):
        return Judged("classify", f"the only output is a Softmax over {classes} classes")
    if classes is not None:
        return Judged("outputs", f"no labels say that its {classes} numbers are classes (--task classify does)")
    return Judged("outputs", f"its shape {'x'.join(map(str, shapes[0])) or 'scalar'} is no row of classes")


def _read_as(asked: str | None, given: Reading | None, guessed: Reading | None) -> Judged:
    """Boxes or masks, as they are asked for."""
    reading = given if given is not None else guessed
    if reading is None:
        raise DataError(
            f"--task {asked}: the outputs are of no form that is known without being told",
            hint=f'say how they are read: --decode FILE.toml, with kind "{DECODED[asked or ""]}" and a head',
        )
    if asked is not None and asked != reading.task:
        raise DataError(
            f"--task {asked} reads {DECODED[asked]}",
            context=[f"found  {reading.reason}: {reading.decode['kind']}"],
            hint="give --decode for the other, or leave --task out",
        )
    return Judged(reading.task, reading.reason, reading.decode)


def _is_certain_mask(model: onnx.ModelProto, guessed: Reading) -> bool:
    """Whether planes of the picture's size are classes for sure: indices, or a distribution over them.

    As many planes of numbers could be another picture, or features.
    """
    if guessed.decode["head"] == "classes":
        return True
    made = _maker(model, guessed.decode["outputs"][0], frozenset({"Cast", "Identity"}))
    axis = guessed.decode.get("axis", 1)
    # Before opset 13 a Softmax was of all axes from its own on.
    return (
        made is not None
        and made.op_type in _DISTRIBUTIONS
        and opset_of(model) >= 13
        and walk.attribute(made, "axis", -1) in (axis, axis - 4)
    )


def _is_distribution(model: onnx.ModelProto, name: str) -> bool:
    """Whether a value is a Softmax, seen through what only changes its form."""
    made = _maker(model, name, _VIEWS)
    return made is not None and made.op_type in _DISTRIBUTIONS


def _maker(model: onnx.ModelProto, name: str, views: frozenset[str]) -> onnx.NodeProto | None:
    """The node that makes a value, behind those that only change its form."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    while name in made_by and made_by[name].op_type in views:
        name = made_by[name].input[0]
    return made_by.get(name)
