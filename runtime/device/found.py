"""What a run finds, where people need it: boxes and masks in the source picture's own pixels, by its name.

Boxes go to a file of JSON lines, masks to a .npz; both grow while the run goes on.
"""

import io
import threading
import zipfile
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..bundle.feeds import Source
from ..decode.decoder import Decoder
from ..decode.detections import Detections, Placement, in_source, mask_in_source
from ..errors import CoachRuntimeError, UsageError
from .outcome import Failed, Outcome
from .run_log import log_event
from .stats_file import StatsFile

#: Gets a picture's name and what was found in it.
Sink = Callable[[str, Any], None]


class Findings:
    """Puts what was found into the source picture's pixels and gives it to sinks, in the order of the answers.

    Parameters
    ----------
    source : Source
    input_size : tuple of int
        Height and width of the model's input.
    rows : int
        Of a task.
    sinks : sequence of callable
    """

    def __init__(self, source: Source, input_size: Tuple[int, int], rows: int, sinks: Sequence[Sink]) -> None:
        self._source, self._input_size, self._rows, self._sinks = source, input_size, rows, tuple(sinks)
        self._lock = threading.Lock()
        self._expected: Dict[int, List[Tuple[str, Optional[Placement]]]] = {}

    def expect(self, task: int, taken: int) -> None:
        """A task has come, the source's `taken`-th that could be read."""
        rows = range(taken * self._rows, (taken + 1) * self._rows)
        with self._lock:
            self._expected[task] = [(self._source.name_of(row), self._source.placement(row)) for row in rows]

    def end(self, outcome: Outcome) -> None:
        """A task has ended; of one that failed nothing was found."""
        with self._lock:
            expected = self._expected.pop(outcome.task, [])
            if isinstance(outcome, Failed):
                return
            for (name, placement), found in zip(expected, outcome.predictions):
                located = found if placement is None else self._located(found, placement)
                for sink in self._sinks:
                    sink(name, located)

    def _located(self, found: Any, placement: Placement) -> Any:
        if isinstance(found, Detections):
            return in_source(found, placement)
        return mask_in_source(found, placement, self._input_size)


def answers_file(path: str, decoder: Decoder) -> "Union[BoxesFile, MasksFile]":
    """The file for what a decoder finds; of boxes those that score enough for it.

    Raises
    ------
    UsageError, CoachRuntimeError
        Its name is for the other kind; it cannot be written.
    """
    suffix = {"boxes": ".jsonl", "mask": ".npz"}[decoder.kind]
    if not path.endswith(suffix):
        raise UsageError(f"--answers {path}: {'boxes' if decoder.kind == 'boxes' else 'masks'} go to a {suffix} file")
    return BoxesFile(path, decoder.classes, decoder.score) if decoder.kind == "boxes" else MasksFile(path)


class BoxesFile:
    """A sink: a JSON object a picture: its name, and box, score and class of all that was found."""

    def __init__(self, path: str, classes: Sequence[str], shown: float) -> None:
        self._file = StatsFile(path, flag="--answers")
        self._classes = tuple(classes)
        self._shown = shown

    @property
    def dropped(self) -> int:
        """Answers that could not be written."""
        return self._file.dropped

    def __call__(self, name: str, found: Any) -> None:
        boxes = [
            {
                "box": [round(float(edge), 2) for edge in box],
                "score": round(float(score), 4),
                "class": int(number),
                "name": self._classes[number],
            }
            for box, score, number in zip(found.boxes, found.scores, found.classes)
            if score > self._shown
        ]
        self._file.write({"picture": name, "boxes": boxes})

    def close(self) -> None:
        self._file.close()


class MasksFile:
    """A sink: a .npz with an array a picture, by its name: the class of each pixel."""

    def __init__(self, path: str) -> None:
        try:
            self._zip: Optional[zipfile.ZipFile] = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        except OSError as exc:
            raise CoachRuntimeError(f"cannot write --answers {path}: {exc.strerror or exc}") from exc
        self.dropped = 0
        self._names: Dict[str, int] = {}

    def __call__(self, name: str, found: Any) -> None:
        if self._zip is None:
            self.dropped += 1
            return
        count = self._names[name] = self._names.get(name, 0) + 1
        stream = io.BytesIO()
        np.save(stream, found)
        try:
            # Frames of a video have one name.
            self._zip.writestr((name if count == 1 else f"{name} {count}") + ".npy", stream.getvalue())
        except OSError as exc:
            self.dropped += 1
            self._zip = None  # an archive that broke off cannot go on
            log_event("file failed", flag="--answers", reason=exc.strerror or str(exc))

    def close(self) -> None:
        if self._zip is not None:
            try:
                self._zip.close()
            except OSError as exc:
                log_event("file failed", flag="--answers", reason=exc.strerror or str(exc))
