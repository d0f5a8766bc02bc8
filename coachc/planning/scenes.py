"""What boxes or masks a compilation judges: how outputs are read, and what is true of the samples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coachc.calib.dataset import Dataset
from coachc.calib.find_task import Judged, Reading
from coachc.calib.metric_judge import Metric
from coachc.calib.metrics.box_metric import BoxMetric
from coachc.calib.metrics.mask_metric import MaskMetric
from coachc.calib.metrics.user_metric import UserMetric
from coachc.calib.script import script_of
from coachc.calib.truths.annotations import annotations_of
from coachc.calib.user_code import UserFunction
from coachc.errors import DataError, UsageError
from coachc.frontend.model import Model
from coachc.runtime.bundle.feeds import Source
from coachc.runtime.bundle.image_source import ImageSource
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.read_outputs import size_of
from coachc.runtime.decode.decoder import Decoder, decoder_of
from coachc.runtime.decode.detections import Placement
from coachc.runtime.decode.known_heads import guess


@dataclass(frozen=True)
class Scenes:
    """What is judged of boxes or masks.

    Attributes
    ----------
    metric : Metric
    truths : sequence, or None
        Of each row of the samples; None: what the whole model finds.
    """

    metric: Metric
    truths: Sequence[Any] | None


def guessed_reading(model: Model, preprocess: Preprocess | None) -> Reading | None:
    """How the shapes of a model's outputs say that they are read."""
    shapes = {name: model.values[name].shape for name in model.outputs}
    dtypes = {name: model.values[name].dtype for name in model.outputs}
    found = guess(shapes, dtypes, input_size(model, preprocess))
    if found.spec is None or "classes" not in found.spec:
        return None
    return Reading(found.spec, found.reason)


def input_size(model: Model, preprocess: Preprocess | None) -> tuple[int, int]:
    """Height and width of the model's first input."""
    return preprocess.size if preprocess is not None else size_of(model.values[model.inputs[0]].shape)


def scenes_of(
    judged: Judged, model: Model, data: Dataset, preprocess: Preprocess | None, truth: str | None
) -> Scenes | None:
    """What is judged of boxes or masks; None for other tasks.

    Parameters
    ----------
    judged : Judged
    model : Model
    data : Dataset
    preprocess : Preprocess or None
    truth : str or None
        A COCO file for boxes, a folder of masks; None: what the whole model finds.

    Raises
    ------
    coachc.errors.CoachError, runtime.errors.BundleError
        How outputs are read does not go with the model; the truth cannot be read.
    """
    if not judged.decode:
        if truth is not None:
            raise UsageError(
                f"--truth {truth} is for boxes and masks", context=[f"found  task {judged.task}: {judged.reason}"],
                hint="--task detect or segment says that they are judged",
            )  # fmt: skip
        return None
    outputs = {name: model.values[name].shape for name in model.outputs}
    size = input_size(model, preprocess)
    return scenes_with(decoder_of(judged.decode, outputs, size), model.outputs, size, data.source, truth)


def scenes_with(
    decoder: Decoder, outputs: Sequence[str], size: tuple[int, int], source: Source | None, truth: str | None
) -> Scenes:
    """What is judged of what a decoder finds in a source's pictures; `truth` as `scenes_of` takes it."""
    truths = None if truth is None else _truths(decoder, source, truth)

    def placement(row: int) -> Placement | None:
        return None if truth is None or source is None else source.placement(row)

    if decoder.kind == "boxes":
        return Scenes(BoxMetric(decoder, outputs, placement), truths)
    return Scenes(MaskMetric(decoder, outputs, size, placement), truths)


def by_metric(
    metric: str, outputs: Sequence[str], source: Source | None, rows: int, others: Mapping[str, Any]
) -> tuple[Judged, Scenes]:
    """What a function of the user's judges.

    Parameters
    ----------
    metric : str
        "file.py:function".
    outputs : sequence of str
    source : Source or None
        Of the samples; the function gets the name of the first of a sample's `rows`.
    rows : int
    others : mapping of str to object
        Flags that say what is judged, too: at most `--task outputs` goes with it.

    Raises
    ------
    coachc.errors.CoachError
        There is no such function; others say something else.
    """
    found = script_of(metric)
    if found is None:
        raise UsageError(f"--metric {metric} is no function", hint="for example --metric metrics.py:score")
    said = [flag for flag, value in others.items() if value is not None and (flag, value) != ("--task", "outputs")]
    if said:
        raise UsageError(f"--metric and {', '.join(said)} exclude each other: both say what is judged")
    function = UserFunction(*found)
    judged = Judged("outputs", f"--metric {metric} says so", metric=function.name, sha256=function.sha256)

    def name_of(sample: int) -> str:
        return f"sample {sample}" if source is None else source.name_of(sample * rows)

    return judged, Scenes(UserMetric(function, outputs, name_of), None)


def _truths(decoder: Decoder, source: Source | None, truth: str) -> Sequence[Any]:
    if not isinstance(source, ImageSource) or source.frames is not None:
        raise DataError(f"--truth {truth} goes by the names of pictures", hint="give a folder of pictures as --calib")
    found = annotations_of(truth, decoder, source.folder, source.paths, source.preprocess.orientation)
    return [found[os.path.relpath(path, source.folder)] for path in source.paths]
