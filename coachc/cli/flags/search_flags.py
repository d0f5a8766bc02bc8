"""Flags of the search for a plan: its objective, its method, and the latency and energy it has to keep."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.cli.options import one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchFlags(FlagGroup):
    """`--max-latency`, `--max-joules`, `--objective`, `--search`; a value that is not known is a UsageError."""

    max_latency: Annotated[
        str | None, typer.Option(help="Longest admissible time from input to answer, with its unit: 30ms.")
    ] = None
    max_joules: Annotated[
        float | None, typer.Option(help="Most energy of the device for one task, in joules.", min=0.0)
    ] = None
    objective: Annotated[
        str,
        typer.Option(
            help="exact: least period, then scheduled latency, then bytes. latency: least latency first. paper-eq6: "
            "COACH's Eq. 6 as printed."
        ),
    ] = "exact"
    search: Annotated[
        str,
        typer.Option(help="How partitions are found: auto, exact (all), recursive (the paper's), frontier or mincut."),
    ] = "auto"

    @property
    def max_latency_s(self) -> float | None:
        """Seconds; None for no limit."""
        from coachc.cost.units import parse_duration

        return None if self.max_latency is None else parse_duration(self.max_latency, "--max-latency")

    @property
    def known_objective(self) -> str:
        """`--objective`, one of `passes.objective.OBJECTIVES`."""
        from coachc.passes.objective import OBJECTIVES

        return one_of(self.objective, "--objective", OBJECTIVES)

    @property
    def method(self) -> str:
        """`--search`, "auto" or one of `passes.candidates.auto.METHODS`."""
        from coachc.passes.candidates.auto import METHODS

        return one_of(self.search, "--search", ("auto", *METHODS))
