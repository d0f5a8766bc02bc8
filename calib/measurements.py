"""Accuracies that were measured, kept in a file while a compilation runs, so that one that was stopped goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from coachc.core.plan import Accuracy, Quantizer
from coachc.errors import FileError


class Measurements:
    """Accuracy by what was measured; each is appended to the file at once.

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
        self._known: dict[str, Accuracy] = {}
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
                self._known[entry["key"]] = Accuracy(**entry["accuracy"])
            except (ValueError, TypeError, KeyError):
                # Without what was cut off, or the next measurement would be written into the same line.
                path.write_text("".join(f"{kept}\n" for kept in whole), "utf-8")
                break
            whole.append(line)

    def get(self, key: str) -> Accuracy | None:
        """What was measured under a key."""
        return self._known.get(key)

    def put(self, key: str, accuracy: Accuracy) -> None:
        """Keep one measurement."""
        self._known[key] = accuracy
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "accuracy": dataclasses.asdict(accuracy)}) + "\n")
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


def measurement_key(fingerprints: Sequence[str], budget: float, quantizers: Sequence[Quantizer]) -> str:
    """What identifies a measurement: the model's answers on the samples, the budget, and how each value is rounded.

    Parameters
    ----------
    fingerprints : sequence of str
        Of the trials: the model and the samples are in them.
    budget : float
    quantizers : sequence of Quantizer
    """
    rounded = [dataclasses.astuple(quantizer) for quantizer in quantizers]
    return hashlib.sha256(repr((tuple(fingerprints), budget, rounded)).encode()).hexdigest()
