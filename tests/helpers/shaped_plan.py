"""A plan of measured stages beside what a run achieves over a link of that rate.

    python -m tests.helpers.shaped_plan MODEL.onnx --data FILE.npz [--rates 5,20,100] [--seconds 8] [--calib PATH]

In namespaces of their own, as `shaped_link` makes them; device and server get a processor core each, whose times are
measured first, then by a run of its own, from which the bundle is compiled that counts. Printed for each rate are:

- the period that is planned, the one of the longest stage as the run has measured it, and the one of the run;
- how busy each stage is, the link's as its network interface counts bytes;
- how much sooner results come than from the same halves one after the other: tasks that come apart;
- latencies at four fifths of the throughput, beside those of `passes.simulate` of the stages measured in that run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from coachc.passes.simulate import pipeline, staged_task
from tests.helpers.shaped_link import CLOUD, DEVICE, SERVER
from tests.helpers.shaped_steps import ended, inside, shape, start
from tests.helpers.soak import repeat

MOST_TASKS = 20000
WARM_S = 2.0
LOAD = 0.8
STAGES = ("device", "link", "cloud")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--calib", default="random")
    parser.add_argument("--rates", default="5,20,100", help="Mbit/s")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    if not inside("tests.helpers.shaped_plan"):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(options.data, folder / "long.npz", MOST_TASKS)
        rates = options.rates.split(",")
        shape("up", float(rates[0]))
        done(0, "profile", options.model, "-o", str(folder / "device.json"))
        done(1, "profile", options.model, "-o", str(folder / "cloud.json"))
        for rate in rates:
            shape("set", float(rate))
            print(f"{rate} Mbit/s", flush=True)
            measure(options, folder, rate)


def measure(options: argparse.Namespace, folder: Path, rate: str) -> None:
    """All that is printed of one rate."""
    first, bundle, profile = folder / f"first{rate}.coach", folder / f"{rate}.coach", folder / f"run{rate}.json"
    profiles = ["--device-profile", str(folder / "device.json"), "--cloud-profile", str(folder / "cloud.json")]
    compiled(options, rate, first, *profiles)
    run(first, folder, options.seconds, "--profile-out", str(profile))
    plan = compiled(options, rate, bundle, "--from-run", str(profile), *profiles[2:])["plan"]
    full = run(bundle, folder, options.seconds)
    period_s = full["against_plan"]["period_s"]["achieved"]
    stage_s = {name: stage["median_s"] for name, stage in full["against_plan"]["stages"].items()}
    busy = {name: 1 - stage["idle_share"] for name, stage in full["against_plan"]["stages"].items()}
    # What the device's core does in all: sending and receiving are done by it too.
    longest_s = max(*stage_s.values(), full["against_plan"]["processor_s"])
    print(f"  cut {', '.join(value['value'] for value in plan['cut'])}; {full['payload_bytes_per_task']:.0f} B a task")
    print(f"  period planned {ms(plan['period_s'])}, of the longest stage {ms(longest_s)}, of the run {ms(period_s)}")
    shares = plan["period_s"] / period_s, longest_s / period_s
    print(f"  share of the plan {shares[0]:.3f}, of the longest stage {shares[1]:.3f}")
    planned = {name: plan[f"{name}_s"] for name in STAGES}
    stages = ", ".join(f"{name} {ms(stage_s[name])} (planned {ms(planned[name])})" for name in stage_s)
    print(f"  stages {stages}; the device's core {ms(full['against_plan']['processor_s'])}")
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in busy.items())
    print(f"  busy {said}; the wire {100 * full['wire_bytes'] / full['wire_s'] / (float(rate) * 125000):.0f} %")
    apart = run(bundle, folder, options.seconds, "--fps", str(0.3 / sum(stage_s.values())))
    alone_s = apart["latency_s"]["p50"]
    print(f"  one after the other {ms(alone_s)}: {alone_s / period_s:.2f} times as long")
    fps = LOAD / period_s
    loaded = run(bundle, folder, options.seconds, "--fps", str(fps))
    found_s = {name: stage["median_s"] for name, stage in loaded["against_plan"]["stages"].items()}
    said_s = simulated(found_s, fps)
    for name, expected_s in said_s.items():
        real_s = loaded["latency_s"][name]
        print(f"  latency {name} at {fps:.0f}/s {ms(real_s)}, simulated {ms(expected_s)}: {real_s / expected_s:.2f}")


def simulated(stage_s: dict[str, float], fps: float) -> dict[str, float]:
    """Latencies of tasks that come evenly."""
    task = staged_task(*(stage_s[name] for name in STAGES))
    arrivals = [number / fps for number in range(500)]
    done = pipeline([task] * len(arrivals), arrivals)
    latencies_s = np.subtract(done.finishes_s, done.arrivals_s)
    return {name: float(np.quantile(latencies_s, quantile)) for name, quantile in (("p50", 0.5), ("p95", 0.95))}


def run(bundle: Path, folder: Path, seconds: float, *more: str) -> dict[str, Any]:
    """The report of a run that is stopped after some time, and what its interface has sent meanwhile."""
    server = start(1, CLOUD, "serve", str(bundle), "--listen", SERVER, "--threads", "1", stderr=subprocess.PIPE)
    assert server.stderr is not None
    while b"serving" not in server.stderr.readline():
        assert server.poll() is None, "the server has not started"
    # The plan is of this cut: nothing is decided.
    chosen = json.loads((bundle / "manifest.json").read_text())["chosen"]
    source = ["--source", str(folder / "long.npz"), "--policy", "none", "--cut", chosen, "--threads", "1"]
    program = start(
        0, DEVICE, "run", str(bundle), "--server", SERVER, *source, *more, "--json", stdout=subprocess.PIPE
    )  # fmt: skip
    time.sleep(3 + WARM_S)
    before, begin_s = sent_bytes(), time.monotonic()
    time.sleep(seconds)
    wire = {"wire_bytes": sent_bytes() - before, "wire_s": time.monotonic() - begin_s}
    report = json.loads(ended(program)) | wire
    server.kill()
    return dict(report)


def sent_bytes() -> int:
    counter = ["ip", "netns", "exec", DEVICE, "cat", "/sys/class/net/vd/statistics/tx_bytes"]
    return int(subprocess.run(counter, check=True, capture_output=True, text=True).stdout)


def compiled(options: argparse.Namespace, rate: str, bundle: Path, *profiles: str) -> dict[str, Any]:
    link = ["--bandwidth", f"{rate}Mbit", "--rtt", "0.1ms", "--mode", "split"]
    sides = ["--device", "local", "--cloud", "local", "--calib", options.calib]
    said = done(0, "compile", options.model, *sides, *link, "-o", str(bundle), "--json", *profiles)
    return dict(json.loads(said))


def done(core: int, *words: str) -> str:
    """What a command prints that is waited for."""
    program = start(core, DEVICE, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = program.communicate()
    if program.returncode:
        raise SystemExit(f"coachc {' '.join(words)}\n{err.decode()}")
    return out.decode()


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"


if __name__ == "__main__":
    main()
