"""What coachc makes of every ONNX file in a folder: a row each, and whether anything crashes or fails its own check.

    python -m tests.helpers.field_table FOLDER [--target tx2 ...] [--seconds 20] [--json]
    python -m tests.helpers.field_table FOLDER --one-operator-models   # writes onnx's own test models there first

Each file is compiled for each target on noise and the bundle checked as a user would do it, cut everywhere as far as
time allows, and the model checked against the target. A child process of its own does that: what it leaves behind, or
dies of, is its own, and its memory can be told.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

TARGETS = ("tx2", "xavier-nx", "orin-nano")
#: Of a child process; whoever needs longer than that hangs.
LIMIT_S = 600.0


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes
    ----------
    file : str
    verdict : str
        "ok", "refused" (an error that says what to do), "crash" or "fails its own check".
    compiled, checked, built : dict of str to int
        Exit codes of `compile`, of `check BUNDLE` and of `check MODEL --device`, by target.
    cuts : str
        What `--all-cuts` said.
    said : str
        The first error.
    seconds, peak_mib : float
    """

    file: str
    verdict: str
    compiled: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    built: dict[str, int] = field(default_factory=dict)
    cuts: str = ""
    said: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0


def tried(path: Path, targets: Sequence[str], seconds: float, flags: Sequence[str] = ()) -> Row:
    """One file in this process."""
    started = time.perf_counter()
    compiled, checked, built, said = {}, {}, {}, ""
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            bundle = f"{folder}/{target}.coach"
            code, text = _run(
                "compile", path, "--device", target, "-o", bundle, "--calib", "random", "--samples", 4, *flags
            )
            compiled[target] = code
            if code == 0:
                checked[target], why = _run("check", bundle, "--samples", 1)
                text = why if checked[target] else ""
            said = said or text
            built[target] = _run("check", path, "--device", target, *flags)[0]
    code, cuts = _run("check", path, "--all-cuts", "--seconds", max(seconds, 1), *flags)
    codes = [*compiled.values(), *checked.values(), *built.values(), code]
    if 70 in codes:
        verdict = "crash"
    elif any(checked.values()) or code == 3:
        verdict = "fails its own check"
    else:
        verdict = "ok" if not any(compiled.values()) else "refused"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(path.name, verdict, compiled, checked, built, _cuts(cuts), said, time.perf_counter() - started, peak)


def _run(*arguments: object) -> tuple[int, str]:
    """Exit code and first line of what `coachc ARGUMENTS` says: its error, or the line about cuts."""
    from coachc.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    argv = ["coachc", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as stopped:
            code = stopped.code or 0
    lines = err.getvalue().strip().splitlines()
    first = next((line for line in lines if line.startswith("error")), lines[-1] if lines else "")
    cuts = next((line for line in out.getvalue().splitlines() if line.startswith("ok  cuts")), "")
    return int(str(code)), first or cuts


def _cuts(text: str) -> str:
    return text.removeprefix("ok  cuts").strip()


def _child(pipe: Any, path: Path, targets: Sequence[str], seconds: float, flags: Sequence[str]) -> None:
    pipe.send(asdict(tried(path, targets, seconds, flags)))


def row_of(path: Path, targets: Sequence[str], seconds: float, flags: Sequence[str] = ()) -> Row:
    """One file in a process of its own."""
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(other, path, targets, seconds, flags))
    process.start()
    other.close()
    try:
        found = mine.recv() if mine.poll(LIMIT_S) else None
    except EOFError:
        found = None
    if found is None:
        process.kill()
    process.join()
    if found is None:
        return Row(path.name, "crash", said=f"the process ended with {process.exitcode}, or took {LIMIT_S:g} s")
    return Row(**found)


def write_one_operator_models(folder: Path) -> int:
    """The models of onnx's own operator tests; how many."""
    from onnx.backend.test.case.node import collect_testcases

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for case in collect_testcases(None):
        if case.model is not None:
            (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", action="append", help=f"Default: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of --all-cuts on each file")
    parser.add_argument("--one-operator-models", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.one_operator_models:
        print(f"{write_one_operator_models(given.folder)} models written", file=sys.stderr)
    import coachc.pipeline  # noqa: F401  (imported once, before the processes that do the work)

    rows = []
    for path in sorted(given.folder.rglob("*.onnx")):
        row = row_of(path, tuple(given.target or TARGETS), given.seconds)
        rows.append(row)
        if given.json:
            print(json.dumps(asdict(row)), flush=True)
        else:
            codes = " ".join(f"{t}:{c}/{row.checked.get(t, '-')}/{row.built[t]}" for t, c in row.compiled.items())
            figures = f"{row.seconds:6.1f} s {row.peak_mib:6.0f} MiB"
            print(f"{row.verdict:<20}{figures}  {row.file:<48} {codes}  {row.cuts or row.said}", flush=True)
    counts = Counter(row.verdict for row in rows)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()), file=sys.stderr)
    sys.exit(3 if counts.keys() & {"crash", "fails its own check"} else 0)


if __name__ == "__main__":
    main()
