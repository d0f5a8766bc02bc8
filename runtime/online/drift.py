"""A test, valid at every moment, of whether answers go wrong more often than calibration promised.

A bet against the promise: what is staked grows with each wrong answer and shrinks a little with each right one. Were
the promise kept, all of it would reach `1 / LEVEL` times the beginning at any time with probability `LEVEL` at most
(Ville's inequality), so no number of looks makes a false alarm likely. Source: Waudby-Smith and Ramdas, "Estimating
means of bounded random variables by betting", 2020. Differs: the money is not staked at once. A part enters before each
answer, ever smaller ones but in all never more than there is, so that a long good time, in which what entered before
melts away, does not hide the beginning of a bad one for ever, and the level holds exactly.
"""

import math
from typing import NamedTuple

#: Chance of a false alarm over a whole stream, at most. Measured over 2,000 answers: 2 to 4 %, for promises of 0.002
#: to 0.5 that are just kept. Where 0.5 % were promised and 2.5 % are wrong it alarms after 140 checks (median), after
#: 400 where a thousand good ones went before.
LEVEL = 0.05
#: Share of the stake put on each answer; with a small promise one wrong answer multiplies the stake by about 5.
BET = 4.0
#: A right answer takes this share of the stake at most: a large promise makes the bet smaller.
LARGEST_LOSS = 0.5
#: A recent stake above this is suspicious: audits become frequent. Suspicion needs no level, only not to be constant:
#: with a promise just kept it takes 9 to 15 % of the checks.
SUSPICIOUS = 3.0
# Where right answers lead the recent stake at most: without a floor suspicion would come late too.
_LEAST_RECENT = 0.5


class Drift(NamedTuple):
    """State of one test.

    Attributes
    ----------
    promised : float
        Largest share of wrong answers that is as promised.
    stake : float
        All the money, 1 at the beginning: `entered`, and what has not entered yet.
    entered : float
    checks : int
        Answers so far.
    recent : float
        A stake of its own with a floor, for suspicion.
    """

    promised: float
    stake: float = 1.0
    entered: float = 0.0
    checks: int = 0
    recent: float = 1.0

    @property
    def alarmed(self) -> bool:
        return self.stake >= 1 / LEVEL

    @property
    def suspicious(self) -> bool:
        return self.recent >= SUSPICIOUS


def observe(drift: Drift, wrong: bool) -> Drift:
    """After one more answer that was checked."""
    factor = 1 + min(BET, LARGEST_LOSS / max(drift.promised, 1e-9)) * (float(wrong) - drift.promised)
    kept = _kept(drift.checks + 1)
    entered = (drift.entered + _kept(drift.checks) - kept) * factor
    return Drift(
        promised=drift.promised,
        stake=entered + kept,
        entered=entered,
        checks=drift.checks + 1,
        recent=max(drift.recent * factor, _LEAST_RECENT),
    )


def _kept(checks: int) -> float:
    """What has not entered after so many answers; it falls slowly, so that a late part is not much less than it."""
    return 1 / (1 + math.log1p(checks))
