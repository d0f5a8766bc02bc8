"""What a compilation says of accuracy: what is judged, what is lost of it, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coachc.core.plan import Accuracy

_JUDGED = {
    "classify": "the first output's class",
    "outputs": "every output in its own scale",
    "segment": "masks, by the mean IoU of each picture",
    "detect": "boxes, by the average precision in each picture",
    "metric": "every sample's score",
}
_MEASURES = {
    "labels": "top-1 against the labels",
    "agreement": "same top-1 class as the whole model",
    "random": "on noise, which says nothing about real samples",
}
#: What boxes and masks are compared with.
_TRUTHS = {
    "labels": "against the truth given",
    "agreement": "against what the whole model finds",
    "metric": "as it scores",
}


def accuracy_lines(accuracy: Mapping[str, Any] | None, judged: Mapping[str, Any] | None) -> list[str]:
    """What is judged and why, and what the plan loses of it.

    Parameters
    ----------
    accuracy, judged : mapping or None
        As `planning.summary` makes them.
    """
    if accuracy is None or judged is None:
        return ["accuracy  not measured"]
    task = "metric" if judged["metric"] else judged["task"]
    lines = [f"judged    {_JUDGED[task]}: {judged['reason']}"]
    budget = loss_text(judged["budget"], task)
    samples = f"{accuracy['samples']:,} samples"
    if task != "outputs":
        measures = _MEASURES if task == "classify" else _MEASURES | _TRUTHS
        measured = (
            f"whole model {accuracy['float']:.2%}, split {accuracy['split']:.2%} of {samples} "
            f"({measures[accuracy['kind']]})"
        )
    else:
        worst = f", '{accuracy['worst_output']}' most" if accuracy["worst_output"] else ""
        measured = f"{accuracy['loss']:.2%} lost of {samples} in the mean{worst}"
        if accuracy["kind"] == "random":
            measured += f" ({_MEASURES['random']})"
    if accuracy["certified"] and accuracy["kept_back"]:
        clips = f", in clips of up to {accuracy['longest_clip']} frames" if accuracy["longest_clip"] > 1 else ""
        promise = (
            f"loses at most {loss_text(accuracy['loss_bound_95'], task)} (95 % sure, "
            f"{accuracy['kept_back']:,} of your samples{clips} kept back for this; budget {budget})"
        )
    elif accuracy["certified"]:
        promise = "loses nothing: it sends its tensors as they are, or none"
    else:
        promise = f"not certified within the budget of {budget}"
    lines.append(f"accuracy  {promise}; {measured}")
    if accuracy["figures"]:
        lines.append("          " + _figures_text(accuracy))
    if judged["yardsticks"]:
        lines.append("          for comparison: " + ", ".join(map(_yardstick_text, judged["yardsticks"].items())))
    return lines


def loss_text(loss: float, task: str) -> str:
    """A loss of accuracy in points, or of outputs in percent of their scale."""
    return f"{loss:.2%}" if task == "outputs" else f"{100 * loss:.2f} points"


def _figures_text(accuracy: Mapping[str, Any]) -> str:
    """What is said of the samples together, and what the first of it may lose."""
    figures = accuracy["figures"].items()
    said = ", ".join(
        f"{name} {100 * found['whole']:.2f} whole, {100 * found['split']:.2f} split" for name, found in figures
    )
    if accuracy["resampled_bound_95"] is None:
        return said
    bound = f"the {next(iter(accuracy['figures']))} loses at most {100 * accuracy['resampled_bound_95']:.2f} points"
    return f"{said}; {bound} (95 %, by resampling them, which is no proof)"


def _yardstick_text(yardstick: tuple[str, float | str]) -> str:
    """What 8 bits, or the whole model in float16, lose."""
    name, lost = yardstick
    what = {"8 bits": "8 bits at this cut", "float16": "the whole model in float16"}[name]
    return f"{what} not measured ({lost})" if isinstance(lost, str) else f"{what} loses {lost:.2%}"


def unproven_text(accuracy: Accuracy, budget: float) -> str:
    """Why a loss is not certified, and how many samples would do."""
    known = f"the measured loss is {accuracy.loss:.2%} of {accuracy.samples:,} samples"
    if accuracy.loss_bound is not None:
        known += f", and those kept back leave room for up to {accuracy.loss_bound:.2%}"
    if accuracy.needed is None:
        return f"accuracy not certified: {known} (budget {budget:.2%}); no number of samples like these would do"
    clips = f" in clips of up to {accuracy.clip}" if accuracy.clip > 1 else ""
    return f"accuracy not certified: {known} (budget {budget:.2%}); about {accuracy.needed:,} samples{clips} would do"
