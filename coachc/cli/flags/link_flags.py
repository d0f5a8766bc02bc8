"""Flags of the link: its round trip time and its bandwidth, of which commands take one, a range or several."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup

if TYPE_CHECKING:
    from coachc.cost.device import Link

_UNITS = "Uplink rate on the wire with its unit: 20Mbit, 500kbit, 2.5MB/s (per second)"


def announce_bytes(bandwidth: str) -> None:
    """Say on stderr what a rate that is stated in bytes comes to in bits; nothing of another one.

    Raises
    ------
    UsageError
        It cannot be understood.
    """
    from coachc.cost.units import bytes_in_bits

    said = bytes_in_bits(bandwidth)
    if said:
        print(f"note: --bandwidth {said} (write Mbit for bits)", file=sys.stderr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _AnyLinkFlags(FlagGroup):
    """What all have; each says which texts its `bandwidth` may be."""

    bandwidth: str = "20Mbit"
    rtt: Annotated[str, typer.Option(help="Round trip time of the link with its unit: 5ms, 0.04s.")] = "5ms"

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
    """`--bandwidth RATE` and `--rtt`."""

    bandwidth: Annotated[str, typer.Option(help=f"{_UNITS}.")] = "20Mbit"

    @property
    def link(self) -> Link:
        """The link; UsageError as `rtt_s` has it."""
        from coachc.cost.device import Link
        from coachc.cost.units import parse_bandwidth

        return Link(parse_bandwidth(self.bandwidth), self.rtt_s)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkRangeFlags(_AnyLinkFlags):
    """`--bandwidth RATE|LOW..HIGH` and `--rtt`."""

    bandwidth: Annotated[
        str,
        typer.Option(
            help=f"{_UNITS}; or a range, 2Mbit..100Mbit, for which the bundle gets up to four nested cuts that share "
            "their weights."
        ),
    ] = "20Mbit"

    @property
    def link_and_range(self) -> tuple[Link, tuple[float, float] | None]:
        """The link at the middle of the range, and the range, None for one rate; UsageError as `rtt_s` has it."""
        from coachc.cost.device import Link
        from coachc.cost.units import parse_bandwidths

        rate, bandwidths = parse_bandwidths(self.bandwidth)
        return Link(rate, self.rtt_s), bandwidths


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinksFlags(_AnyLinkFlags):
    """`--bandwidth RATE,RATE,...` and `--rtt`."""

    bandwidth: Annotated[
        str, typer.Option(help="Uplink rate with its unit, or several: 20Mbit, or 1Mbit,5Mbit,20Mbit,100Mbit.")
    ] = "20Mbit"

    @property
    def links(self) -> list[Link]:
        """One link a rate; UsageError as `rtt_s` has it."""
        from coachc.cost.device import Link
        from coachc.cost.units import parse_bandwidth

        rtt_s = self.rtt_s
        return [Link(parse_bandwidth(text), rtt_s) for text in self.bandwidth.split(",")]
