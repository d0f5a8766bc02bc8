"""What was measured of precisions, kept in a file while a compilation runs, so that one that was stopped goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coachc.core.plan import Accuracy, Quantizer
from coachc.errors import FileError


@dataclass(frozen=True, slots=True)
class Measured:
    """What a precision loses on the samples seen, and whether those kept back are expected to prove it."""

    accuracy: Accuracy
    promising: bool


class Measurements:
    """Losses by what was measured; each is appended to the file at once.

    A line that cannot be read ends the file: that is where the last run was stopped.

    Parameters
    ----------
    path : path or None
        None keeps them in memory only.

    Attributes
    ----------
    resumed : int
        How many were in the file.

    Raises
    ------
    coachc.errors.FileError
        The file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._known: dict[str, Measured] = {}
        if self._path is not None:
            try:
                self._read(self._path)
            except OSError as exc:
                raise FileError(
                    f"cannot use {self._path}, where measurements are kept: {exc.strerror or exc}",
                    hint="move it away, or give another output",
                ) from exc
        self.resumed = len(self._known)

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        whole: list[str] = []
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                said = entry["accuracy"]
                figures = tuple((name, whole, split) for name, whole, split in said.pop("figures"))
                self._known[entry["key"]] = Measured(Accuracy(**said, figures=figures), entry["promising"])
            except (ValueError, TypeError, KeyError, AttributeError):
                # Without what was cut off, or the next measurement would be written into the same line.
                path.write_text("".join(f"{kept}\n" for kept in whole), "utf-8")
                break
            whole.append(line)

    def get(self, key: str) -> Measured | None:
        """What was measured under a key."""
        return self._known.get(key)

    def put(self, key: str, measured: Measured) -> None:
        """Keep one measurement."""
        self._known[key] = measured
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, **dataclasses.asdict(measured)}) + "\n")
            except OSError as exc:
                raise FileError(
                    f"cannot keep measurements in {self._path}: {exc.strerror or exc}",
                    hint="make room there or give another output; the same command goes on with what was measured",
                ) from exc

    def discard(self) -> None:
        """Remove the file. Where that cannot be, it stays: a later run finds nothing wrong in it."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


def measurement_key(fingerprint: str, budget: float, quantizers: Sequence[Quantizer]) -> str:
    """What identifies a measurement: the model's answers on the samples, the budget, and how each value is rounded.

    Parameters
    ----------
    fingerprint : str
        Of the trial: the model and the samples are in it.
    budget : float
    quantizers : sequence of Quantizer
    """
    rounded = [dataclasses.astuple(quantizer) for quantizer in quantizers]
    return hashlib.sha256(repr((fingerprint, budget, rounded)).encode()).hexdigest()
