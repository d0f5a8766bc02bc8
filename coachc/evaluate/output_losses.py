"""`coachc eval` of a bundle whose outputs are judged: how far each moves from the whole model's, in its own scale."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.certificate import LEVEL, LossTest, UnitLosses
from coachc.calib.judges import OutputJudge
from coachc.calib.metric_judge import MetricJudge
from coachc.calib.spool import Spool
from coachc.errors import DataError, UsageError
from coachc.evaluate.run_halves import RunHalves
from coachc.planning.scenes import Scenes, by_metric, scenes_with
from coachc.runtime.bundle.feeds import Source
from coachc.runtime.bundle.read_outputs import decoder_in, input_size
from coachc.runtime.bundle.store import Bundle

#: What is bet of the capital: there are no other samples to choose it by, and it suits losses well below the budget.
STAKE = 0.9


@dataclass(frozen=True)
class OutputLoss:
    """One output over all samples.

    Attributes
    ----------
    name : str
    loss : float
        Mean, in the output's own scale (`calib.output_scale`).
    loss_bound : float
        One-sided 95 % bound of that mean, if samples are independent.
    largest : float
        Of any sample, at most 1.
    """

    name: str
    loss: float
    loss_bound: float
    largest: float


@dataclass(frozen=True)
class MetricLoss:
    """What boxes or masks are worth.

    Attributes
    ----------
    truth : {"labels", "agreement"}
        Annotations, or what the whole model finds.
    whole, split : float
        Mean score of a picture.
    loss_bound : float
        One-sided 95 % bound of what the mean loses, if samples are independent.
    figures : mapping of str to (float, float)
        What is told of all samples together, such as mAP: of the whole model and of the split one.
    resampled_bound : float or None
        Of what the first figure loses: by resampling, no proof.
    """

    truth: str
    whole: float
    split: float
    loss_bound: float
    figures: Mapping[str, tuple[float, float]]
    resampled_bound: float | None


@dataclass(frozen=True)
class OutputLosses:
    """What a bundle's chosen cut does to the outputs, and to boxes or masks where it finds some."""

    tasks: int
    outputs: tuple[OutputLoss, ...]
    bytes_per_task: float
    metric: MetricLoss | None = None


def output_losses(
    bundle: Bundle,
    source: Source,
    limit: int | None = None,
    truth: str | None = None,
    metric: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> OutputLosses:
    """Run samples through the whole model and through both halves of the chosen cut.

    Parameters
    ----------
    bundle : Bundle
    source : Source
    limit : int, optional
    truth : str, optional
        Annotations, as `planning.scenes` takes them.
    metric : str, optional
        The function that the bundle was judged by, "file.py:function": where it names one, that one, unchanged.
    progress : callable
        Samples done.

    Raises
    ------
    coachc.errors.CoachError
        There are no samples, or the cut sends pictures; the truth cannot be read.
    """
    manifest = bundle.manifest
    cut = manifest.cut()
    if cut.mode == "cloud-jpeg":
        raise DataError(
            f"cut '{cut.name}' sends JPEG pictures, whose loss is the codec's", hint="coachc run shows what they lose"
        )
    names = [spec.name for spec in manifest.model.outputs]
    scenes = _scenes(bundle, source, names, truth, metric)
    halves, feeds, whole, split, sizes = RunHalves(bundle), 0, Spool(), Spool(), []
    for place, feed in enumerate(itertools.islice(source, limit)):
        outputs = halves.whole.run(feed)
        whole.append([outputs[name] for name in names])
        answered = halves.run(f"task {place}", cut, feed)
        split.append([answered.outputs[name] for name in names])
        sizes.append(answered.payload_bytes)
        feeds += 1
        progress(feeds)
    if not feeds:
        raise DataError("there are no samples to evaluate on")
    told = None if scenes is None else _metric_loss(scenes, names, whole, split, feeds)
    judge = OutputJudge((whole[place] for place in range(feeds)), names, np.ones(feeds, bool), noise=False)
    losses = np.array([judge.lost(place, judge.answer(place, split[place])) for place in range(feeds)])
    found = []
    for place, name in enumerate(names):
        column = UnitLosses(losses[:, place : place + 1], np.ones(feeds))
        bound = LossTest((STAKE,), LEVEL).bound(column)
        found.append(OutputLoss(name, float(column.means[0]), bound, float(losses[:, place].max())))
    return OutputLosses(feeds, tuple(found), float(np.mean(sizes)), told)


def _scenes(
    bundle: Bundle, source: Source, names: Sequence[str], truth: str | None, metric: str | None
) -> Scenes | None:
    """What samples are scored by: the bundle's boxes or masks, or a function of the user's."""
    manifest = bundle.manifest
    known = manifest.plan.get("judged") or {}
    said = known.get("metric") if isinstance(known, dict) else None
    if metric is not None:
        judged, scenes = by_metric(metric, names, source, manifest.model.inputs[0].shape[0], {"--truth": truth})
        if isinstance(said, dict) and said.get("sha256") != judged.sha256:
            raise DataError(
                f"--metric {metric} is not what the bundle was judged by",
                context=[
                    f"expected  {said.get('function')}, sha256 {said.get('sha256')}",
                    f"found     {judged.sha256}",
                ],
                hint="give the file as it was, or compile again",
            )
        return scenes
    decoder = decoder_in(manifest)
    if decoder is not None:
        return scenes_with(decoder, names, input_size(manifest), source, truth)
    if truth is not None:
        raise UsageError(f"--truth {truth} is for boxes and masks", context=[f"found  task {manifest.task}"])
    return None


def _metric_loss(scenes: Scenes, names: Sequence[str], whole: Spool, split: Spool, tasks: int) -> MetricLoss:
    every = np.arange(tasks)
    outputs = (whole[place] for place in range(tasks))
    judge = MetricJudge(outputs, names, scenes.metric, scenes.truths, np.ones(tasks, bool), noise=False)
    answers = [judge.answer(place, split[place]) for place in range(tasks)]
    lost = np.array([judge.lost(place, answer) for place, answer in enumerate(answers)])
    together = judge.together(every, answers, every, LEVEL)
    score = judge.whole(every)
    return MetricLoss(
        judge.kind,
        score,
        score - float(lost.mean()),
        LossTest((STAKE,), LEVEL).bound(UnitLosses(lost, np.ones(tasks))),
        {name: (value, together.split[name]) for name, value in together.whole.items()},
        together.loss_bound,
    )
