"""Semantic centres of one stream: where the features of each label lie, and how that moves.

Two rules. `add_pseudo` is COACH Eq. 7 as printed: the running mean, fed by the label an exit gave itself.
`add_verified` takes only what the server has confirmed, forgets exponentially, weighs calibration by a capped count,
and freezes a centre that strays from where calibration saw it.
"""

from typing import NamedTuple

import numpy as np

from .feature import LEAST_LENGTH
from .scoring import Scorer

#: Weight that a centre's past has at most, in tasks: the centre follows changes of about this many tasks.
WEIGHT_CAP = 100.0
#: Least cosine between a centre and its calibration anchor; an update that would go below freezes the centre.
LEAST_ANCHOR_COSINE = 0.8
#: Least probability the model itself gives to a label that may move its centre.
LEAST_CONFIDENCE = 0.5


class Update(NamedTuple):
    """What an update did: "moved", "frozen" (just now or before), "unsure", or "unusable".

    The last where the feature or the centre it would make has no direction; Eq. 7 as printed takes zeros too.
    """

    what: str
    anchor_cosine: float


class Centres:
    """The centres of one stream; changed in place, since a copy of them for each task would cost more than the task.

    Parameters
    ----------
    scorer : Scorer
        Of kind separability or margin; its weights stay as they are and are the anchors.
    lengths : ndarray of float32, shape (labels,)
        Length of each centre at calibration.
    counts : ndarray of float, shape (labels,)
        Calibration samples behind each.

    Attributes
    ----------
    directions : ndarray of float32, shape (labels, D)
        Centres of length 1.
    frozen : ndarray of bool, shape (labels,)
    """

    def __init__(self, scorer: Scorer, lengths: np.ndarray, counts: np.ndarray) -> None:
        self._anchors = scorer.weights
        self._mean = scorer.mean
        self.directions = scorer.weights.copy()
        self._lengths = np.array(lengths, dtype=np.float32)
        self._counts = np.array(counts, dtype=np.float64)
        self.frozen = np.zeros(len(self._counts), dtype=bool)

    def add_pseudo(self, place: int, feature: np.ndarray) -> Update:
        """Eq. 7: T = (m T + F) / (m + 1) with every task of the label counted in m, whoever said so."""
        return self._move(place, feature, self._counts[place], guarded=False)

    def add_verified(self, place: int, feature: np.ndarray, confidence: float) -> Update:
        """The same with a task the server has answered, m capped at `WEIGHT_CAP`, within reach of the anchor."""
        if self.frozen[place]:
            return Update("frozen", self._anchor_cosine(place))
        if not confidence >= LEAST_CONFIDENCE:
            return Update("unsure", self._anchor_cosine(place))
        return self._move(place, feature, min(self._counts[place], WEIGHT_CAP), guarded=True)

    def vector(self, place: int) -> np.ndarray:
        """One centre, the scorer's mean taken away."""
        return self.directions[place] * self._lengths[place]

    def _move(self, place: int, feature: np.ndarray, weight: float, guarded: bool) -> Update:
        with np.errstate(over="ignore", invalid="ignore"):
            target = feature - self._mean
            moved = (np.float32(weight) * self.vector(place) + target) / np.float32(weight + 1)
            length = float(np.sqrt(np.dot(moved, moved)))
        if not LEAST_LENGTH <= length < np.inf or (guarded and not target.any()):
            return Update("unusable", self._anchor_cosine(place))
        direction = moved / np.float32(length)
        cosine = float(np.dot(direction, self._anchors[place]))
        if guarded and cosine < LEAST_ANCHOR_COSINE:
            self.frozen[place] = True
            self.directions[place] = self._anchors[place]
            return Update("frozen", cosine)
        self.directions[place] = direction
        self._lengths[place] = length
        self._counts[place] += 1
        return Update("moved", cosine)

    def _anchor_cosine(self, place: int) -> float:
        return float(np.dot(self.directions[place], self._anchors[place]))
