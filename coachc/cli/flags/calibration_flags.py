"""Flags for calibration data, how it is read and what it may cost, and the recipe that speaks where they do not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Self

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.cli.flags.image_flags import ImageFlags, preprocess_of
from coachc.cli.options import one_of, parse_fraction
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.calib.find_task import Reading
    from coachc.frontend.model import Model
    from coachc.runtime.bundle.manifest_types import Preprocess


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationFlags(FlagGroup):
    """Samples, what is judged of them and what may be lost, the image flags, `--recipe` and `--preview`."""

    calib: Annotated[
        str | None,
        typer.Option(
            help="Calibration data: a folder of images, a .npz of preprocessed arrays named after the model's inputs "
            "(and labels), data.py:load for a function of yours that gives samples, or `random` for noise, which "
            "stamps the bundle UNCALIBRATED."
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            help="What is judged: classify (the first output is a row of classes), detect (boxes), segment (masks) or "
            "outputs (each in its own scale). Default: what model and labels leave no doubt about, else outputs."
        ),
    ] = None
    decode: Annotated[
        str | None,
        typer.Option(metavar="FILE.toml", help="How outputs are read as boxes or masks. Default: as their shapes say."),
    ] = None
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json|DIR",
            help="Annotations of the pictures: a COCO file for boxes, a folder of PNG masks. Default: what the whole "
            "model finds.",
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Judge by a function of yours: (outputs, the whole model's, sample's name) -> score from 0 to 1.",
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            help="What may be lost, in percent (0.5%) or as a fraction (0.005): of answers, boxes and masks, default "
            "0.5%; of outputs, in their own scale, default 2%."
        ),
    ] = None
    samples: Annotated[
        int,
        typer.Option(help="Use at most this many calibration samples, of labelled ones each class its share.", min=1),
    ] = 2000
    images: ImageFlags = ImageFlags()  # noqa: RUF009  (frozen)
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.toml", help="Calibration data and how it is read, from a file; flags given here win over it."
        ),
    ] = None
    preview: Annotated[
        str | None,
        typer.Option(metavar="FILE.png", help="Draw the first 16 calibration samples as the model gets them."),
    ] = None

    def with_recipe(self) -> Self:
        """These flags where they were given, then what the recipe says, then the defaults.

        Raises
        ------
        UsageError
            The recipe cannot be read.
        """
        from coachc.cli.recipe_file import recipe_flags

        if self.recipe is None:
            return self
        said = {name: value for name, value in recipe_flags(self.recipe).items() if name not in self.given}
        of_images = {field.name for field in dataclasses.fields(self.images)} & set(said)
        images = dataclasses.replace(self.images, **{name: said.pop(name) for name in sorted(of_images)})
        return dataclasses.replace(self, images=images, **said)

    @property
    def budget_share(self) -> float | None:
        """The budget as a fraction, None where none is given; UsageError if it is none."""
        return None if self.budget is None else parse_fraction(self.budget, "--budget")

    @property
    def known_task(self) -> str | None:
        """The task; UsageError if there is none of that name."""
        from coachc.runtime.bundle.manifest_types import TASKS

        return None if self.task is None else one_of(self.task, "--task", TASKS)

    @property
    def reading(self) -> Reading | None:
        """How the user says that outputs are read; FileError or UsageError if the file does not say it."""
        from coachc.cli.decode_file import reading_of

        return None if self.decode is None else reading_of(self.decode)

    def preprocess_of(self, model: Model) -> Preprocess | None:
        """How images become the input; None for arrays, unless a flag says otherwise.

        Arrays say nothing about images; unless the flags do, a bundle must not pretend to know.

        Raises
        ------
        UsageError
            The flags do not suit the model, or there is no picture to preview.
        """
        import os

        from coachc.calib.input_overview import channel_axis
        from coachc.runtime.bundle.image_folder import is_video

        first = model.values[model.inputs[0]]
        if self.preview is not None and channel_axis(first.shape) is None:
            raise UsageError(f"--preview shows pictures, and input '{first.name}' of shape {first.shape} is none")
        if self.calib is None:
            return None
        if not (os.path.isdir(self.calib) or is_video(self.calib) or self.images != ImageFlags()):
            return None
        try:
            return preprocess_of(model, self.images)
        except UsageError as exc:
            if self.recipe is None:
                raise
            raise UsageError(exc.message, context=[*exc.context, f"recipe  {self.recipe}"], hint=exc.hint) from exc
