"""`coachc eval` without its command line: a bundle, samples and a link in, a table of policies out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.errors import DataError, UsageError
from coachc.evaluate.bandwidth_trace import Trace
from coachc.evaluate.replay import KINDS, Setup, replay
from coachc.evaluate.replay_figures import Measured, measure
from coachc.evaluate.tasks import BundleTasks, HalfKind, Tasks
from coachc.runtime.bundle.classes import classes_in
from coachc.runtime.bundle.feeds import Source
from coachc.runtime.bundle.label_check import check_labels
from coachc.runtime.bundle.skipped import Skipped
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import Bundle
from coachc.runtime.errors import BundleError
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.policy_file import decode_policies

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What a user asks of `coachc eval`.

    Attributes
    ----------
    data : str
        As `runtime.bundle.source.open_source` takes it.
    kinds : sequence of str
        Of `coachc.evaluate.replay.KINDS`.
    stream : bool
        Samples in their order; else shuffled.
    trace : Trace
    rtt_s : float
    interval_s : float
        Between arrivals; 0 saturates the pipeline.
    frames_per_second : float or None
        Frames of videos that are taken.
    limit : int or None
        At most that many samples; labelled ones spread over their classes, unless they are a stream.
    repeat : int
        Times the samples are gone through.
    cuts : bool
        Whether default and oracle may move between the bundle's cuts.
    workers : int
    prefer : str
    seed : int
    """

    data: str
    trace: Trace
    rtt_s: float
    kinds: Sequence[str] = ("none", "paper", "default", "oracle")
    stream: bool = False
    interval_s: float = 0.0
    frames_per_second: float | None = None
    limit: int | None = None
    repeat: int = 1
    cuts: bool = True
    workers: int = 1
    prefer: str = "accuracy"
    seed: int = 0


def policies_of(bundle: Bundle) -> dict[str, dict[str, Policy]]:
    """Policies of every cut that has some: cut -> policy name -> policy."""
    found = {}
    for cut in bundle.manifest.cuts:
        if cut.policy is not None:
            found[cut.name] = decode_policies(bundle.read(cut.policy))
    return found


def evaluate(
    bundle: Bundle,
    options: EvalOptions,
    progress: Progress = lambda stage, done, total: None,
    left_out: Callable[[Sequence[Skipped]], None] = lambda skipped: None,
) -> dict[str, Measured]:
    """Replay samples through a bundle under each policy; `left_out` is told of files that are no samples.

    Raises
    ------
    coachc.errors.DataError, coachc.errors.UsageError, runtime.errors.CoachRuntimeError
        The bundle has no policy, or the samples do not suit it.
    """
    chosen = bundle.manifest.chosen
    policies = policies_of(bundle)
    if chosen not in policies or not policies[chosen]["none"].rungs:
        raise BundleError(
            f"{bundle.path}: cut '{chosen}' has no online policy",
            hint="compile with --calib on labelled images; cuts that send nothing quantized have none",
        )
    source = samples_of(bundle, options.data, options.frames_per_second, options.limit, spread=not options.stream)
    base = {name: named["none"] for name, named in policies.items()}
    tasks = BundleTasks(bundle, source, base, options.limit, lambda done: progress("read samples", done, len(source)))
    left_out(source.skipped)
    order = np.arange(len(tasks))
    if not options.stream:
        order = np.random.default_rng(options.seed).permutation(order)
    order = np.tile(order, options.repeat)
    return replay_kinds(tasks, order, policies, chosen, options, progress, tasks.half_kinds())


def samples_of(
    bundle: Bundle, data: str, frames_per_second: float | None, limit: int | None, *, spread: bool
) -> Source:
    """Test samples as the bundle's model takes them.

    Raises
    ------
    coachc.errors.DataError, runtime.errors.SourceError
        There are none, or they do not suit the model.
    """
    manifest = bundle.manifest
    source = open_source(data, manifest.model.inputs, manifest.preprocess, frames_per_second, limit, spread=spread)
    check_labels(source.labels, classes_in(manifest), source.name_of)
    if len(source) == 0:
        raise DataError(f"{data} holds no samples")
    return source


def replay_kinds(
    tasks: Tasks,
    order: Sequence[int] | np.ndarray,
    policies: Mapping[str, Mapping[str, Policy]],
    cut: str,
    options: EvalOptions,
    progress: Progress = lambda stage, done, total: None,
    halves: Mapping[str, HalfKind] | None = None,
) -> dict[str, Measured]:
    """Each kind of policy over the same tasks; `halves`: by cut, where a device half cannot take every precision."""
    setup = Setup(
        options.trace,
        options.rtt_s,
        options.trace.rate_at(0.0) or float(np.max(options.trace.rates)),
        options.interval_s,
        options.workers,
        options.prefer,
        options.seed,
        halves or {},
    )
    whole = [tasks.alone(int(task)) == tasks.truth(int(task)) for task in order]
    results = {}
    for kind in options.kinds:
        if kind not in KINDS:
            raise UsageError(f"no policy '{kind}'", hint="there is " + ", ".join(KINDS))
        used = policies_for(kind, policies, cut, options.cuts)
        label = f"policy {kind}"
        tasks_in_order = [int(task) for task in order]
        outcomes = replay(kind, tasks, tasks_in_order, used, cut, setup, _named(progress, label, len(order)))
        results[kind] = measure(outcomes, whole, options.workers)
    return results


def policies_for(kind: str, policies: Mapping[str, Mapping[str, Policy]], cut: str, cuts: bool) -> dict[str, Policy]:
    """The policy of each cut that a kind may use: one cut, but for default and oracle."""
    name = {"quantpipe": "none", "oracle": "default"}.get(kind, kind)
    several = cuts and kind in ("default", "oracle")
    used = {at: named[name] for at, named in policies.items() if several or at == cut}
    if kind == "oracle":  # where the default never exits, it still knows what a score's label would be worth
        used = {at: policy._replace(exits=policy.exits or policies[at]["paper"].exits) for at, policy in used.items()}
    return used


def _named(progress: Progress, label: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(label, done, total)
