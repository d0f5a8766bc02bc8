"""The device program: ``python3 -m runtime.device BUNDLE --server HOST:PORT --source PATH``."""

import argparse
import os
import sys
from typing import Callable, Optional, Sequence

if __name__ == "__main__":
    # One decision is a product with a small matrix: waking more threads for it takes longer than it does.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from ..engines.choice import add_arguments
from ..engines.ort_engine import CPU
from ..online.policy import POLICIES, PREFERENCES
from ..programs import argument_parser, run_program
from .program import Stopping, run_and_report
from .report import Report, progress_of
from .run_bundle import run_bundle


LIMIT = "at most N tasks: labelled images spread over their classes, else the first ones"
DEADLINE = "of each answer, as 100ms or 2s: then the device answers, where it can; else the answer counts as late"
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
    parser.add_argument("--answers", metavar="FILE", help="what is found: boxes as .jsonl, masks as .npz")
    parser.add_argument("--state", metavar="FILE", help="keep what was learned of link and stages for the next start")
    parser.add_argument("--record", metavar="FILE", help="all the controller sees and says, for `coachc eval --replay`")
    parser.add_argument("--profile-out", metavar="FILE", help="what the run took, for `coachc compile --from-run FILE`")
    parser.add_argument("--allow-offline", action="store_true", help="begin without a server too, on the device alone")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    parser.add_argument("--provider", action="append", help="ONNX Runtime execution provider, repeatable")
    add_arguments(parser)
    parser.add_argument("--threads", metavar="N", type=_positive(int), default=0, help="of ONNX Runtime; else chosen")
    parser.add_argument("--in-flight", metavar="N", type=_positive(int), help="requests under way; else as many as pay")
    parser.add_argument("--timeout", metavar="SECONDS", type=_positive(float), default=10.0, help="default %(default)s")
    parser.add_argument("--deadline", metavar="TIME", type=_duration, help=DEADLINE)
    parser.add_argument("--log", metavar="FILE.jsonl", help="a JSON object for each event: server lost, found ...")
    parser.add_argument("--limit", metavar="N", type=_positive(int), help=LIMIT)
    parser.add_argument("--strict", action="store_true", help=STRICT)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    return run_and_report(lambda stopping: _report(options, stopping), options.json, options.log)


def _report(options: argparse.Namespace, stopping: Stopping) -> Report:
    report = run_bundle(
        options.bundle,
        options.server,
        options.source,
        providers=tuple(options.provider or (CPU,)),
        in_flight=options.in_flight,
        timeout_s=options.timeout,
        deadline_s=options.deadline,
        limit=options.limit,
        strict=options.strict,
        cut=options.cut,
        bits=options.bits,
        policy=options.policy,
        prefer=options.prefer,
        interval_s=1 / options.fps if options.fps else 0.0,
        stats=options.stats,
        answers=options.answers,
        state=options.state,
        record=options.record,
        profile_out=options.profile_out,
        trust=options.trust,
        allow_offline=options.allow_offline,
        engine=options.engine,
        engine_cache=options.engine_cache,
        threads=options.threads,
        progress=progress_of(sys.stderr),
        stopping=stopping,
    )
    if report.online.bandwidth_bytes_per_s is None and options.server is not None:
        print(f"note: cut '{report.cut}' runs on the device alone; --server is not used", file=sys.stderr)
    return report


def _duration(text: str) -> float:
    for unit, seconds in (("ms", 1e-3), ("s", 1.0)):
        if text.endswith(unit):
            return _positive(float)(text[: -len(unit)]) * seconds
    raise argparse.ArgumentTypeError("has no unit: write 100ms or 2s")


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
