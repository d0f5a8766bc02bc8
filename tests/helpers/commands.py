"""The command line in this process, and `coachc serve` in another one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from coachc.cli.main import run

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60.0


class Outcome(NamedTuple):
    """Exit code and text of one command."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return json.loads(self.out)


def coachc(*arguments: object) -> Outcome:
    """Run `coachc ARGUMENTS` here, through its entry point."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["coachc", *(str(argument) for argument in arguments)]
    code: object = 0
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as stopped:
            code = stopped.code or 0
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


def succeed(*arguments: object) -> str:
    """Run a command that has to work; its stdout."""
    outcome = coachc(*arguments)
    assert outcome.code == 0, f"coachc {' '.join(map(str, arguments))}\n{outcome.out}{outcome.err}"
    return outcome.out


def compile_json(model: object, output: object, *arguments: object) -> dict[str, Any]:
    """`coachc compile --json`, for tx2, a6000 and 20 Mbit/s unless the arguments say otherwise."""
    defaults = {"--device": "tx2", "--cloud": "a6000", "--bandwidth": "20Mbit"}
    flags = [item for flag, value in defaults.items() if flag not in arguments for item in (flag, value)]
    return coachc("compile", model, *flags, "-o", output, "--json", *arguments).json()


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A coachc command in another process, stdout and stderr piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "coachc", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def serving(bundle: object, *arguments: object) -> Iterator[str]:
    """`coachc serve` in another process, on a free port of the loopback device; yields HOST:PORT."""
    process = start("serve", bundle, "--listen", "127.0.0.1:0", "--threads", 1, *arguments)
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
    reader.start()
    try:
        said = ""
        while not (found := re.search(r"serving .* on http://(127\.0\.0\.1:\d+)", said)):
            line = lines.get(timeout=START_S)
            assert line, f"coachc serve ended: {said}"
            said += line
        yield found[1]
    finally:
        process.terminate()
        process.wait(START_S)
        reader.join(START_S)
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0


def _read(stream: io.TextIOBase, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def run_over_socket(bundle: object, source: object, *arguments: object) -> dict[str, Any]:
    """Serve the bundle's chosen cut and run it against that server; the report of `coachc run --json`."""
    with serving(bundle) as address:
        return coachc("run", bundle, "--server", address, "--source", source, "--json", *arguments).json()
