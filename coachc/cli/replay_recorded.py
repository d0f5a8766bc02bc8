"""`coachc eval --replay`: a recorded run through another driver, and what of it came out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from coachc.cli.screen import Screen
    from coachc.evaluate.replay_figures import Mean, Share
    from coachc.evaluate.replay_record import Replayed


def replay_recorded(bundle: str, record: str, other_flags: Sequence[str], json: bool) -> None:
    """Print the comparison; exit code 3 where a decision differs.

    Raises
    ------
    coachc.errors.UsageError
        If flags were given that say what the record says already.
    """
    import dataclasses
    import json as json_module

    from coachc.cli.screen import Screen
    from coachc.errors import UsageError
    from coachc.evaluate.replay_record import replay_record
    from coachc.runtime.bundle.store import open_bundle
    from coachc.runtime.errors import FINDING

    if other_flags:
        raise UsageError(
            f"--replay {record} holds all that the run saw: {', '.join(other_flags)} would not be used",
            hint=f"leave out {', '.join(other_flags)}",
        )
    found = replay_record(open_bundle(bundle), record)
    if json:
        print(json_module.dumps(dataclasses.asdict(found), indent=1))
    else:
        print_replayed(Screen(), record, found)
    if found.equal != found.decisions:
        raise typer.Exit(FINDING)


def print_replayed(screen: Screen, record: str, found: Replayed) -> None:
    """The decisions that came out again, and the first that did not."""
    lines = [
        f"{record}: policy {found.policy}, {found.tasks} tasks",
        f"decisions   {found.equal} of {found.decisions} equal",
        f"exits       recorded {_share(found.recorded.exits)}, replayed {_share(found.replayed.exits)}",
        f"mean bits   recorded {_mean(found.recorded.bits)}, replayed {_mean(found.replayed.bits)}",
    ]
    if found.first is not None:
        first = found.first
        lines += [
            f"first       line {first.line}, task {first.task}, {first.call}",
            f"  recorded  {first.recorded}",
            f"  replayed  {first.replayed}",
        ]
    if found.cut_short:
        lines.append("note        the last line is half written and was left out: the run did not end by itself")
    for line in lines:
        screen.line(line, 12)


def _share(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%}-{share.high:.1%})"


def _mean(mean: Mean) -> str:
    return f"{mean.value:.2f} +- {mean.half_width:.2f}"
