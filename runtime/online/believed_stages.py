"""How long the stages of each cut take: as measured where it was taken, else as planned and corrected by that.

A plan that is twice too slow for one cut of a device is about twice too slow for the others: the compiler's error is
one of the machine more than of the cut. Where a plan is off, a cut that was never taken is worth a look.
"""

from collections import deque
from statistics import median
from typing import Deque, Dict, List, Mapping, Optional, Sequence

from .policy import Policy

#: Measurements of a stage whose median counts: one stall moves nothing.
KEPT = 9
#: A stage that was measured within this factor of what is believed changes nothing.
TOLERANCE = 1.05
#: A plan within this factor of what was measured is trusted for cuts that were never taken.
TRUSTED = 1.2
#: A cut that was not taken for so long may take another time by now.
STALE_S = 30.0
#: Between two looks at cuts nobody has taken for long, of one task each.
LOOK_EVERY_S = 5.0
#: The first periods of a cut are those of caches, connections and engines that are used for the first time.
WARM_UP = 16
#: A period that is longer than so many times what was expected is a stall.
MOST_EXCESS = 5.0
#: What was seen of a period counts half after so long: seeing it again costs a few periods, a wrong belief all of them.
EXCESS_HALF_S = 2.0
#: A cut that is taken again after so long is tried for `KEPT` periods, whatever the latest were.
AGAIN_S = 0.5
#: How many times the period of the best known one a cut may promise to be worth a look.
WORTH = 1.5


class Measured:
    """The latest times of one cut's stages, and when it was last taken."""

    __slots__ = ("device", "cloud", "seen_s", "warm")

    def __init__(self) -> None:
        self.warm = False
        self.device: Deque[float] = deque(maxlen=KEPT)
        self.cloud: Deque[float] = deque(maxlen=KEPT)
        self.seen_s = float("-inf")


class Excess:
    """How many times longer than expected the latest periods of one cut were, and when that was last seen."""

    __slots__ = ("times", "seen_s", "first")

    def __init__(self) -> None:
        self.times: Deque[float] = deque(maxlen=KEPT)
        self.seen_s = float("-inf")
        self.first = 0

    @property
    def factor(self) -> float:
        """1 until enough has been seen."""
        return _middle(self.times) if len(self.times) == KEPT else 1.0


class BelievedStages:
    """Policies of cuts whose stage times are those that this run has seen.

    Parameters
    ----------
    policies : mapping of str to Policy
        As planned.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._planned = dict(policies)
        self._believed = dict(policies)
        self._measured: Dict[str, Measured] = {}
        self._scales = (1.0, 1.0)
        self._excess: Dict[str, Excess] = {}
        self._looked_s = float("-inf")

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Of every cut, as believed now."""
        return self._believed

    def saw_device(self, cut: str, seconds: float, now_s: float) -> None:
        """The device's stage of one task, which ended now."""
        found = self._of(cut)
        if found is not None:
            found.seen_s = now_s
            if not found.warm:
                # The first task of a cut meets cold caches: by it alone the cut would not be taken for long.
                found.warm = True
                return
            found.device.append(seconds)
            if _differ(_middle(found.device), self._believed[cut].device_s):
                self._believe(cut, found)

    def saw_cloud(self, cut: str, seconds: float) -> None:
        """The server's work on one task."""
        found = self._of(cut)
        if found is not None:
            found.cloud.append(seconds)
            if _differ(_middle(found.cloud), self._believed[cut].cloud_s):
                self._believe(cut, found)

    def snapshot(self) -> Dict[str, Dict[str, List[float]]]:
        """What was measured, by cut and side."""
        return {name: {"device": list(one.device), "cloud": list(one.cloud)} for name, one in self._measured.items()}

    def restore(self, snapshot: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Begin with what another run has measured; cuts that are not known are left out."""
        for name, times in snapshot.items():
            known = self._of(name)
            if known is not None:
                known.warm = True
            for seconds in times["device"]:
                self.saw_device(name, seconds, float("-inf"))
            for seconds in times["cloud"]:
                self.saw_cloud(name, seconds)

    def saw_period(self, cut: str, times_expected: float, now_s: float) -> None:
        """Two tasks of a cut began one after the other, when there was room, so many times later than expected."""
        found = self._excess.setdefault(cut, Excess())
        if found.first < WARM_UP:
            found.first += 1
            return
        if now_s - found.seen_s > AGAIN_S:
            found.times.clear()
        found.times.append(min(max(times_expected, 1.0), MOST_EXCESS))
        found.seen_s = now_s

    def excess(self, cut: str, now_s: float) -> float:
        """How many times longer a period of a cut is than its slowest stage: 1 where it is as expected.

        Stages share processors, and a rate may be believed that is not there. What was seen long ago counts less, or a
        cut that was left in a bad moment would never be taken again. One that was not taken is as the others that send.
        """
        found = self._excess.get(cut)
        if found is None:
            sending = [name for name in self._excess if self._planned[name].rungs and self._planned[cut].rungs]
            return median(self.excess(name, now_s) for name in sending) if sending else 1.0
        return 1 + (found.factor - 1) * 0.5 ** (max(0.0, now_s - found.seen_s) / EXCESS_HALF_S)

    def worth_a_look(self, now_s: float, periods: Mapping[str, float]) -> Optional[str]:
        """The cut that the next task should take to learn of it, if any.

        Parameters
        ----------
        now_s : float
        periods : mapping of str to float
            What each cut promises as believed.
        """
        if now_s - self._looked_s < LOOK_EVERY_S or all(1 / TRUSTED < scale < TRUSTED for scale in self._scales):
            return None
        best_s = min(periods.values())
        old = {
            name: self._measured[name].seen_s if name in self._measured else float("-inf")
            for name, period_s in periods.items()
            if period_s <= WORTH * best_s
        }
        oldest = min(sorted(old), key=lambda name: old[name])
        if now_s - old[oldest] < STALE_S:
            return None
        self._looked_s = now_s
        return oldest

    def _of(self, cut: str) -> Optional[Measured]:
        """What is known of a cut; None for one that is not among them."""
        if cut not in self._measured and cut in self._planned:
            self._measured[cut] = Measured()
        return self._measured.get(cut)

    def _believe(self, cut: str, found: Measured) -> None:
        """New times of one cut, and what follows for those that were never taken."""
        believed = self._believed[cut]
        self._believed[cut] = believed._replace(
            device_s=_middle(found.device) if found.device else believed.device_s,
            cloud_s=_middle(found.cloud) if found.cloud else believed.cloud_s,
        )
        self._scales = (self._scale("device"), self._scale("cloud"))
        for name, planned in self._planned.items():
            known = self._measured.get(name)
            self._believed[name] = self._believed[name]._replace(
                **{
                    f"{side}_s": getattr(planned, f"{side}_s") * scale
                    for side, scale in zip(("device", "cloud"), self._scales)
                    if known is None or not getattr(known, side)
                }
            )

    def _scale(self, side: str) -> float:
        """How many times longer than planned a side takes, in the middle of the cuts that were taken."""
        ratios = [
            _middle(getattr(found, side)) / getattr(self._planned[name], f"{side}_s")
            for name, found in self._measured.items()
            if getattr(found, side) and getattr(self._planned[name], f"{side}_s") > 0
        ]
        return median(ratios) if ratios else 1.0


def _middle(times: Deque[float]) -> float:
    """The median; the upper one of an even number."""
    return sorted(times)[len(times) // 2]


def _differ(found_s: float, believed_s: float) -> bool:
    return not believed_s / TOLERANCE <= found_s <= believed_s * TOLERANCE
