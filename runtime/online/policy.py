"""What was decided at compile time about one cut's online behaviour, as values; `policy_file` writes and reads them."""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from .precision import Rung
from .scoring import Scorer

POLICIES = ("none", "paper", "default")
PREFERENCES = ("accuracy", "bytes")
#: Share of would-be exits that go through the server all the same, and while a test is suspicious.
AUDIT_SHARE = 0.02
SUSPICIOUS_AUDIT_SHARE = 0.5


class ExitRule(NamedTuple):
    """When a task ends on the device by its score.

    Attributes
    ----------
    scorer : Scorer
    thresholds : tuple of float
        The calibrated one, then higher ones to climb to when answers drift; after the last there are no exits.
    wrong_share : float
        Largest share of exits that may differ from the server's answer, by calibration.
    band : float
        Tasks with a score from here to the threshold, which are not exits, are watched for drift.
    band_wrong_share : float
        Largest share of them whose best label may differ from the server's answer, by calibration.
    lengths, counts : ndarray, shape (labels,)
        Of the centres at calibration; empty for a head.
    """

    scorer: Scorer
    thresholds: Tuple[float, ...]
    wrong_share: float
    band: float
    band_wrong_share: float
    lengths: np.ndarray
    counts: np.ndarray


class MemoryRule(NamedTuple):
    """When a task ends on the device because the server has just answered one like it.

    Attributes
    ----------
    threshold : float
        Least cosine.
    wrong_share : float
        Largest share of such exits that may differ from the server's answer, by calibration.
    capacity : int
    mean : ndarray of float32, shape (D,)
    """

    threshold: float
    wrong_share: float
    capacity: int
    mean: np.ndarray


class Policy(NamedTuple):
    """One cut's policy.

    Attributes
    ----------
    name : {"none", "paper", "default"}
    cut : str
    exits : ExitRule or None
    memory : MemoryRule or None
    rungs : tuple of Rung
        Precisions of the cut by rising bits.
    base : int
        The rung every task is admitted at.
    adjust : tuple of float
        By rung, falling: the least score at which it is admitted; -inf from `base` on.
    device_s, cloud_s : float
        T_e and T_c of the plan.
    server_share : float
        Server workers for each device.
    """

    name: str
    cut: str
    exits: Optional[ExitRule]
    memory: Optional[MemoryRule]
    rungs: Tuple[Rung, ...]
    base: int
    adjust: Tuple[float, ...]
    device_s: float
    cloud_s: float
    server_share: float = 1.0

    @property
    def rest_s(self) -> float:
        """Period of all stages but the link."""
        return max(self.device_s, self.cloud_s / self.server_share)
