"""The device's stage of a task: which cut, its device half, and whether it ends here or goes to the server.

One caller, like the engines: the thread that starts tasks. Tasks that were lost on the way come back to it.
"""

import time
from typing import Callable, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..bundle.manifest_types import Bits
from ..engines.halves import Halves
from ..online.controller import Decision
from ..online.driver import Driver
from ..online.feature import feature_of
from ..online.policy import Policy
from .predictions import Arrays, Predict

Clock = Callable[[], float]


class Work(NamedTuple):
    """One task after its device half, on its way to the server.

    Attributes
    ----------
    task : int
    arrival_s : float
        When it came; when its device half began, where tasks wait for the pipeline.
    device_s : float
    outputs : dict of str to ndarray
    cut : str or None
        Name of the cut it took; None for the bundle's chosen one.
    bits : int or tuple of int, optional
        Precision of what is sent, if not the chosen one.
    feed : mapping of str to ndarray, optional
        The model's inputs, where the device can do without the server.
    feature : ndarray, optional
    decision : Decision, optional
        What was decided, where a policy decides.
    """

    task: int
    arrival_s: float
    device_s: float
    outputs: Arrays
    cut: Optional[str] = None
    bits: Bits = None
    feed: Optional[Mapping[str, np.ndarray]] = None
    feature: Optional[np.ndarray] = None
    decision: Optional[Decision] = None


class Done(NamedTuple):
    """One task after its answer: what came out, and what it took. Holds no arrays, since every task leaves one.

    Attributes
    ----------
    exit : {"", "score", "memory", "device", "fallback"}
        Why nothing the server said was needed: a policy's exit; the whole model ran here, because the cut says so or
        because no answer came. Empty for what the server answered.
    bits : int or tuple of int, optional
        As in `Work`; None where nothing was sent.
    audit, agreed : str, bool
        What exit the server was asked to check, and whether it answered with the same class.
    """

    task: int
    predictions: Tuple[int, ...]
    latency_s: float
    device_s: float
    round_trip_s: float = 0.0
    sent_bytes: int = 0
    payload_bytes: int = 0
    packed_bytes: int = 0
    cut: str = ""
    exit: str = ""
    bits: Bits = None
    audit: str = ""
    agreed: bool = True


class DeviceStage:
    """Device halves of a bundle's cuts, and the driver that says what to do with each task.

    Parameters
    ----------
    halves : Halves
    policies : mapping of str to Policy
        Of the cuts that may be taken.
    driver : Driver
    predict : callable
        All model outputs of a task -> classes of its rows.
    alone : str or None
        The cut that answers what the server does not; None: nothing does.
    clock : callable
    """

    def __init__(
        self,
        halves: Halves,
        policies: Mapping[str, Policy],
        driver: Driver,
        predict: Predict,
        alone: Optional[str] = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._halves = halves
        self._policies = dict(policies)
        self._driver = driver
        self._predict = predict
        self._alone = alone
        self._clock = clock

    def run(
        self, task: int, feed: Mapping[str, np.ndarray], down: bool = False, arrival_s: Optional[float] = None
    ) -> Union[Work, Done]:
        """One task: its answer, or what to send for it.

        Parameters
        ----------
        task : int
        feed : mapping of str to ndarray
            As the device half of the cut takes it.
        down : bool
            The server is known to be out of reach.
        arrival_s : float, optional
            When it came, by the clock; now, if not given. Its latency counts from then.
        """
        driver, start_s = self._driver, self._clock()
        came_s = start_s if arrival_s is None else arrival_s
        name = driver.next_cut(start_s, down)
        half = self._halves.half(name)
        if not half.cut.values:
            outputs = half.run(feed)
            driver.was_alone(name)
            return self._done(task, self._predict(outputs), came_s, start_s, name, "device")
        policy = self._policies[name]
        rung = driver.rung_ahead(name, start_s, half.tunable, half.adjustable)
        outputs = half.run(feed, policy.rungs[rung].bits)
        feature = feature_of(outputs, half.cut.features) if self._decides(policy) else None
        decision = driver.decide(task, name, feature, self._clock(), None if half.adjustable else rung)
        if decision.exit:
            return self._done(task, (decision.label,), came_s, start_s, name, decision.exit)
        if decision.rung != rung:
            outputs = half.again(policy.rungs[decision.rung].bits)
        bits = policy.rungs[decision.rung].bits
        kept = feed if self._alone is not None else None
        return Work(task, came_s, self._clock() - start_s, outputs, name, bits, kept, feature, decision)

    def answer_alone(self, work: Work) -> Done:
        """The whole model on the device, for a task the server has not answered."""
        assert self._alone is not None and work.feed is not None
        begin_s = self._clock()
        self._driver.lost(work.task)
        predictions = self._predict(self._halves.half(self._alone).run(work.feed))
        return self._done(work.task, predictions, work.arrival_s, begin_s - work.device_s, self._alone, "fallback")

    @staticmethod
    def _decides(policy: Policy) -> bool:
        return policy.name != "none"

    def _done(
        self, task: int, predictions: Tuple[int, ...], arrival_s: float, begin_s: float, cut: str, reason: str
    ) -> Done:
        now_s = self._clock()
        return Done(task, predictions, now_s - arrival_s, now_s - begin_s, cut=cut, exit=reason)
