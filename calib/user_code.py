"""A function in a file of the user's: found, called, and what it raises said as one error.

What its file imports is found beside it, as a script's imports are. It is never put into a bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coachc.errors import DataError


class UserFunction:
    """A function of a Python file.

    Parameters
    ----------
    file, function : str

    Attributes
    ----------
    name : str
        "file.py:function".
    call : callable
        To be called within `guarded`.

    Raises
    ------
    DataError
        No such file or function, or the file cannot be imported.
    """

    def __init__(self, file: str, function: str) -> None:
        self._file = file
        self.name = f"{file}:{function}"
        self.call: Callable[..., Any] = self._find(function)

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(Path(self._file).read_bytes()).hexdigest()

    @contextlib.contextmanager
    def guarded(self, what: str, when: str = "") -> Iterator[None]:
        """Whatever the user's code raises becomes one error; what it prints goes to stderr, stdout is the result's.

        Its imports find what lies beside its file, whenever they run; ours never do.
        """
        folder = os.path.dirname(os.path.abspath(self._file))
        sys.path.insert(0, folder)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except (Exception, SystemExit) as exc:
            path = os.path.abspath(self._file)
            lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == path]
            where = [f"at {self._file} line {lines[-1]}"] if lines else []
            raise DataError(
                f"{self.name} {what}: {type(exc).__name__}: {exc}", context=[*where, *([when] if when else [])]
            ) from exc
        finally:
            with contextlib.suppress(ValueError):  # the user's code may have changed the path itself
                sys.path.remove(folder)

    def _find(self, function: str) -> Callable[..., Any]:
        if not os.path.isfile(self._file):
            raise DataError(f"no such file: {self._file}")
        stem = os.path.splitext(os.path.basename(self._file))[0]
        spec = importlib.util.spec_from_file_location(f"coachc_user_{stem}", self._file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Where dataclasses and pickle look a module up.
        sys.modules[spec.name] = module
        with self.guarded("cannot be imported"):
            spec.loader.exec_module(module)
        found = getattr(module, function, None)
        if not callable(found):
            known = sorted(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
            raise DataError(
                f"{self._file} has no function '{function}'", context=["found  " + (", ".join(known) or "none")]
            )
        return found
