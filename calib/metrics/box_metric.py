"""Boxes as `calib.metric_judge` compares them: by the average precision in each picture, and by mAP of all together.

A picture is worth what its boxes are that are shown, so those that score enough for the decoder; mAP counts the others
too, as COCO does, down to `LEAST_SCORE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from coachc.calib.judges import Outputs
from coachc.calib.metrics.average_precision import average_precision, picture_ap
from coachc.calib.metrics.loss_resampling import resampled_loss_bound
from coachc.calib.metrics.matching import PictureMatches, match
from coachc.calib.truths.box_truth import BoxTruth, as_truth
from coachc.runtime.decode.decoder import Decoder
from coachc.runtime.decode.detections import Detections, Placement, in_source

LEAST_SCORE = 0.01
#: The whole model's boxes from here on are the truth where nothing else is, or from the decoder's score on, if higher.
TRUE_SCORE = 0.5


class BoxMetric:
    """Compares boxes.

    Parameters
    ----------
    decoder : Decoder
    names : sequence of str
        Of the outputs.
    placement : callable
        Row of all samples -> where its picture lies in the model's input, for truths in the picture's pixels; None
        where truths are in the input's.
    """

    task = "detect"

    def __init__(self, decoder: Decoder, names: Sequence[str], placement: Callable[[int], Placement | None]) -> None:
        self._decoder, self._names, self._placement = decoder, tuple(names), placement

    def find(self, outputs: Outputs) -> Sequence[Detections]:
        """Boxes of each row, in the model's input."""
        found = dict(zip(self._names, outputs, strict=True))
        return self._decoder.decode(found, min(LEAST_SCORE, self._decoder.score))

    def truth_of(self, found: Detections) -> BoxTruth:
        """Those that the whole model is sure of."""
        return as_truth(found, max(TRUE_SCORE, self._decoder.score))

    def compare(self, found: Detections, truth: BoxTruth, row: int) -> PictureMatches:
        """What matches."""
        placement = self._placement(row)
        return match(found if placement is None else in_source(found, placement), truth)

    def score(self, compared: PictureMatches) -> float:
        """Average precision in the picture, of the boxes that score enough."""
        return picture_ap(_above(compared, self._decoder.score))

    def figures(self, compared: Sequence[PictureMatches]) -> Mapping[str, float]:
        """mAP 0.50:0.95 and mAP50; 1 where nothing is there to be found."""
        found = average_precision(compared)
        return {"mAP": _or_all(found.mean), "mAP50": _or_all(found.at50)}

    def lost_together(
        self, whole: Sequence[Sequence[Any]], split: Sequence[Sequence[Any]], units: np.ndarray, level: float
    ) -> float | None:
        """Upper bound of what the mAP loses, by resampling units."""
        rows = [len(some) for some in whole]
        of_whole, of_split = ([row for some in answers for row in some] for answers in (whole, split))
        return resampled_loss_bound(of_whole, of_split, np.repeat(units, rows), level, 0).mean.bound


def _above(matches: PictureMatches, score: float) -> PictureMatches:
    """Without detections below a score: what matches the others does not change, since the best are matched first."""
    kept = matches.scores > score
    return matches._replace(
        classes=matches.classes[kept],
        scores=matches.scores[kept],
        matched=matches.matched[:, kept],
        ignored=matches.ignored[:, kept],
    )


def _or_all(precision: float) -> float:
    return 1.0 if np.isnan(precision) else precision
