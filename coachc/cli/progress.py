"""Progress of long work on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from coachc.planning.problem import Progress


@contextmanager
def reporting() -> Iterator[Progress]:
    """A `Progress` that draws while the block runs and leaves nothing behind."""
    if not sys.stderr.isatty():
        yield lambda step, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def show(step: str, done: int, total: int) -> None:
            count = f" {done}" + (f"/{total}" if total else "") if done else ""
            bar.update(task, description=step + count, completed=done, total=total or None)

        yield show
