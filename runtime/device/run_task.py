"""The device's stage of a task: which cut, its device half, and whether it ends here or goes to the server.

One caller, like the engines: the thread that starts tasks. Tasks that were lost on the way come back to it.
"""

import time
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..bundle.manifest_types import Bits
from ..engines.halves import Halves
from ..online.controller import Decision
from ..online.driver import Driver
from ..online.feature import feature_of
from ..online.policy import Policy
from .outcome import Done
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


class DeviceStage:
    """Device halves of a bundle's cuts, and the driver that says what to do with each task.

    Parameters
    ----------
    halves : Halves
    policies : mapping of str to Policy
        Of the cuts that may be taken.
    driver : Driver
    predict : callable
        All model outputs of a task -> what its rows show.
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
            driver.was_alone(name, now_s=self._clock())
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

    def outage(self) -> bool:
        """Whether the link is taken for down, and there is a way around it."""
        return self._driver.outage(self._clock())

    def lost(self, task: int) -> None:
        """There will be no answer of the server."""
        self._driver.lost(task)

    def answer_alone(self, task: int, feed: Mapping[str, np.ndarray], arrival_s: float, device_s: float) -> Done:
        """The whole model on the device, for a task that has no other answer.

        Parameters
        ----------
        task : int
        feed : mapping of str to ndarray
            The model's inputs.
        arrival_s : float
            When it came, by the clock.
        device_s : float
            What it took of the device before.
        """
        assert self._alone is not None
        begin_s = self._clock()
        predictions = self._predict(self._halves.half(self._alone).run(feed))
        return self._done(task, predictions, arrival_s, begin_s - device_s, self._alone, "fallback")

    @staticmethod
    def _decides(policy: Policy) -> bool:
        return policy.name != "none"

    def _done(
        self, task: int, predictions: Tuple[Any, ...], arrival_s: float, begin_s: float, cut: str, reason: str
    ) -> Done:
        now_s = self._clock()
        return Done(task, predictions, now_s - arrival_s, now_s - begin_s, cut=cut, exit=reason)
