"""Run halves together and compare what they give with what the whole model gives.

They are compared with optimizations off, where the same operators run in the same order and only a wrong cut can make
a difference. That holds for models with Q/DQ too: with optimizations on, ONNX Runtime rounds their float biases to
integers and makes integer operators of groups of them, so a cut through a group, or a group written as arithmetic,
moves results by a step of the codes (1 % of the logits of a network quantized per channel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coachc.errors import CheckFailure
from coachc.frontend import ort

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Feed = Mapping[str, np.ndarray]

#: Largest admissible difference, relative to the largest magnitude of the output: float32 rounding of a sum taken in
#: another order. Equality is what is found in practice.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Finding:
    """One check that held.

    Attributes
    ----------
    what : str
    detail : str
        With the figures seen.
    """

    what: str
    detail: str


def run_halves(device: InferenceSession, cloud: InferenceSession, feed: Feed) -> dict[str, np.ndarray]:
    """Outputs of both halves and the boundary values, each crossing as it is."""
    made = ort.run_session(device, feed)
    return {**made, **ort.run_session(cloud, {item.name: made[item.name] for item in cloud.get_inputs()})}


def compare(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], where: str) -> float:
    """Largest relative difference over all outputs.

    Parameters
    ----------
    expected : mapping of str to ndarray
        The outputs to compare.
    found : mapping of str to ndarray
        At least the names of `expected`.
    where : str
        The cut, for the message.

    Returns
    -------
    float
        Relative to the largest magnitude of each output.

    Raises
    ------
    CheckFailure
        An output has another type or shape, or differs by more than `TOLERANCE`.
    """
    worst = 0.0
    for name, wanted in expected.items():
        if found[name].shape != wanted.shape or found[name].dtype != wanted.dtype:
            raise CheckFailure(
                f"output '{name}' has another type at {where}",
                context=[
                    f"expected {wanted.dtype} {list(wanted.shape)}",
                    f"found    {found[name].dtype} {list(found[name].shape)}",
                ],
            )
        if wanted.size == 0:
            continue
        if wanted.dtype.kind not in "fc":
            difference = 0.0 if np.array_equal(wanted, found[name]) else float("inf")
        else:
            scale = float(np.max(np.abs(wanted.astype(np.float64)))) or 1.0
            difference = float(np.max(np.abs(wanted.astype(np.float64) - found[name]))) / scale
        if not difference <= TOLERANCE:
            raise CheckFailure(
                f"output '{name}' differs at {where}",
                context=[f"relative difference {difference:.3g}", f"admissible {TOLERANCE:g}"],
            )
        worst = max(worst, difference)
    return worst
