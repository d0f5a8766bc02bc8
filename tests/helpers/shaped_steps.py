"""The device program over a link whose rate steps, or follows traces, beside every cut held fast.

    python -m tests.helpers.shaped_steps BUNDLE --data FILE.npz [--steps 20,10,5,20] [--seconds 6]
    python -m tests.helpers.shaped_steps BUNDLE --data FILE.npz --trace FILE:NAME [--trace FILE:NAME] [--seconds 20]

In namespaces of their own, as `shaped_link` makes them; device and server get a processor core each. Printed are tasks
a second at each rate: of every cut alone, and of a run that may move, after it had a second and a half to settle; or
over the same seconds of each trace, all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from coachc.evaluate.bandwidth_trace import Trace, load_trace
from tests.helpers.commands import REPOSITORY
from tests.helpers.shaped_link import CLOUD, DEVICE, SCRIPTS, SERVER
from tests.helpers.soak import repeat

SETTLE_S = 1.5
MOST_TASKS = 20000
INSIDE = "COACHC_SHAPED_STEPS"
_OWN = ["unshare", "-Urnm", "--kill-child", "bash", "-c"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", default="20,10,5,20", help="Mbit/s, one after the other")
    parser.add_argument("--trace", action="append", default=[], help="FILE:NAME")
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    if not inside("tests.helpers.shaped_steps"):
        return
    rates = [int(text) for text in options.steps.split(",")]
    shape("up", rates[0])
    server = start(1, CLOUD, "serve", options.bundle, "--listen", SERVER, stderr=subprocess.PIPE)
    assert server.stderr is not None
    while b"serving" not in server.stderr.readline():
        assert server.poll() is None, "the server has not started"
    cuts = [cut["name"] for cut in json.loads((Path(options.bundle) / "manifest.json").read_text())["cuts"]]
    with tempfile.TemporaryDirectory() as folder:
        # Float16 rows, again and again, as many as the fastest run takes.
        repeat(options.data, Path(folder) / "long.npz", MOST_TASKS)
        options.data = str(Path(folder) / "long.npz")
        if options.trace:
            replay(options, cuts, Path(folder))
        else:
            measure(options, rates, cuts, Path(folder))
    server.kill()


def measure(options: argparse.Namespace, rates: list[int], cuts: list[str], folder: Path) -> None:
    """A line for each rate: every cut, the best of them, and the run that moves."""
    run = ["run", options.bundle, "--server", SERVER, "--source", options.data, "--json"]
    static: dict[int, dict[str, float]] = {}
    for rate in dict.fromkeys(rates):
        shape("set", rate)
        static[rate] = {}
        for cut in cuts:
            program = start(0, DEVICE, *run, "--cut", cut, stdout=subprocess.PIPE)
            time.sleep(options.seconds)
            static[rate][cut] = json.loads(ended(program))["throughput_per_s"]
    shape("set", rates[0])
    stats = folder / "stats.jsonl"
    program = start(0, DEVICE, *run, "--stats", str(stats), stdout=subprocess.PIPE)
    time.sleep(3 + SETTLE_S)
    for rate in rates:
        shape("set", rate)
        time.sleep(SETTLE_S)
        before, begin_s = count(stats), time.monotonic()
        time.sleep(options.seconds)
        found = (count(stats) - before) / (time.monotonic() - begin_s)
        best = max(static[rate].values())
        last = json.loads(stats.read_text().splitlines()[-2])
        fixed = ", ".join(f"{cut} {value:.1f}" for cut, value in static[rate].items())
        print(f"{rate:4} Mbit/s  moves {found:7.1f}/s  best fixed {best:7.1f}/s  share {found / best:.2f}", flush=True)
        print(f"     at {last['cut']}, {last['bandwidth_bytes_per_s'] * 8e-6:.1f} Mbit/s estimated; fixed: {fixed}")
    ended(program)


def replay(options: argparse.Namespace, cuts: list[str], folder: Path) -> None:
    """A line for each trace."""
    run = ["run", options.bundle, "--server", SERVER, "--source", options.data, "--json"]
    for said in options.trace:
        path, _, name = said.partition(":")
        trace, found = load_trace(path, name), {}
        for cut in (*cuts, ""):
            shape("set", rate_of(trace, 0.0))
            stats = folder / f"stats-{len(found)}.jsonl"
            held = ["--cut", cut] if cut else []
            program = start(0, DEVICE, *run, "--stats", str(stats), *held, stdout=subprocess.PIPE)
            while not count(stats):
                time.sleep(0.05)
            before, begin_s = count(stats), time.monotonic()
            while (now_s := time.monotonic() - begin_s) < options.seconds:
                shape("set", rate_of(trace, now_s))
                time.sleep(0.1)
            found[cut] = (count(stats) - before) / now_s
            ended(program)
            stats.unlink()
        moves = found.pop("")
        fixed = ", ".join(f"{cut} {value:.1f}" for cut, value in found.items())
        print(f"{name}  moves {moves:.1f}/s  share {moves / max(found.values()):.2f}  fixed: {fixed}", flush=True)


def rate_of(trace: Trace, at_s: float) -> float:
    """Mbit/s at that time; tc takes no rate of 0."""
    place = min(int(np.searchsorted(np.cumsum(trace.durations_s), at_s, "right")), len(trace.durations_s) - 1)
    return max(0.05, float(trace.rates[place]) / 125000.0)


def inside(module: str) -> bool:
    """Whether this program has namespaces of its own; if not, it runs again with some, and fails where that does."""
    if INSIDE in os.environ:
        return True
    command = 'mount -t tmpfs t /run && exec "$0" "$@"'
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(REPOSITORY)}
    again = [sys.executable, "-m", module, *sys.argv[1:]]
    subprocess.run([*_OWN, command, *again], env=environment, check=True)
    return False


def shape(what: str, rate: float) -> None:
    subprocess.run(["bash", str(SCRIPTS / "netshape.sh"), what, str(rate)], check=True, stdout=subprocess.DEVNULL)


def start(core: int, namespace: str, *words: str, **streams: int) -> subprocess.Popen[bytes]:
    """A command of coachc on one core of one side."""
    command = ["taskset", "-c", str(core), "ip", "netns", "exec", namespace, sys.executable, "-m", "coachc", *words]
    streams.setdefault("stderr", subprocess.DEVNULL)
    return subprocess.Popen(command, **streams)  # type: ignore[call-overload, no-any-return]


def ended(program: subprocess.Popen[bytes]) -> str:
    """What a run prints that is asked to stop."""
    program.send_signal(signal.SIGTERM)
    return program.communicate()[0].decode().splitlines()[-1]


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    main()
