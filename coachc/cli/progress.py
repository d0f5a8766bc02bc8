"""Progress of long work on stderr, with --json too: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from coachc.core.progress import Progress
from coachc.runtime.progress_lines import ProgressLines, can_redraw


@contextmanager
def reporting() -> Iterator[Progress]:
    """A `Progress` that shows where the work is while the block runs; a bar leaves nothing behind."""
    if not can_redraw(sys.stderr, os.environ.get("TERM", "")):
        yield ProgressLines(sys.stderr)
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
