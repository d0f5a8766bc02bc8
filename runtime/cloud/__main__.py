"""The cloud program: ``python3 -m runtime.cloud BUNDLE`` serves the cloud halves of a bundle."""

import sys
from typing import Optional, Sequence

from ..engines.choice import add_arguments
from ..engines.ort_engine import CPU
from ..programs import argument_parser, run_program
from .server import DEFAULT_LISTEN, serve


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("cloud", "Serve the cloud halves of a bundle.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN, help="default %(default)s")
    parser.add_argument("--cut", metavar="NAME", help="only this cut; all that have a cloud half otherwise")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    parser.add_argument("--provider", action="append", help="ONNX Runtime execution provider, repeatable")
    add_arguments(parser)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: as many as pay")
    options = parser.parse_args(argv)
    return run_program(
        lambda: serve(
            options.bundle,
            options.listen,
            options.cut,
            tuple(options.provider or (CPU,)),
            options.threads,
            options.trust,
            options.engine,
            options.engine_cache,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
