"""What the online policies of a cut are calibrated on: features and answers, no activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OnlineTrial:
    """One trial's samples at one cut.

    Attributes
    ----------
    features : ndarray of float32, shape (samples, D)
    answers : ndarray of int, shape (samples,)
        The whole model's.
    labels : ndarray of int, shape (samples,), or None
        The truth, for the paper's thresholds.
    units : ndarray of int, shape (samples,)
        The clip of each sample; itself where there are no clips.
    order : ndarray of int, shape (samples,)
        Position of each in the data.
    streams : bool
        Whether the order means anything: frames of clips.
    """

    features: np.ndarray
    answers: np.ndarray
    labels: np.ndarray | None
    units: np.ndarray
    order: np.ndarray
    streams: bool
