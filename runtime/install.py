"""The installer: ``python3 -m runtime.install FILE.coachz --into DIR``, or ``--rollback DIR``.

`bundle.installation` says what the folder holds. FILE may be `-`, standard input, which is how `coachc push` uses it.
"""

import argparse
import sys
from typing import Optional, Sequence

from .bundle.archive import LIMIT_BYTES, open_archive
from .bundle.installation import Installed, install, rollback
from .bundle.signature import trusted_keys
from .programs import argument_parser, run_program

MIB = 1 << 20


def describe(done: Installed, folder: str) -> str:
    """One line about a change for people."""
    bundle = done.bundle
    what = f"{bundle.manifest.model.name}, revision {bundle.manifest.revision}, bundle {bundle.bundle_id[:12]}"
    kept = f"; kept: bundle {done.before[:12]}" if done.before is not None else ""
    return f"{folder}/current is {what}{'' if done.changed else ', as before'}{kept}"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("install", "Install a bundle, or go back to the one before.")
    parser.add_argument("file", nargs="?", metavar="FILE.coachz", help="as coachc pack writes it; - is standard input")
    parser.add_argument("--into", metavar="DIR", help="install there; DIR/current is the bundle that runs")
    parser.add_argument("--rollback", metavar="DIR", help="run the bundle that was installed there before")
    parser.add_argument(
        "--key", metavar="FILE", action="append", default=[], help="a trusted public key; repeat for more"
    )
    parser.add_argument(
        "--trust", metavar="DIR", help="a folder of trusted keys, *.pub; default: DIR/trust, if it exists"
    )
    parser.add_argument("--force", action="store_true", help="replace another bundle of the same revision")
    parser.add_argument(
        "--limit-mib", type=int, default=LIMIT_BYTES // MIB, help="refuse larger bundles (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    if (given.into is None) == (given.rollback is None) or (given.file is None) != (given.into is None):
        parser.error("give FILE.coachz and --into DIR, or --rollback DIR")
    return run_program(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    keys = trusted_keys(given.trust, given.key)
    if given.rollback is not None:
        print(describe(rollback(given.rollback, keys), given.rollback))
    elif given.file == "-":
        done = install(sys.stdin.buffer, "standard input", given.into, keys, given.force, given.limit_mib * MIB)
        print(describe(done, given.into))
    else:
        with open_archive(given.file) as stream:
            done = install(stream, given.file, given.into, keys, given.force, given.limit_mib * MIB)
        print(describe(done, given.into))


if __name__ == "__main__":
    sys.exit(main())
