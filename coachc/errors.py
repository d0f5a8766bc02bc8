"""Errors a user can act on.

    CoachError               message + context + hint, no traceback, exit 1
      ModelError             unreadable model, unsupported operator, dynamic shape
      DataError              calibration or source data missing or of the wrong shape
      FileError              a file or folder missing, in the way, not to be written, or not what its flag takes
      ProfileError           measurements missing, stale or from another machine
      InfeasibleError        valid request without a solution; carries the closest one found
      ToolchainError         ONNX Runtime, TensorRT or torch is missing or failed
      UsageError             a flag's value cannot be understood, or does not go with another; exit 2
      CheckFailure           `coachc check` found a difference; exit 3
    InternalError            an invariant of ours failed: traceback, exit 70; not a CoachError

Damaged bundles and the network are the runtime's: `runtime.errors.CoachRuntimeError`, where the exit codes are named.
"""

from __future__ import annotations

from collections.abc import Iterable

from coachc.runtime.errors import FINDING, MENDABLE, USAGE


class CoachError(Exception):
    """Something the user can mend.

    Parameters
    ----------
    message : str
        What was wrong and where, in one sentence.
    context : iterable of str
        Further facts, one a line: expected against found, the closest solution, a log's tail.
    hint : str
        The flag or command that mends it.
    """

    kind = "error"
    exit_code = MENDABLE

    def __init__(self, message: str, *, context: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.context = tuple(context)
        self.hint = hint

    def render(self) -> str:
        """The text the command line prints: message, then context lines, then the hint."""
        lines = [f"error[{self.kind}]: {self.message}", *(f"  {line}" for line in self.context)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ModelError(CoachError):
    kind = "model"


class DataError(CoachError):
    kind = "data"


class FileError(CoachError):
    kind = "file"


class ProfileError(CoachError):
    kind = "profile"


class InfeasibleError(CoachError):
    kind = "infeasible"


class ToolchainError(CoachError):
    kind = "toolchain"


class UsageError(CoachError):
    kind = "usage"
    exit_code = USAGE


class CheckFailure(CoachError):
    kind = "check"
    exit_code = FINDING


class InternalError(Exception):
    """An invariant failed: our bug, never the user's."""
