"""One engine of TensorRT-RTX in a process of its own: ``python -m coachc.emit.rtx_worker CAPABILITY PLAN`` < model.

A build depends on what the process has built before it: after one that failed, the next plan has other bytes. And
should the library crash, only this process ends. What it says goes to stdout as JSON: `lines` of the log, or `error`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from coachc.runtime.engines.dialect import Settings
from coachc.runtime.engines.load_dialect import load_dialect
from coachc.runtime.errors import EngineError

MODULE = "tensorrt_rtx"


def build_apart(model: bytes, compute_capability: str, max_batch: int = 1) -> tuple[bytes, list[tuple[str, str]]]:
    """A plan, and the log as (severity, message), from another process.

    Raises
    ------
    EngineError
        What the build said, or that the process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        done = subprocess.run(
            [sys.executable, "-m", __name__, compute_capability, str(max_batch), str(plan)],
            input=model,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part) or os.getcwd()},
            check=False,
        )
        if done.returncode:
            tail = done.stderr.decode("utf-8", "replace").splitlines()[-5:]
            ended = f"by signal {-done.returncode}" if done.returncode < 0 else f"with exit code {done.returncode}"
            raise EngineError(f"the build with TensorRT-RTX ended {ended}", tail)
        said: dict[str, Any] = json.loads(done.stdout.decode("utf-8").splitlines()[-1])
        if "error" in said:
            raise EngineError(*said["error"])
        return plan.read_bytes(), [(severity, message) for severity, message in said["lines"]]


def main(compute_capability: str, max_batch: str, plan: str) -> None:
    """Build what comes on stdin; write the plan, and what was said to stdout."""
    lines: list[tuple[str, str]] = []

    def sink(severity: str, message: str) -> None:
        if severity != "VERBOSE":
            lines.append((severity, message))

    said: dict[str, Any] = {"lines": lines}
    try:
        settings = Settings(compute_capability=compute_capability, opt_batch=int(max_batch), max_batch=int(max_batch))
        built = load_dialect(MODULE).build(sys.stdin.buffer.read(), settings, sink)
        Path(plan).write_bytes(built.plan)
    except EngineError as exc:
        said = {"error": [exc.message, list(exc.context), exc.hint]}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
