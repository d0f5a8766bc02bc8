"""What a cut is tried on: the calibration samples, and what counts as right on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from coachc.calib.accuracy import Judge
from coachc.calib.dataset import RANDOM, Dataset, Mixed
from coachc.frontend import ort

#: Above this top-1 on its labelled samples a model was trained on them, and its loss on them says little about others:
#: a CIFAR ResNet56 with 100 % of them right loses 0.2 points at 2 bits on them and 2.8 on unseen pictures.
KNOWN_ACCURACY = 0.99


@dataclass(frozen=True)
class Trial:
    """Samples and what counts as right on them.

    Attributes
    ----------
    data : Dataset or Mixed
    judge : Judge
    fingerprint : str
        Changes with the model's answers on the samples, so with the model and with the samples.
    """

    data: Dataset | Mixed
    judge: Judge
    fingerprint: str = ""


def trials_of(
    model: onnx.ModelProto, data: Dataset, *, advance: Callable[[int], None] = lambda done: None
) -> list[Trial]:
    """What a cut is tried on: the samples, and blends of them where the model knows the samples by heart.

    Parameters
    ----------
    model : onnx.ModelProto
        The whole model.
    data : Dataset
    advance : callable
        Samples done.
    """
    trials = [_trial(model, data, data.labels, noise=data.kind == RANDOM, advance=advance)]
    judge = trials[0].judge
    if judge.kind == "labels" and float(np.mean(judge.float_right)) > KNOWN_ACCURACY:
        trials.append(_trial(model, data.mixed(), data.labels, noise=False))
    return trials


def _trial(
    model: onnx.ModelProto,
    data: Dataset | Mixed,
    labels: np.ndarray | None,
    *,
    noise: bool,
    advance: Callable[[int], None] = lambda done: None,
) -> Trial:
    answers = hashlib.sha256()

    def hashed() -> Iterator[list[np.ndarray]]:
        for outputs in float_outputs(model, data, advance=advance):
            for array in outputs:
                answers.update(array.tobytes())
            yield outputs

    judge = Judge(hashed(), labels, noise=noise)
    return Trial(data, judge, answers.hexdigest())


def float_outputs(
    model: onnx.ModelProto, data: Dataset | Mixed, *, advance: Callable[[int], None] = lambda done: None
) -> Iterator[list[np.ndarray]]:
    """Outputs of the whole model for each sample."""
    session = ort.session(model, level="all")
    for done, feed in enumerate(data, 1):
        yield ort.run_sample(session, feed)
        advance(done)
