"""``python3 -m runtime.link_probe HOST:PORT``: measure the link to a `coachc serve`, where coachc is not installed.

The file it writes is what ``coachc compile --link`` reads.
"""

import argparse
import json
import sys
from typing import Callable, Optional, Sequence

from .bundle.link_file import MeasuredLink, check_place, write_link
from .link.connection import Connection
from .link.measure_link import measure_link
from .paragraphs import columns_of, hanging
from .programs import argument_parser, run_program
from .progress_lines import ProgressLines

DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 10.0, 1.0, 600.0
DEFAULT_TIMEOUT_S = 10.0
#: Columns before a fact.
LABEL = 12

Progress = Callable[[str, int, int], None]


def probe(
    server: str,
    output: Optional[str],
    seconds: float,
    timeout_s: float,
    force: bool,
    progress: Progress,
    coachc: Optional[str] = None,
) -> MeasuredLink:
    """Measure, and write the file where one is asked for.

    Parameters
    ----------
    server : str
        HOST:PORT.
    output : str or None
    seconds : float
        What it may take, about.
    timeout_s : float
        For connecting, and for each body.
    force : bool
        Replace a file that is there.
    progress : callable
        Told (step, done, total).
    coachc : str, optional
        Version to note.

    Raises
    ------
    CoachRuntimeError
        The file cannot be written, known before anything is measured; or as `measure_link`.
    """
    if output is not None:
        check_place(output, force)
    connection = Connection(server, timeout_s)
    try:
        link = measure_link(connection, seconds, coachc, progress)
    finally:
        connection.close()
    if output is not None:
        write_link(output, link)
    return link


def text(link: MeasuredLink, output: Optional[str], columns: Optional[int]) -> str:
    """What people read, a fact a line."""
    loss = "unknown: this system does not count segments" if link.loss is None else None
    least, rate = "at least " if link.at_least else "", _mbit(link.bandwidth_bytes_per_s)
    facts = [
        ("link", f"to {link.server}, as this machine sees it"),
        ("rate", f"{least}{rate} Mbit/s up on the wire, median of {link.repeats}; spread {100 * link.spread:.1f} %"),
        ("round trip", f"{1e3 * link.rtt_s:.2f} ms, median of {link.round_trips} small requests"),
        ("jitter", f"{1e3 * link.jitter_s:.2f} ms, 95th percentile less that median"),
        ("loss", loss or f"{100 * (link.loss or 0):.2f} % of the TCP segments were sent again"),
        ("headers", f"{link.header_bytes} bytes a request, HTTP and JSON"),
    ]  # fmt: skip
    if output is not None:
        facts.append(("written", f"{output}; coachc compile MODEL --link {output} plans for it"))
    return "\n".join(hanging(f"{name:<{LABEL}}{said}", columns, LABEL) for name, said in facts)


def _mbit(bytes_per_s: float) -> str:
    mbit = bytes_per_s * 8 / 1e6
    return f"{mbit:,.0f}" if mbit >= 1000 else f"{mbit:.3g}"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("link_probe", "Measure the link to a coachc serve, as this machine sees it.")
    parser.add_argument("server", metavar="HOST:PORT")
    parser.add_argument("-o", "--output", metavar="FILE.json", help="write what coachc compile --link reads")
    parser.add_argument("--seconds", type=_seconds, default=DEFAULT_SECONDS, help="about; default %(default)g")
    parser.add_argument(
        "--timeout", type=_seconds, default=DEFAULT_TIMEOUT_S, metavar="SECONDS", help="default %(default)g"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument("--json", action="store_true", help="print the file's JSON object on stdout")
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    progress = ProgressLines(sys.stderr)
    link = probe(options.server, options.output, options.seconds, options.timeout, options.force, progress)
    print(json.dumps(link.to_json(), indent=1) if options.json else text(link, options.output, columns_of(sys.stdout)))


def _seconds(given: str) -> float:
    value = float(given)
    if not LEAST_SECONDS <= value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"has to be {LEAST_SECONDS:g} to {MOST_SECONDS:g} seconds, not {given}")
    return value


if __name__ == "__main__":
    sys.exit(main())
