"""`coachc eval` of a bundle whose outputs are judged: what each of them loses, as a table or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coachc.cli.table_layout import Column, Row
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.evaluate.output_losses import MetricLoss
    from coachc.runtime.bundle.store import Bundle


def metric_lines(metric: MetricLoss) -> list[str]:
    """What boxes or masks are worth, whole and split."""
    against = {"labels": "the annotations", "agreement": "what the whole model finds"}.get(metric.truth, "the metric")
    lines = [
        f"{name}  {100 * whole:.2f} whole, {100 * split:.2f} split, against {against}"
        for name, (whole, split) in metric.figures.items()
    ]
    if metric.resampled_bound is not None:
        first = next(iter(metric.figures))
        lines.append(
            f"{first}  loses at most {100 * metric.resampled_bound:.2f} points (95 %, by resampling, no proof)"
        )
    lines.append(
        f"a sample's score  {100 * metric.whole:.2f} whole, {100 * metric.split:.2f} split; its mean loses at most "
        f"{100 * metric.loss_bound:.2f} points (95 % confidence)"
    )
    return lines


def eval_outputs(
    bundle: Bundle,
    data: str,
    frames_per_second: float | None,
    limit: int | None,
    truth: str | None,
    metric: str | None,
    unused: Sequence[str],
    json: bool,
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

    task = {"segment": "its masks", "detect": "its boxes"}.get(bundle.manifest.task, "its outputs")
    if unused:
        raise UsageError(
            f"{', '.join(unused)}: no policy or link changes what is sent of this bundle, which is judged by {task}",
            hint="leave it out, or compile with --task classify if the first output is a row of classes",
        )
    source = samples_of(bundle, data, frames_per_second, limit, spread=True)
    with reporting() as progress:
        found = output_losses(
            bundle, source, limit, truth, metric, lambda done: progress("both halves", done, len(source))
        )
    if json:
        print(json_module.dumps(dataclasses.asdict(found), indent=1))
        return
    screen = Screen()
    screen.line(
        f"{bundle.manifest.model.name}, cut {bundle.manifest.chosen}: {found.tasks} tasks, "
        f"{found.bytes_per_task:,.0f} bytes each"
    )
    if found.metric is not None:
        for line in metric_lines(found.metric):
            screen.line(line)
    rows = [Row((one.name, f"{one.loss:.2%}", f"{one.loss_bound:.2%}", f"{one.largest:.2%}")) for one in found.outputs]
    screen.table((Column("output", "name"), *map(Column, ("lost", "at most", "largest"))), rows)
    screen.line(
        "lost: distance from the whole model's output in how far that is from its mean, mean of the tasks: 0 is the "
        "same, 100 % as good as a constant; at most: 95 % confidence; largest: of any task"
    )
