"""Errors of the device and cloud programs.

    CoachRuntimeError        message + context + hint, no traceback, exit 1
      UsageError             an argument that cannot be understood, or does not go with another; exit 2
      BundleError            damaged, tampered with, or newer than this reader
        SignatureError       not signed by a trusted key
      InstallError           a bundle that may not replace the installed one, or cannot
      SourceError            input data missing or of the wrong shape
        UnreadablePicture    one picture of several, which can be left out
      RecordError            a record of a run that cannot be written or read, or is another bundle's
      ProfileFileError       a file of measurements that cannot be written or read, or is none
      EngineError            ONNX Runtime (or another engine) is missing or failed
      ConnectionFailed       nobody answers at the address, or not in time
        AnswerOverdue        a connection stands, and no answer came in time
        WrongBundleError     somebody answers, but runs another bundle
        ServerBusy           somebody answers, and asks to come later
      LinkFileError          a file of a measured link that cannot be written, or says what none can
      RemoteProtocolError    the peer sent what the protocol does not allow
      LocalProtocolError     we were about to send it: our mistake, exit 70

The compiler has a tree of its own, `coachc.errors`; both render alike. `programs.run_program` makes exit codes of them.
"""

from typing import Iterable

#: What a program ends with, the compiler's too: something its user can mend.
MENDABLE = 1
#: It was called in a way that makes no sense; what argparse and Typer end with by themselves.
USAGE = 2
#: It did its work and found something: `coachc check` that halves differ, `doctor` that a machine is not ready.
FINDING = 3
#: A fault of ours: EX_SOFTWARE of BSD's sysexits.h.
SOFTWARE = 70
#: 128 + SIGINT, as shells count it.
INTERRUPTED = 130


class CoachRuntimeError(Exception):
    """Something the user can mend.

    Parameters
    ----------
    message : str
        What was wrong and where, in one sentence.
    context : iterable of str
        Further facts, one a line.
    hint : str
        The flag or command that mends it.
    """

    kind = "runtime"
    exit_code = MENDABLE

    def __init__(self, message: str, context: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.context = tuple(context)
        self.hint = hint

    def render(self) -> str:
        """The text a command line prints: message, then context lines, then the hint."""
        lines = [f"error[{self.kind}]: {self.message}"]
        lines += [f"  {line}" for line in self.context]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(CoachRuntimeError):
    kind = "usage"
    exit_code = USAGE


class BundleError(CoachRuntimeError):
    kind = "bundle"


class SignatureError(BundleError):
    kind = "signature"


class InstallError(CoachRuntimeError):
    kind = "install"


class SourceError(CoachRuntimeError):
    kind = "source"


class UnreadablePicture(SourceError):  # noqa: N818  (it says what was found)
    """One picture cannot be read: `shown` is its name, `reason` why, without the name."""

    kind = "source"

    def __init__(self, shown: str, reason: str) -> None:
        super().__init__(f"cannot read {shown}: {reason}")
        self.reason = reason


class RecordError(CoachRuntimeError):
    kind = "record"


class ProfileFileError(CoachRuntimeError):
    kind = "profile"


class EngineError(CoachRuntimeError):
    kind = "engine"


class ConnectionFailed(CoachRuntimeError):  # noqa: N818  (it says what happened)
    kind = "connection"


class WrongBundleError(ConnectionFailed):
    kind = "connection"


class AnswerOverdue(ConnectionFailed):  # noqa: N818  (it says what happened)
    kind = "connection"


class ServerBusy(ConnectionFailed):  # noqa: N818  (it says what happened)
    kind = "connection"


class LinkFileError(CoachRuntimeError):
    kind = "link"


class RemoteProtocolError(CoachRuntimeError):
    kind = "protocol"


class LocalProtocolError(CoachRuntimeError):
    kind = "protocol"
    exit_code = SOFTWARE
