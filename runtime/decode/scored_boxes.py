"""From scores of many boxes to the few that are findings: threshold, best candidates, suppression."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import decode_spec as d
from .detections import Detections
from .nms import suppress

Shape = Tuple[int, ...]


class Scored(NamedTuple):
    """What a head makes of one picture.

    Attributes
    ----------
    scores : ndarray of float32, shape (n, C), or (n,) with `labels`
    boxes : function of indices, shape (k,), to ndarray of float32, shape (k, 4)
        x1, y1, x2, y2 in pixels of the input; called for what scores enough, which is little of everything.
    labels : ndarray of integers, shape (n,), optional
        The class of each, where the model itself has chosen one.
    """

    scores: np.ndarray
    boxes: Callable[[np.ndarray], np.ndarray]
    labels: Optional[np.ndarray] = None


class Named(NamedTuple):
    """What a head is made for: its outputs' names and shapes, how many classes, the input's height and width."""

    names: Tuple[str, ...]
    shapes: Tuple[Shape, ...]
    classes: int
    input_size: Tuple[int, int]


#: Output arrays in the spec's order, float32 but for whole numbers, to one `Scored` a picture.
Rows = Callable[[Sequence[np.ndarray]], List[Scored]]


class Head(NamedTuple):
    """A head's own keys, and what makes a function of them, or raises BundleError."""

    keys: Mapping[str, d.Key]
    build: Callable[[Dict[str, Any], Named], Rows]
    iou: Optional[float] = 0.45


class Rules(NamedTuple):
    """The keys of all box heads: see `decode_spec`."""

    score: float
    iou: Optional[float]
    most: int
    candidates: int
    by_class: bool
    labels: str


def rule_keys(iou: Optional[float]) -> Dict[str, d.Key]:
    """Keys of `Rules`, with a head's own default of `iou`."""
    return {
        "score": d.Key(d.NUMBER, 0.25, "scores are mostly from 0 to 1"),
        "iou": d.Key(d.optional(d.SHARE), iou, "the share of overlap from which on a box goes; null: none goes"),
        "most": d.Key(d.COUNT, 300),
        "candidates": d.Key(d.COUNT, 30000),
        "by_class": d.Key(d.BOOL, True),
        "labels": d.Key(d.one_of("best", "all"), "best"),
    }


def findings(scored: Scored, rules: Rules) -> Detections:
    """What of one picture's boxes is found: whatever is not finite in score or box is not."""
    rows, labels, scores = _over(scored, rules)
    order = np.argsort(-scores, kind="stable")
    rows, labels, scores = rows[order], labels[order], scores[order]
    # A box that counts for several classes is made once.
    distinct, place = np.unique(rows, return_inverse=True)
    boxes = scored.boxes(distinct).astype(np.float32).reshape(-1, 4)
    finite = np.logical_and.reduce(np.isfinite(boxes), axis=1)
    chosen = np.flatnonzero(finite[place])[: rules.candidates]
    boxes, labels, scores = boxes[place[chosen]], labels[chosen], scores[chosen]
    if rules.iou is None:
        kept = np.arange(min(len(scores), rules.most))
    else:
        kept = suppress(boxes, scores, labels, rules.iou, rules.most, rules.by_class)
    return Detections(boxes[kept], scores[kept].astype(np.float32), labels[kept].astype(np.int32))


def _over(scored: Scored, rules: Rules) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, class and score of everything that scores more than the threshold."""
    scores = scored.scores
    if scored.labels is None and rules.labels == "all":
        rows, labels = np.nonzero((scores > rules.score) & np.isfinite(scores))
        return rows, labels, scores[rows, labels]
    labels = scores.argmax(axis=1) if scored.labels is None else scored.labels
    best = scores if scored.labels is not None else scores[np.arange(len(scores)), labels]
    rows = np.flatnonzero((best > rules.score) & np.isfinite(best))
    return rows, labels[rows], best[rows]
