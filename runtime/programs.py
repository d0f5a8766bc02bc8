"""What all programs share: what to type to start or update them, and how they end."""

import argparse
import contextlib
import errno
import os
import sys
import traceback
from typing import Any, Callable, Optional, Tuple, Type

from .errors import INTERRUPTED, MENDABLE, SOFTWARE, CoachRuntimeError
from .paragraphs import columns_of, hanging

#: What a full disk, a read-only one, permissions and limits say: the machine's to mend, wherever it comes up.
_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ENAMETOOLONG")
}


def command_of(program: str) -> str:
    """The words that start a program, as of "device" or "build": a copy of this folder on a device is `runtime`, an
    installed coachc has it inside.
    """
    return "python3 -m {}.{}".format(__package__, program)


def argument_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser that refuses an option given twice, where argparse would take the last."""
    parser = argparse.ArgumentParser(prog=command_of(program), description=description)
    parser.register("action", None, _Once)
    return parser


class _Once(argparse.Action):
    """Stores one value. A parser is made for each run, and its actions with it."""

    given = False

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Optional[str] = None) -> None:
        if self.given and option_string is not None:
            message = "is given twice, {} and {}, and takes one value"
            raise argparse.ArgumentError(self, message.format(getattr(namespace, self.dest), values))
        self.given = True
        setattr(namespace, self.dest, values)


def how_to_update(package: Optional[str] = __package__) -> str:
    """What to do where a bundle is newer than the program here: on a device there is a copy, on a host a package."""
    if package == "runtime":
        return "update this device: copy the runtime/ folder of the coachc that made the bundle over the one here"
    return "update coachc here: pip install -U coachc; or compile again with the version installed here"


def run_program(main: Callable[[], Any], mendable: Tuple[Type[Exception], ...] = (CoachRuntimeError,)) -> int:
    """Run a program to its end: whatever it raises becomes one message on stderr and an exit code.

    Parameters
    ----------
    main : callable
        Returns the exit code, or None for 0.
    mendable : tuple of exception classes
        With `render()` and `exit_code`, as `CoachRuntimeError` has them.

    Returns
    -------
    int
        As `errors` names them. A fault of ours is shown with its traceback.
    """
    try:
        try:
            return main() or 0
        finally:
            sys.stdout.flush()  # here, where a full disk or a reader that has gone can still be answered
    except mendable as exc:
        code = exc.exit_code  # type: ignore[attr-defined]
        if code == SOFTWARE:
            traceback.print_exc()
        print(hanging(exc.render(), columns_of(sys.stderr), 4), file=sys.stderr)  # type: ignore[attr-defined]
        return int(code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return MENDABLE
    except OSError as exc:
        if exc.errno not in _OF_THE_MACHINE:
            return _fault()
        _drop_output()
        where = "" if exc.filename is None else "{}: ".format(exc.filename)
        print("error[file]: {}{}".format(where, exc.strerror), file=sys.stderr)
        print("  hint: check free space, owner and permissions there, or name another place", file=sys.stderr)
        return MENDABLE
    except Exception:
        return _fault()


def _fault() -> int:
    traceback.print_exc()
    print("error[internal]: this is a bug in coachc; please report it with the lines above", file=sys.stderr)
    return SOFTWARE


def _drop_output() -> None:
    """What is still in the buffer goes nowhere, or Python would try again and complain when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
