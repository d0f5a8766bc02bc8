"""`coachc eval` of a bundle whose outputs are judged: how far each moves from the whole model's, in its own scale."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coachc.calib.certificate import LEVEL, LossTest, UnitLosses
from coachc.calib.judges import OutputJudge
from coachc.calib.spool import Spool
from coachc.errors import DataError
from coachc.evaluate.run_halves import RunHalves
from coachc.runtime.bundle.feeds import Source
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
class OutputLosses:
    """What a bundle's chosen cut does to the outputs."""

    tasks: int
    outputs: tuple[OutputLoss, ...]
    bytes_per_task: float


def output_losses(
    bundle: Bundle, source: Source, limit: int | None = None, progress: Callable[[int], None] = lambda done: None
) -> OutputLosses:
    """Run samples through the whole model and through both halves of the chosen cut.

    Raises
    ------
    coachc.errors.DataError
        There are no samples, or the cut sends pictures.
    """
    manifest = bundle.manifest
    cut = manifest.cut()
    if cut.mode == "cloud-jpeg":
        raise DataError(
            f"cut '{cut.name}' sends JPEG pictures, whose loss is the codec's", hint="coachc run shows what they lose"
        )
    names = [spec.name for spec in manifest.model.outputs]
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
    judge = OutputJudge((whole[place] for place in range(feeds)), names, np.ones(feeds, bool), noise=False)
    losses = np.array([judge.losses(place, split[place]) for place in range(feeds)])
    found = []
    for place, name in enumerate(names):
        column = UnitLosses(losses[:, place : place + 1], np.ones(feeds))
        bound = LossTest((STAKE,), LEVEL).bound(column)
        found.append(OutputLoss(name, float(column.means[0]), bound, float(losses[:, place].max())))
    return OutputLosses(feeds, tuple(found), float(np.mean(sizes)))
