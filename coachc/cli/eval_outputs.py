"""`coachc eval` of a bundle whose outputs are judged: what each of them loses, as a table or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coachc.cli.table_layout import Column, Row
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.runtime.bundle.store import Bundle


def eval_outputs(
    bundle: Bundle, data: str, frames_per_second: float | None, limit: int | None, unused: Sequence[str], json: bool
) -> None:
    """Measure and print; `unused`: flags that were given and say nothing here.

    Raises
    ------
    UsageError
        There are such flags.
    """
    import dataclasses
    import json as json_module

    from coachc.cli.progress import reporting
    from coachc.cli.screen import Screen
    from coachc.evaluate.evaluate_bundle import samples_of
    from coachc.evaluate.output_losses import output_losses

    if unused:
        raise UsageError(
            f"{', '.join(unused)}: no policy or link changes what is sent of this bundle, whose outputs are judged",
            hint="leave it out, or compile with --task classify if the first output is a row of classes",
        )
    source = samples_of(bundle, data, frames_per_second, limit, spread=True)
    with reporting() as progress:
        found = output_losses(bundle, source, limit, lambda done: progress("both halves", done, len(source)))
    if json:
        print(json_module.dumps(dataclasses.asdict(found), indent=1))
        return
    screen = Screen()
    screen.line(
        f"{bundle.manifest.model.name}, cut {bundle.manifest.chosen}: {found.tasks} tasks, "
        f"{found.bytes_per_task:,.0f} bytes each"
    )
    rows = [Row((one.name, f"{one.loss:.2%}", f"{one.loss_bound:.2%}", f"{one.largest:.2%}")) for one in found.outputs]
    screen.table((Column("output", "name"), *map(Column, ("lost", "at most", "largest"))), rows)
    screen.line(
        "lost: distance from the whole model's output in how far that is from its mean, mean of the tasks: 0 is the "
        "same, 100 % as good as a constant; at most: 95 % confidence; largest: of any task"
    )
