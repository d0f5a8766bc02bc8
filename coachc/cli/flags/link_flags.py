"""Flags of the link: a file that says how it was measured, or its round trip time and its bandwidth, of which commands
take one, a range or several.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coachc.cost.link import Link

#: Of `--link`, for groups and for `coachc eval`.
MeasuredFile = Annotated[
    str | None,
    typer.Option(
        "--link", metavar="FILE", help="A link that `coachc link` measured, instead of --bandwidth and --rtt."
    ),
]

_UNITS = "Uplink rate on the wire with its unit: 20Mbit, 500kbit, 2.5MB/s (per second)"


def announce_bytes(bandwidth: str, flag: str = "--bandwidth") -> None:
    """Say on stderr what a rate that is stated in bytes comes to in bits; nothing of another one.

    Raises
    ------
    UsageError
        It cannot be understood.
    """
    from coachc.cost.units import bytes_in_bits

    said = bytes_in_bits(bandwidth)
    if said:
        print(f"note: {flag} {said} (write Mbit for bits)", file=sys.stderr)


def measured_link(path: str, others: Iterable[str]) -> Link:
    """The link that a file of `coachc link` says.

    Parameters
    ----------
    path : str
    others : iterable of str
        Flags on the command line that say another one.

    Raises
    ------
    UsageError
        There are any.
    runtime.errors.LinkFileError
        The file is none, or says what no link has.
    """
    from coachc.cost.link import link_of
    from coachc.errors import UsageError
    from coachc.runtime.bundle.link_file import read_link

    given = " and ".join(others)
    if given:
        raise UsageError(
            f"--link and {given} exclude each other: {path} says what the link is", hint=f"leave out --link or {given}"
        )
    return link_of(read_link(path))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _AnyLinkFlags(FlagGroup):
    """What all have; each says which texts its `bandwidth` may be."""

    bandwidth: str = "20Mbit"
    rtt: Annotated[str, typer.Option(help="Round trip time of the link with its unit: 5ms, 0.04s.")] = "5ms"
    link: MeasuredFile = None

    @property
    def measured(self) -> Link | None:
        """The link of `--link`, None without; raises as `measured_link` does."""
        if self.link is None:
            return None
        return measured_link(self.link, [f"--{name}" for name in ("bandwidth", "rtt") if name in self.given])

    @property
    def rtt_s(self) -> float:
        """Seconds.

        Raises
        ------
        UsageError
            It cannot be understood.
        """
        from coachc.cost.units import parse_duration

        return parse_duration(self.rtt, "--rtt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkFlags(_AnyLinkFlags):
    """`--bandwidth RATE` and `--rtt`, or `--link`."""

    bandwidth: Annotated[str, typer.Option(help=f"{_UNITS}.")] = "20Mbit"

    @property
    def known_link(self) -> Link:
        """The link; raises as `rtt_s` and `measured` do."""
        from coachc.cost.link import Link
        from coachc.cost.units import parse_bandwidth

        return self.measured or Link(parse_bandwidth(self.bandwidth), self.rtt_s)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkRangeFlags(_AnyLinkFlags):
    """`--bandwidth RATE|LOW..HIGH` and `--rtt`, or `--link`."""

    bandwidth: Annotated[
        str,
        typer.Option(
            help=f"{_UNITS}; or a range, 2Mbit..100Mbit, for which the bundle gets up to four nested cuts that share "
            "their weights."
        ),
    ] = "20Mbit"

    @property
    def link_and_range(self) -> tuple[Link, tuple[float, float] | None]:
        """The link at the middle of the range, and the range, None for one rate; raises as the other groups do."""
        from coachc.cost.link import Link
        from coachc.cost.units import parse_bandwidths

        measured = self.measured
        if measured is not None:
            return measured, None
        rate, bandwidths = parse_bandwidths(self.bandwidth)
        return Link(rate, self.rtt_s), bandwidths


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinksFlags(_AnyLinkFlags):
    """`--bandwidth RATE,RATE,...` and `--rtt`, or `--link`."""

    bandwidth: Annotated[
        str, typer.Option(help="Uplink rate with its unit, or several: 20Mbit, or 1Mbit,5Mbit,20Mbit,100Mbit.")
    ] = "20Mbit"

    @property
    def links(self) -> list[Link]:
        """One link a rate; raises as `rtt_s` and `measured` do."""
        from coachc.cost.link import Link
        from coachc.cost.units import parse_bandwidth

        measured = self.measured
        if measured is not None:
            return [measured]
        rtt_s = self.rtt_s
        return [Link(parse_bandwidth(text), rtt_s) for text in self.bandwidth.split(",")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixLinkFlags(_AnyLinkFlags):
    """`--bandwidths RATE,RATE,...` and `--rtt`."""

    bandwidths: Annotated[
        str, typer.Option(help="Uplink rates with their units, one or several: 5Mbit,20Mbit,100Mbit.")
    ] = "20Mbit"

    @property
    def links(self) -> list[Link]:
        """One link a rate, a rate that stands twice once; UsageError as `rtt_s` has it."""
        from coachc.cost.link import Link
        from coachc.cost.units import parse_bandwidth

        rtt_s = self.rtt_s
        rates = [parse_bandwidth(text, "--bandwidths") for text in self.bandwidths.split(",")]
        return [Link(rate, rtt_s) for rate in dict.fromkeys(rates)]
