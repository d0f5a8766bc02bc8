"""The threads that send: one for each connection to the server, which waits for the answer of one task at a time.

Whatever happens to a request happens to one task: it goes back through the hand-off with the reason, or is sent again
where nobody else can answer it. What `Breaker` takes for the loss of the server concerns all of them: the other
requests under way end at once.
"""

import threading
import time
from typing import Any, Callable, List, Optional, Tuple

from ..errors import AnswerOverdue, CoachRuntimeError, LocalProtocolError
from ..link.cloud_half import Answer, CloudHalf
from ..online.bandwidth import Transfer
from ..online.controller import Answer as Said
from ..online.driver import Driver
from .breaker import Breaker
from .flight import TRIES, Flight
from .handoff import Handoff
from .outcome import Done, Outcome
from .predictions import Predict, confidence_of
from .run_log import log_event

#: Before a task is sent again that the server has not answered properly.
AGAIN_S = 0.05


class Uplink:
    """The connections to a server, and what sender threads need beside them.

    Parameters
    ----------
    connect : callable
        Makes a `CloudHalf` with a connection of its own; each takes tasks of any cut.
    predict : callable
        All model outputs of a task -> what its rows show.
    driver : Driver
    output : str
        The model output whose probability is taken.
    handoff : Handoff
    keeps : bool
        Nobody else can answer: a task is sent again while there is time.
    ended : callable
        Gets each outcome, from any thread, in the order they come.
    """

    def __init__(
        self,
        connect: Callable[[], CloudHalf],
        predict: Predict,
        driver: Driver,
        output: str,
        handoff: Handoff,
        keeps: bool,
        ended: Callable[[Outcome], None],
    ) -> None:
        self.handoff = handoff
        self.driver = driver
        self.breaker = Breaker()
        self._connect = connect
        self._predict = predict
        self._output = output
        self._keeps = keeps
        self._ended = ended
        self._clouds: List[CloudHalf] = []
        self._threads: List[threading.Thread] = []
        self._lost: Optional[Exception] = None

    def widen(self, connections: int) -> None:
        """At least so many connections, each with its thread; called from one thread."""
        while len(self._threads) < connections:
            cloud = self._connect()
            name = f"sender {len(self._threads)}"
            self._clouds.append(cloud)
            self._threads.append(threading.Thread(target=self._serve, args=(cloud,), name=name, daemon=True))
            self._threads[-1].start()

    def lose(self, error: Exception) -> None:
        """The server is out of reach: nothing more is sent, and what is under way ends now."""
        self._lost = error
        if self.handoff.break_link(error):
            log_event("server lost", reason=str(error))
        for cloud in list(self._clouds):
            cloud.connection.interrupt()

    def why(self, flight: Flight) -> Exception:
        """Why there is no answer, once nobody waits for one any more: what went wrong before says more than that."""
        return flight.error or self._lost or AnswerOverdue("no answer in time")

    def close(self, within_s: float) -> None:
        """Wait for the threads, which end with the hand-off, and close the connections."""
        end_s = time.monotonic() + within_s
        self.handoff.stop()
        for cloud in self._clouds:
            if self.handoff.error is not None:
                cloud.connection.abort()
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        for cloud in self._clouds:
            cloud.connection.abort()
            cloud.connection.close()

    def _serve(self, cloud: CloudHalf) -> None:
        try:
            for flight in self.handoff:
                self._one(cloud, flight)
        except BaseException as exc:  # carried to the calling thread, which raises it
            self.handoff.fail(exc)

    def _one(self, cloud: CloudHalf, flight: Flight) -> None:
        left_s, work = flight.left_s(), flight.work
        flight.tries += 1
        start_s = time.perf_counter()
        try:
            if left_s <= 0:
                self.handoff.lose(flight, self.why(flight))
                return
            self.driver.sending(work.task, start_s)
            answer = cloud.infer(work.outputs, work.cut, work.bits, within_s=left_s)
            outputs = dict(work.outputs, **answer.outputs)
            predictions = self._predict(outputs)
            said = None
            if work.feature is not None and len(predictions) == 1:
                said = Said(predictions[0], confidence_of(outputs[self._output]))
        except LocalProtocolError as exc:
            # What the device's half has made cannot be sent: that is not the server's fault.
            self.handoff.lose(flight, exc)
        except CoachRuntimeError as exc:
            self._missed(flight, exc)
        except Exception as exc:  # one task's: whoever answers for it says so
            self.handoff.lose(flight, exc)
        else:
            self.breaker.answered()
            self._lost = None
            self.handoff.settle(flight, lambda: self._answered(flight, answer, predictions, said, start_s))

    def _missed(self, flight: Flight, error: CoachRuntimeError) -> None:
        if not self.handoff.has(flight):
            return  # taken back before: whoever did so knows why
        if flight.error is None or not isinstance(error, AnswerOverdue):
            flight.error = error
        if self.breaker.failed(error):
            self.lose(error)
        elif self._keeps and flight.tries < TRIES and flight.left_s() > AGAIN_S:
            time.sleep(AGAIN_S)
            self.handoff.again(flight)
        else:
            self.handoff.lose(flight, flight.error)

    def _answered(
        self, flight: Flight, answer: Answer, predictions: Tuple[Any, ...], said: Optional[Said], start_s: float
    ) -> None:
        work, end_s = flight.work, time.perf_counter()
        decision = work.decision
        server_s = -1.0 if answer.server_s is None else answer.server_s
        work_s = server_s if answer.work_s is None else answer.work_s
        transfer = Transfer(answer.sent_bytes, answer.start_s, answer.end_s, server_s, work_s)
        self.driver.answered(work.task, str(work.cut), transfer, said, work.feature, decision)
        self._ended(
            Done(
                work.task,
                predictions,
                end_s - work.arrival_s,
                work.device_s,
                end_s - start_s,
                server_s,
                answer.sent_bytes,
                answer.payload_bytes,
                answer.packed_bytes,
                str(work.cut),
                "",
                work.bits,
                decision.audit if decision is not None else "",
                decision is None or not decision.audit or (decision.label,) == predictions,
                work_s,
                flight.due_s is not None and end_s > flight.due_s,
            )
        )
