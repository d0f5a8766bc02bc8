"""Masks as `calib.metric_judge` compares them: by the mean IoU in each picture, and by that of all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from coachc.calib.judges import Outputs
from coachc.calib.metrics.overlap import confusion, iou_of
from coachc.runtime.decode.decoder import Decoder
from coachc.runtime.decode.detections import Placement, mask_in_source


class Overlap(NamedTuple):
    """Pixels of one picture by class: of both, of the truth, of the answer; int64, shape (classes + 1,) each."""

    both: np.ndarray
    truth: np.ndarray
    answer: np.ndarray


class MaskMetric:
    """Compares masks.

    Parameters
    ----------
    decoder : Decoder
    names : sequence of str
        Of the outputs.
    input_size : tuple of int
        Height and width of the model's input.
    placement : callable
        As `BoxMetric` takes it.
    """

    task = "segment"

    def __init__(
        self,
        decoder: Decoder,
        names: Sequence[str],
        input_size: tuple[int, int],
        placement: Callable[[int], Placement | None],
    ) -> None:
        self._decoder, self._names, self._input_size, self._placement = decoder, tuple(names), input_size, placement

    def find(self, outputs: Outputs) -> Sequence[np.ndarray]:
        """The mask of each row, of the model's input."""
        return self._decoder.decode(dict(zip(self._names, outputs, strict=True)))

    def truth_of(self, found: np.ndarray) -> np.ndarray:
        """The whole model's mask."""
        return found

    def compare(self, found: np.ndarray, truth: Any, row: int) -> Overlap:
        """Pixels in common; a truth may be a function that reads it."""
        placement = self._placement(row)
        answer = found if placement is None else mask_in_source(found, placement, self._input_size)
        classes = len(self._decoder.classes)
        # What is no class at all is one more, which is never there.
        counts = confusion(truth() if callable(truth) else truth, np.minimum(answer, classes), classes + 1)
        return Overlap(np.diagonal(counts).copy(), counts.sum(axis=1), counts.sum(axis=0))

    def score(self, compared: Overlap) -> float:
        """Mean over the classes of the picture of intersection by union; 1 where no pixel is judged."""
        return _mean_iou(compared)

    def figures(self, compared: Sequence[Overlap]) -> Mapping[str, float]:
        """Mean IoU of all pixels of all pictures, and the share of pixels that are right."""
        total = Overlap(*(np.sum(part, axis=0) for part in zip(*compared, strict=True)))
        pixels = total.truth.sum()
        return {"mIoU": _mean_iou(total), "pixels": float(total.both.sum() / pixels) if pixels else 1.0}

    def lost_together(
        self, whole: Sequence[Sequence[Any]], split: Sequence[Sequence[Any]], units: np.ndarray, level: float
    ) -> float | None:
        """Nothing: what is promised is the mean over pictures, which the mIoU of all of them is near."""
        return None


def _mean_iou(counts: Overlap) -> float:
    """1 where no pixel is judged."""
    found = iou_of(*counts)
    known = ~np.isnan(found)
    return float(found[known].mean()) if known.any() else 1.0
