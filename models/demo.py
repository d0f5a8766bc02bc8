"""The demo: compile the digits network for a TX2 and an A6000, then run both halves in their own processes.

    python -m coachc.models.demo [--keep DIR]

Every step is the command a user would type; it is printed before it runs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Path(__file__).parent / "digits.onnx"
BANDWIDTH = "20Mbit"
#: Largest loss of the split model on held-out images, a fraction.
BUDGET = 0.005
READY_S = 60


def main(
    keep: Annotated[Path | None, typer.Option(help="Leave the bundle and the images in this folder.")] = None,
) -> None:
    """Compile, serve and run the digits network, and compare it with the whole model."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        demo(keep)
        return
    with tempfile.TemporaryDirectory(prefix="coachc-demo-") as folder:
        demo(Path(folder))


def demo(folder: Path) -> None:
    """Run every step in `folder`; exit code 1 if the split model loses more than the budget."""
    calib, test, bundle = folder / "calib.npz", folder / "test.npz", folder / "digits.coach"
    _title("1. Real images: scikit-learn's handwritten digits; the test images were never trained on")
    _run(sys.executable, "-m", "coachc.models.digits", "data", "--calib", calib, "--test", test)

    _title("2. Compile the trained network for a Jetson TX2 and an A6000 server on a 20 Mbit/s link, as a split")
    compile_flags = (
        "--device",
        "tx2",
        "--cloud",
        "a6000",
        "--bandwidth",
        BANDWIDTH,
        "--calib",
        calib,
        "--mode",
        "split",
    )
    _coachc("compile", MODEL, *compile_flags, "-o", bundle, "--force")

    _title("3. Check that the two halves are the model")
    _coachc("check", bundle, "--source", test)

    _title("4. Serve the cloud half in one process, run the device half in another (both on this machine's CPU)")
    with _serving(bundle) as address:
        split = _report("run", bundle, "--server", address, "--source", test)
        sent = _report("run", bundle, "--server", address, "--source", test, "--policy", "none")
    whole = _report("run", bundle, "--cut", "device-only", "--source", test)

    _title("Result, measured over a real socket on this machine's CPU (the table of step 2 is for TX2 and A6000)")
    print(f"{'':<26}{'accuracy':>10}{'early exits':>13}{'bytes/task':>12}{'latency p50':>14}{'tasks/s':>10}")
    for name, report in (
        ("whole model on the device", whole),
        ("split, every task sent", sent),
        ("split, with early exits", split),
    ):
        early = sum(report["exits"].get(reason, 0) for reason in ("score", "memory")) / report["tasks"]
        print(
            f"{name:<26}{report['accuracy']:>10.2%}{early:>13.1%}{report['bytes_per_task']:>12.0f}"
            f"{report['latency_s']['p50'] * 1e3:>11.2f} ms{report['throughput_per_s']:>10.0f}"
        )
    loss = whole["accuracy"] - split["accuracy"]
    print(f"\n{split['tasks']} held-out images, accuracy lost by splitting: {loss:.2%} (budget {BUDGET:.1%})")
    if loss > BUDGET:
        sys.exit(1)


@contextmanager
def _serving(bundle: Path) -> Iterator[str]:
    """`coachc serve` on a free port until the block ends; yields HOST:PORT."""
    command = [sys.executable, "-m", "coachc", "serve", str(bundle), "--listen", "127.0.0.1:0"]
    _show(command)
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        print(line, end="", flush=True)
        if "http://" not in line:
            print(server.stderr.read(), end="")
            sys.exit(1)
        yield line.split("http://")[1].split()[0]
    finally:
        server.terminate()
        server.wait(READY_S)


def _report(*arguments: object) -> dict[str, Any]:
    return json.loads(_coachc(*arguments, "--json", capture=True))


def _coachc(*arguments: object, capture: bool = False) -> str:
    return _run(sys.executable, "-m", "coachc", *arguments, capture=capture)


def _run(*command: object, capture: bool = False) -> str:
    words = [str(word) for word in command]
    _show(words)
    done = subprocess.run(words, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def _show(words: list[str]) -> None:
    shown = " ".join(shlex.quote(Path(word).name if "/" in word else word) for word in words)
    print("$ " + shown.replace("python3 -m coachc", "coachc").replace("python -m coachc", "coachc"), flush=True)


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    typer.run(main)
