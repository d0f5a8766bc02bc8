"""What the device program takes for a task besides the device's half: decisions, coding, the request, on this machine.

Measured without a network: requests go into one end of a socket pair, whose other end holds the answer already.
"""

import socket
import time
from typing import Any, Callable, List, Mapping

import numpy as np

from ..bundle.manifest_types import Cut
from ..bundle.store import Bundle
from ..engines.cores import usable_cores
from ..engines.halves import Halves
from ..link.cloud_half import CloudHalf
from ..link.protocol import encode_response
from ..link.tensors import to_tensor
from ..online.driver import Driver
from .predictions import reader_of
from .run_policies import choose_policies
from .run_task import DeviceStage, Work

WARM_UP_TASKS = 5
#: Believed of a link that is not used.
RATE_BYTES_PER_S = 1e6


def program_seconds(bundle: Bundle, halves: Halves, feed: Mapping[str, np.ndarray], tasks: int) -> float:
    """Seconds a task that are part of the device's stage at the bundle's chosen cut.

    What the thread that starts tasks does; where this process has one processor core, what those that send do too:
    otherwise they run beside the half.

    Parameters
    ----------
    bundle : Bundle
    halves : Halves
        Of the bundle.
    feed : mapping of str to ndarray
        The model's inputs.
    tasks : int
        To take the median of.

    Raises
    ------
    CoachRuntimeError
        A half fails.
    """
    server = any(cut.cloud is not None for cut in bundle.manifest.cuts)
    chosen = choose_policies(bundle, None, None, None, server, False)
    cut = chosen.cut
    half = halves.half(cut.name)
    if half.takes_images:
        return 0.0
    driver = Driver({cut.name: chosen.policies[cut.name]}, cut.name, None, RATE_BYTES_PER_S, "accuracy", lambda: 1.0)
    predict = reader_of(bundle.manifest)
    stage = DeviceStage(halves, {cut.name: chosen.policies[cut.name]}, driver, predict)

    ask = None if cut.cloud is None or usable_cores() > 1 else Asking(bundle, cut)
    # In turn, so that a machine that slows down slows both, and so that each finds the caches as a run finds them.
    alone_s, with_all_s = [], []
    try:
        for task in range(WARM_UP_TASKS + tasks):
            alone_s.append(_seconds(lambda: half.run(feed)))
            start_s = time.perf_counter()
            item = stage.run(task, feed)
            if ask is not None and isinstance(item, Work):
                ask(item)
            with_all_s.append(time.perf_counter() - start_s)
            driver.lost(task)
    finally:
        if ask is not None:
            ask.close()
    return max(0.0, _middle(with_all_s) - _middle(alone_s))


class Asking:
    """From what the device's half has made to the server's answer in memory, without link and server.

    Parameters
    ----------
    bundle : Bundle
    cut : Cut
        With a cloud half.
    """

    def __init__(self, bundle: Bundle, cut: Cut) -> None:
        specs = {spec.name: spec for spec in bundle.manifest.model.outputs}
        tensors = [to_tensor(name, np.zeros(specs[name].shape, specs[name].dtype)) for name in cut.cloud_outputs]
        message = encode_response(bundle.served_name_of(cut), tensors)
        lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(message.body)}"]
        lines += [f"{name}: {value}" for name, value in message.headers.items()]
        self._answer = "\r\n".join(lines + ["", ""]).encode("ascii") + message.body
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(self._answer) + (4 << 20))
        self._cloud = CloudHalf(bundle, "127.0.0.1:1", 10.0)
        self._cloud.connection.adopt(self._near)
        self._far.sendall(self._answer)

    def __call__(self, work: Work) -> None:
        """Ask for one task."""
        self._cloud.infer(work.outputs, work.cut, work.bits)
        self._far.recv(1 << 26)
        self._far.sendall(self._answer)

    def close(self) -> None:
        """Close both ends."""
        self._near.close()
        self._far.close()


def _seconds(run: Callable[[], Any]) -> float:
    start_s = time.perf_counter()
    run()
    return time.perf_counter() - start_s


def _middle(times: List[float]) -> float:
    return sorted(times[WARM_UP_TASKS:])[(len(times) - WARM_UP_TASKS) // 2]
