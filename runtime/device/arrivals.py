"""Tasks as they come: numbered, with their labels and arrival times, those that cannot be read among them."""

import time
from typing import Any, Callable, Iterable, Iterator, Optional

from ..bundle.feeds import Source
from ..bundle.image_source import ImageSource
from ..bundle.manifest_types import Cut
from ..bundle.skipped import Skipped
from ..errors import SourceError
from .found import Findings
from .outcome import Failed
from .predictions import Arrays
from .run_tasks import Task
from .task_tally import Tally


def with_left_out(feeds: Iterable[Any], source: Source) -> Iterator[Any]:
    """Feeds of a source, and before each what the source has left out since the one before: `Skipped`."""
    known = len(source.skipped)
    for feed in feeds:
        yield from source.skipped[known:]
        known = len(source.skipped)
        yield feed
    yield from source.skipped[known:]


def arrivals(
    items: Iterable[Any],
    source: Source,
    tally: Tally,
    interval_s: float,
    stopping: Callable[[], bool],
    findings: Optional[Findings] = None,
) -> Iterator[Task]:
    """Tasks of a source, until it ends or somebody wants no more; each is told to the tally.

    Parameters
    ----------
    items : iterable of mapping or Skipped
        As `with_left_out` gives them; what was left out ends as an error of a task.
    source : Source
    tally : Tally
    interval_s : float
        Between arrivals, as a camera gives them, the first now; 0: tasks come when there is room for them.
    stopping : callable
    findings : Findings, optional
        Told of each task too.
    """
    number, taken = 0, 0
    rows = 0 if source.labels is None else len(source.labels) // max(len(source), 1)
    first_s = None
    for item in items:
        if isinstance(item, Skipped):
            tally.submit(number)
            tally.end(Failed(number, "input", f"{item.path}: {item.reason}"))
            number += 1
            continue
        if stopping():
            return
        first_s = time.perf_counter() if first_s is None else first_s
        labels = None
        if source.labels is not None:
            # What is read ahead leaves rows out behind this one only.
            labels = source.labels[taken * rows : (taken + 1) * rows].tolist()
        tally.submit(number, labels)
        if findings is not None:
            findings.expect(number, taken)
        yield Task(number, item, first_s + taken * interval_s if interval_s > 0 else None)
        number += 1
        taken += 1


def images(cut: Cut, source: Source) -> Iterator[Arrays]:
    """Pictures as they are, for a cut that sends them."""
    if not isinstance(source, ImageSource):
        raise SourceError(
            f"cut '{cut.name}' sends JPEG images, and the source holds arrays",
            hint="--source takes a folder of images for it",
        )
    return ({cut.values[0].name: image} for image in source.images())
