"""A simulated pipeline as lines of text: one a stage, a character a moment, the digit says which task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coachc.core.operations import STAGES, TaskSpan
from coachc.passes.simulate import pipeline, staged_task

#: Tasks that are drawn.
TASKS = 5
#: Characters of the whole time, where there is room for them.
WIDTH = 96
#: Character of a stage without work.
IDLE = "."


def lines(timeline: Mapping[str, float], rtt_s: float, width: int = WIDTH, *, workers: int = 1) -> list[str]:
    """The first tasks of a saturated pipeline whose stages run one after the other.

    Parameters
    ----------
    timeline : mapping
        "device_s", "link_s" and "cloud_s" of one task.
    rtt_s : float
    width : int
        Characters of the whole time.
    workers : int

    Returns
    -------
    list of str
    """
    task = staged_task(timeline["device_s"], timeline["link_s"], timeline["cloud_s"], rtt_s)
    simulated = pipeline([task] * TASKS, [0.0] * TASKS, workers)
    whole_s = max(simulated.finishes_s)
    return [
        f"{stage:<8}{_bar([s for s in simulated.spans if s.stage == stage], whole_s, width)}"
        for stage in STAGES
        if stage == "device" or len(task) > 1
    ] + [f"{'':<8}{'0':<{width - 12}}{whole_s * 1e3:>9.2f} ms"]


def _bar(spans: Sequence[TaskSpan], whole_s: float, width: int) -> str:
    """Every moment shows the task that has most of it."""
    cells = [IDLE] * width
    for place in range(width):
        start_s, end_s = whole_s * place / width, whole_s * (place + 1) / width
        inside = {span.task: min(span.end_s, end_s) - max(span.start_s, start_s) for span in spans}
        task = max(inside, key=lambda number: inside[number])
        if inside[task] > (end_s - start_s) / 2:
            cells[place] = str(task + 1)
    return "".join(cells)
