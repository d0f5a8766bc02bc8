"""What the samples kept back prove of a cut's precision alone, where no policy changes it from task to task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coachc.calib.precision_chooser import PrecisionChooser
from coachc.calib.proof import Proof, Step, walk
from coachc.core.plan import Quantizer


def prove_precision(
    chooser: PrecisionChooser,
    ladder: Sequence[tuple[Quantizer, ...]],
    base: int,
    level: float,
    also: Callable[[tuple[Quantizer, ...]], bool] = lambda quantizers: True,
) -> tuple[int, Proof]:
    """Test a precision with one bit to spare, then as chosen.

    Parameters
    ----------
    chooser : PrecisionChooser
    ladder : sequence of tuple of Quantizer
        Precisions of the cut, rising.
    base : int
        The one chosen.
    level : float
        Of this cut's promise.
    also : callable
        What has to hold of a precision beside what is proven.

    Returns
    -------
    rung : int
        The boldest proven; the one with a bit to spare where none is.
    proof : Proof
    """
    rungs = [base + 1, base] if base + 1 < len(ladder) else [base]
    proof = walk([_step(chooser, ladder[rung], also) for rung in rungs], chooser.budget, level)
    return rungs[max(proof.steps - 1, 0)], proof


def _step(
    chooser: PrecisionChooser, quantizers: tuple[Quantizer, ...], also: Callable[[tuple[Quantizer, ...]], bool]
) -> Step:
    return Step(
        lambda: chooser.by_unit(chooser.losses(quantizers)),
        lambda: chooser.by_unit(chooser.losses(quantizers, kept=True), kept=True),
        lambda: also(quantizers),
    )
