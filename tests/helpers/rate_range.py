"""How well the driver knows the rate of a shaped link, by what a task sends: half a second after it began, and changed.

    python -m tests.helpers.rate_range [--rates 5,20,100] [--bytes 300,1000] [--every 0,33] [--steps 0.5,2]

In namespaces of their own, as `shaped_link` makes them. Bodies go to a bare sink, one after the other (`--every 0`) or
as a camera gives them, and the watch's probes to a server beside it. The link begins at the rate times the step. Shares
are of the link's rate then: 1.00 is exact.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from coachc.runtime.device.rate_probe import RateProbe
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.driver import LOOK_S, Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung, body_bytes
from tests.helpers.shaped_link import CLOUD, DEVICE, SERVER
from tests.helpers.shaped_steps import inside, shape

MBIT = 125000.0
SINK = ("10.99.0.2", 8702)
SIZES = (300, 1000, 3000, 6000, 12000, 20000, 30000, 100000)
BEGAN_S, CHANGED_S, SOON_S, LATER_S = 0.5, 3.0, 3.5, 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rates", type=numbers, default=[5, 20, 100], help="Mbit/s")
    parser.add_argument("--bytes", type=numbers, default=list(SIZES))
    parser.add_argument("--every", type=numbers, default=[0, 33], help="ms between tasks")
    parser.add_argument("--steps", type=numbers, default=[0.5, 2], help="of the rate, before the change")
    parser.add_argument("--role", choices=["sink", "device"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "sink":
        sink()
    elif options.role == "device":
        print(*estimates(int(options.bytes[0]), options.every[0] * 1e-3), flush=True)
    elif inside("tests.helpers.rate_range"):
        compare(options)


def compare(options: argparse.Namespace) -> None:
    shape("up", 20)
    sides = [
        beside(CLOUD, "tests.helpers.serve_tiny", SERVER),
        beside(CLOUD, "tests.helpers.rate_range", "--role=sink"),
    ]
    for side in sides:
        assert side.stdout is not None
        side.stdout.readline()
    print("payload  every ms  before  Mbit/s   +0.5 s   changed +0.5 s   +3 s")
    for rate in options.rates:
        for step in options.steps:
            for every in options.every:
                for size in options.bytes:
                    shape("set", rate * step)
                    words = ["--role=device", f"--bytes={size}", f"--every={every}"]
                    device = beside(DEVICE, "tests.helpers.rate_range", *words)
                    assert device.stdout is not None
                    device.stdout.readline()  # it has begun
                    time.sleep(CHANGED_S)
                    shape("set", rate)
                    began, soon, later = map(float, device.communicate()[0].split())
                    print(
                        f"{size:7.0f} {every:9.0f} {rate * step:7.1f} {rate:7.1f} {began / step / rate:8.2f}"
                        f"{'':12}{soon / rate:7.2f} {later / rate:7.2f}",
                        flush=True,
                    )
    for side in sides:
        side.kill()


def beside(namespace: str, module: str, *words: str) -> subprocess.Popen[bytes]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", module, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def sink() -> None:
    """Takes a length and so many bytes, again and again, and answers each with 80."""
    with socket.create_server(SINK) as listener:
        print("listening", flush=True)
        while True:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = peer.makefile("rb")
            while head := stream.read(4):
                stream.read(struct.unpack("!I", head)[0])
                peer.sendall(b"." * 80)


def estimates(size: int, every_s: float) -> list[float]:
    """Mbit/s that the driver believes, after the beginning, soon after the change, and later."""
    policy = Policy("default", "cut", None, None, (Rung((4,), float(size)),), 0, (-float("inf"),), 0.01, 0.0)
    driver = Driver({"cut": policy}, "cut", None, 50 * MBIT, "accuracy", lambda: 1.0, every_s)
    rate = RateProbe(SERVER, lambda: driver.sent_bytes)
    over = threading.Event()

    def look() -> None:
        if driver.wants_rate(time.perf_counter()):
            driver.asking_rate()
            found = rate.measure(driver.bandwidth_bytes_per_s)
            driver.asked_rate(time.perf_counter(), found.bytes_per_s, found.spent_bytes)

    def watch() -> None:
        while not over.wait(LOOK_S):
            look()

    # As long as the request is that a payload of this size makes.
    length = int(body_bytes(policy.rungs[0], size))
    body = struct.pack("!I", length) + os.urandom(length)
    look()
    with socket.create_connection(SINK) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        driver.reached(round_trip_s(peer))
        print(flush=True)
        threading.Thread(target=watch, daemon=True).start()
        found, begin_s = [], time.perf_counter()
        for task in range(1 << 30):
            if every_s:
                time.sleep(max(0.0, begin_s + task * every_s - time.perf_counter()))
            start_s = time.perf_counter()
            for at_s in (BEGAN_S, SOON_S, LATER_S)[len(found) :][:1]:
                if start_s - begin_s > at_s:
                    found.append(driver.bandwidth_bytes_per_s / MBIT)
            if len(found) == 3:
                over.set()
                return found
            driver.next_cut(start_s, False)
            driver.decide(task, "cut", None, start_s)
            driver.sending(task, start_s)
            exchange(peer, body)
            driver.answered(task, "cut", Transfer(len(body), start_s, time.perf_counter(), 0.0, 0.0))
    raise AssertionError


def exchange(peer: socket.socket, body: bytes) -> None:
    peer.sendall(body)
    left = 80
    while left:
        left -= len(peer.recv(left))


def round_trip_s(peer: socket.socket) -> float:
    taken = []
    for _ in range(5):
        start_s = time.perf_counter()
        exchange(peer, struct.pack("!I", 0))
        taken.append(time.perf_counter() - start_s)
    return min(taken)


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
