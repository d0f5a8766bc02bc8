"""`python -m tests.helpers.run_tiny HOST:PORT LOSS`: the device program with the tiny bundle of `serve_tiny`, over a
relay that loses this share of all packets for a while; a line of JSON that says what became of its tasks.
"""

import json
import sys
import tempfile
import threading
import time

import numpy as np

from coachc.runtime.device.outcome import Done
from coachc.runtime.device.run_bundle import run_bundle
from tests.helpers.runtime_bundles import fake_engine_for, make_bundle

RELAY = "/run/link.json"
CALM_S, LOSSY_S, LONGEST_S = 0.5, 2.0, 5.0


def main(address, loss):
    state = {"well_s": None, "again_s": None, "begin_s": None}
    outcomes = []

    def relay(share):
        with open(RELAY, "w") as stream:
            json.dump({way: {"loss": share, "delay_ms": 2} for way in ("ab", "ba")}, stream)

    def disturb():
        time.sleep(CALM_S)
        relay(loss)
        time.sleep(LOSSY_S)
        relay(0.0)
        time.sleep(0.3)  # the relay looks at its file now and then
        state["well_s"] = time.perf_counter()

    def ended(outcome):
        outcomes.append(outcome)
        now_s, well_s = time.perf_counter(), state["well_s"]
        sent = isinstance(outcome, Done) and outcome.exit == ""
        if sent and well_s is not None and state["again_s"] is None and now_s - outcome.latency_s > well_s:
            state["again_s"] = now_s - well_s

    def stopping():
        if state["begin_s"] is None:
            state["begin_s"] = time.perf_counter()
            threading.Thread(target=disturb, daemon=True).start()
        well_s = state["well_s"]
        return state["again_s"] is not None or (well_s is not None and time.perf_counter() > well_s + LONGEST_S)

    with tempfile.TemporaryDirectory() as folder:
        np.savez(folder + "/x.npz", input=np.zeros((5000, 3, 4, 4), np.float32))
        report = run_bundle(
            make_bundle(folder + "/tiny.coach").path, address, folder + "/x.npz", interval_s=0.01, timeout_s=5.0,
            engine_factory=fake_engine_for, ended=ended, stopping=stopping,
        )  # fmt: skip
    print(
        json.dumps(
            {
                "submitted": report.submitted,
                "once": sorted(outcome.task for outcome in outcomes) == list(range(report.submitted)),
                "errors": report.errors,
                "exits": dict(report.online.exits),
                "again_s": state["again_s"],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
