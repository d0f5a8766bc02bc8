"""The device program for a while, with a fault every few seconds: memory, threads and descriptors, and that no task is
lost.

    python -m tests.helpers.soak BUNDLE --data FILE.npz [--minutes 10] [--fps 50] [--every 20]

The bundle's own server runs in a process behind a link that is cut, silent, dripping, damaged, cut off in the middle or
no HTTP, and is stopped (SIGSTOP) and killed and started again in turn. Rows of the file come again and again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.helpers.faulty_link import FaultyLink

FAULT_S = 3.0
WARM_UP_S = 60.0
FAULTS = ("cut", "silent", "drip", "damage", "half", "garbage", "SIGSTOP", "restart")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--fps", type=float, default=50.0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between faults")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coachc-soak-") as folder:
        soak(options, Path(folder))


def soak(options: argparse.Namespace, folder: Path) -> None:
    """Run, disturb, watch, and print what came of it."""
    tasks = int(60 * options.minutes * options.fps)
    repeat(options.data, folder / "long.npz", tasks)
    server = Server(options.bundle)
    seen: list[tuple[float, int, int, int]] = []
    with FaultyLink(server.address) as link, contextlib.closing(server):
        command = [sys.executable, "-m", "runtime.device", options.bundle, "--server", link.address, "--json"]
        command += ["--source", str(folder / "long.npz"), "--fps", str(options.fps), "--timeout", "5"]
        command += [
            "--stats",
            str(folder / "s.jsonl"),
            "--log",
            str(folder / "log.jsonl"),
            "--state",
            str(folder / "st"),
        ]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        start_s, number = time.monotonic(), 0
        while program.poll() is None:
            time.sleep(1.0)
            now_s = time.monotonic() - start_s
            with contextlib.suppress(OSError, KeyError):  # it has just ended
                seen.append((now_s, *held(program.pid)))
            if now_s > (number + 1) * options.every and now_s < 60 * options.minutes - 2 * FAULT_S:
                fault = FAULTS[number % len(FAULTS)]
                print(f"{now_s:6.0f} s  {seen[-1][1] / 2**20:7.1f} MiB  {seen[-1][2]} threads  {fault}", flush=True)
                disturb(fault, link, server)
                number += 1
        report = json.loads(program.communicate()[0].splitlines()[-1])
    lines = [json.loads(line) for line in (folder / "s.jsonl").read_text().splitlines()]
    lost = set(range(report["submitted"])) - {line["task"] for line in lines}
    print(f"faults {number}; submitted {report['submitted']}, answered {report['tasks']}, errors {report['errors']}")
    twice = len(lines) - len({line["task"] for line in lines})
    print(f"lost {len(lost)}, written twice {twice}, exits {report['exits']}")
    late = [row for row in seen if row[0] > WARM_UP_S] or seen
    half = len(late) // 2
    for place, what, unit in ((1, "memory", 2**20), (2, "threads", 1), (3, "descriptors", 1)):
        values = [row[place] / unit for row in late]
        print(
            f"{what:<12} {min(values):.1f} to {max(values):.1f}; means of the halves after the first minute "
            f"{np.mean(values[:half]):.2f} and {np.mean(values[half:]):.2f}"
        )
    slope = np.polyfit([row[0] for row in late], [row[1] for row in late], 1)[0]
    print(f"memory grows by {slope * 86400 * 30 / 2**20:.1f} MiB in 30 days, by a straight line through these")


def repeat(path: str, longer: Path, rows: int) -> None:
    """The inputs of a file again and again, as float16: half the size on the disk."""
    with np.load(path) as data:
        inputs = {name: data[name] for name in data.files if name not in ("labels", "groups")}
    order = np.arange(rows) % min(len(array) for array in inputs.values())
    np.savez(longer, **{name: array.astype(np.float16)[order] for name, array in inputs.items()})


class Server:
    """`runtime.cloud` of a bundle, which can be stopped and started again at its address."""

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "runtime.cloud", self._bundle, "--listen", self.address]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self.address = self._process.stderr.readline().split("http://")[1].split()[0]

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def disturb(fault: str, link: FaultyLink, server: Server) -> None:
    """One fault, for a while."""
    if fault == "SIGSTOP":
        server.signal(signal.SIGSTOP)
        time.sleep(FAULT_S)
        server.signal(signal.SIGCONT)
    elif fault == "restart":
        server.close()
        time.sleep(FAULT_S)
        server.start()
    else:
        link.set(fault)
        time.sleep(FAULT_S)
        link.set("pass")
        link.drop()


def held(process: int) -> tuple[int, int, int]:
    """Resident bytes, threads and descriptors of a process."""
    status = dict(_fields(Path(f"/proc/{process}/status").read_text()))
    return int(status["VmRSS"].split()[0]) << 10, int(status["Threads"]), len(os.listdir(f"/proc/{process}/fd"))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


if __name__ == "__main__":
    main()
