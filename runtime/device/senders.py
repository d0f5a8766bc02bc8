"""The threads that send: one for each connection to the server, which waits for the answer of one task at a time.

Where the device can do without the server, a lost connection is no error: what was under way goes back through the
hand-off, and the sender that noticed asks now and then whether the server is there again. Any other error stops both
sides.
"""

import threading
import time
from typing import Callable, List, Optional, Sequence

from ..errors import CoachRuntimeError, ConnectionFailed, WrongBundleError
from ..link.cloud_half import CloudHalf
from ..online.bandwidth import Transfer
from ..online.controller import Answer
from ..online.driver import Driver
from .handoff import Handoff
from .predictions import Predict, confidence_of
from .run_task import Done, Work

#: Pauses between two questions whether a lost server is back: the first, each twice the one before, the longest.
FIRST_PROBE_S, LAST_PROBE_S = 0.2, 5.0
#: A probe that takes longer has failed; a run that ends waits that long at most for one under way.
PROBE_TIMEOUT_S = 1.0


class Uplink:
    """The connections to a server, and what sender threads need beside them.

    Parameters
    ----------
    clouds : sequence of CloudHalf
        One sender thread each; each takes a task of any cut.
    predict : callable
        All model outputs of a task -> classes of its rows.
    driver : Driver
    output : str
        The model output whose probability is taken.
    probe : callable, optional
        Makes a connection that asks whether the server is there, checks that it is the right one, and gives the round
        trip in seconds. None: a lost connection is an error.
    down : bool
        The server was out of reach at the start.
    """

    def __init__(
        self,
        clouds: Sequence[CloudHalf],
        predict: Predict,
        driver: Driver,
        output: str,
        probe: Optional[Callable[[], float]] = None,
        down: bool = False,
    ) -> None:
        self.clouds = list(clouds)
        self.handoff = Handoff(len(self.clouds), down)
        self.driver = driver
        self._predict = predict
        self._output = output
        self._probe = probe

    def start(self, ended: Callable[[Done], None]) -> List[threading.Thread]:
        """One thread for each connection, started."""
        senders = []
        for number, cloud in enumerate(self.clouds):
            senders.append(threading.Thread(target=self._serve, args=(cloud, ended, number == 0), daemon=True))
        for sender in senders:
            sender.start()
        return senders

    def fail(self, error: BaseException) -> None:
        """Stop both sides; requests under way fail now."""
        self.handoff.fail(error)
        for cloud in self.clouds:
            cloud.connection.abort()

    def _serve(self, cloud: CloudHalf, ended: Callable[[Done], None], first: bool) -> None:
        try:
            if first and self.handoff.down:
                self._find_again()
            for work in self.handoff:
                try:
                    done = self._send(cloud, work)
                except ConnectionFailed as exc:
                    if self._probe is None or isinstance(exc, WrongBundleError) or self.handoff.error is not None:
                        raise
                    if self.handoff.lose(work):
                        self._find_again()
                else:
                    ended(done)
                    self.handoff.settle()
        except BaseException as exc:  # carried to the calling thread, which raises it
            self.fail(exc)

    def _send(self, cloud: CloudHalf, work: Work) -> Done:
        start_s = time.perf_counter()
        self.driver.sending(work.task, start_s)
        answer = cloud.infer(work.outputs, work.cut, work.bits)
        end_s = time.perf_counter()
        outputs = dict(work.outputs, **answer.outputs)
        predictions = self._predict(outputs)
        decision = work.decision
        transfer = Transfer(
            answer.sent_bytes, answer.start_s, answer.end_s, -1.0 if answer.server_s is None else answer.server_s
        )
        said = None
        if work.feature is not None and len(predictions) == 1:
            said = Answer(predictions[0], confidence_of(outputs[self._output]))
        self.driver.answered(work.task, str(work.cut), transfer, said, work.feature, decision)
        return Done(
            work.task,
            predictions,
            end_s - work.arrival_s,
            work.device_s,
            end_s - start_s,
            answer.sent_bytes,
            answer.payload_bytes,
            answer.packed_bytes,
            str(work.cut),
            "",
            work.bits,
            decision.audit if decision is not None else "",
            decision is None or not decision.audit or (decision.label,) == predictions,
        )

    def _find_again(self) -> None:
        """Ask now and then until the server answers, or there is nothing more to send."""
        assert self._probe is not None
        pause_s = FIRST_PROBE_S
        while self.handoff.pause(pause_s):
            pause_s = min(2 * pause_s, LAST_PROBE_S)
            try:
                rtt_s = self._probe()
            except WrongBundleError:
                raise
            except CoachRuntimeError:
                continue  # not there, or not ready
            self.driver.reached(rtt_s)
            self.handoff.restore()
            return
