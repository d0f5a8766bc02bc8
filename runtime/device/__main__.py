"""The device program: ``python3 -m runtime.device BUNDLE --server HOST:PORT --source PATH``."""

import argparse
import json
import os
import sys
from typing import Callable, Optional, Sequence

if __name__ == "__main__":
    # One decision is a product with a small matrix: waking more threads for it takes longer than it does.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from ..engines.choice import add_arguments
from ..engines.ort_engine import CPU
from ..online.policy import POLICIES, PREFERENCES
from ..paragraphs import columns_of
from ..programs import argument_parser, run_program
from .report import progress_of
from .run_bundle import run_bundle


LIMIT = "at most N tasks: labelled images spread over their classes, else the first ones"
STRICT = "end at the first picture that cannot be read, instead of leaving it out and naming it"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("device", "Run a bundle on this device.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--server", metavar="HOST:PORT", help="needed unless the cut is device-only")
    parser.add_argument("--source", metavar="PATH", required=True, help="FILE.npz, or a folder of images")
    parser.add_argument("--cut", metavar="NAME", help="stay at this cut")
    parser.add_argument("--bits", metavar="N", type=int, help="precision of this run, instead of the chosen one")
    parser.add_argument("--policy", choices=POLICIES, help="default where the cut has one, else none")
    parser.add_argument("--prefer", choices=PREFERENCES, default=PREFERENCES[0], help="default %(default)s")
    parser.add_argument(
        "--fps", metavar="N", type=_positive(float), help="tasks that come each second, as a camera gives them"
    )
    parser.add_argument("--stats", metavar="FILE.jsonl", help="one JSON object a task, in the order of the answers")
    parser.add_argument("--record", metavar="FILE", help="all the controller sees and says, for `coachc eval --replay`")
    parser.add_argument("--allow-offline", action="store_true", help="begin without a server too, on the device alone")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    parser.add_argument("--provider", action="append", help="ONNX Runtime execution provider, repeatable")
    add_arguments(parser)
    parser.add_argument("--in-flight", metavar="N", type=_positive(int), default=2, help="default %(default)s")
    parser.add_argument("--timeout", metavar="SECONDS", type=_positive(float), default=10.0, help="default %(default)s")
    parser.add_argument("--limit", metavar="N", type=_positive(int), help=LIMIT)
    parser.add_argument("--strict", action="store_true", help=STRICT)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    report = run_bundle(
        options.bundle,
        options.server,
        options.source,
        providers=tuple(options.provider or (CPU,)),
        in_flight=options.in_flight,
        timeout_s=options.timeout,
        limit=options.limit,
        strict=options.strict,
        cut=options.cut,
        bits=options.bits,
        policy=options.policy,
        prefer=options.prefer,
        interval_s=1 / options.fps if options.fps else 0.0,
        stats=options.stats,
        record=options.record,
        trust=options.trust,
        allow_offline=options.allow_offline,
        engine=options.engine,
        engine_cache=options.engine_cache,
        progress=progress_of(sys.stderr),
    )
    if report.online.bandwidth_bytes_per_s is None and options.server is not None:
        print(f"note: cut '{report.cut}' runs on the device alone; --server is not used", file=sys.stderr)
    print(json.dumps(report.to_json()) if options.json else report.table(columns_of(sys.stdout)))


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError("has to be positive, not " + text)
        return value

    parse.__name__ = "number"
    return parse


if __name__ == "__main__":
    sys.exit(main())
