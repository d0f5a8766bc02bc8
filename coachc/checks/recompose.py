"""Run halves together and compare what they give with what the whole model gives.

They are compared with optimizations off, where the same operators run in the same order and only a wrong cut can make
a difference. That holds for models with Q/DQ too: with optimizations on, ONNX Runtime rounds their float biases to
integers and makes integer operators of groups of them, so a cut through a group, or a group written as arithmetic,
moves results by a step of the codes (1 % of the logits of a network quantized per channel).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from coachc.checks.storing_session import StoringSession
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.frontend.model import Model
from coachc.frontend.rounding import admissible, narrow_unit
from coachc.passes.lower.agree import relative_difference
from coachc.runtime.engines.engine import Engine

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


def run_halves(device: Engine, cloud: Engine, feed: Feed) -> dict[str, np.ndarray]:
    """Outputs of both halves and the boundary values, each crossing as it is."""
    made = device.run(feed)
    return {**made, **cloud.run({name: made[name] for name in cloud.input_names})}


class Whole:
    """The whole model as halves are compared with it: every value stored, see `frontend.rounding`.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self._stored = StoringSession(model.proto)
        self._untouched = ort.session(model.proto) if narrow_unit(model.proto) else None
        self._admissible = admissible(model.proto, TOLERANCE)
        self._apart = 0.0

    def run(self, feed: Feed) -> dict[str, np.ndarray]:
        """What halves have to give.

        Raises
        ------
        CheckFailure
            It is further from what the model gives as it is than a few roundings.
        """
        stored = self._stored.run(feed)
        if self._untouched is not None:
            expected = ort.run_session(self._untouched, feed)
            where = "the model with all values stored"
            self._apart = max(self._apart, compare(expected, stored, where, self._admissible))
        return stored

    @property
    def said(self) -> str:
        """How far storing every value moves the outputs; empty for a model in float32."""
        if self._untouched is None:
            return ""
        return f", which rounding to half precision moves by {self._apart:.1e} (at most {self._admissible:.1e})"


def compare(
    expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], where: str, tolerance: float = TOLERANCE
) -> float:
    """Largest relative difference over all outputs.

    Parameters
    ----------
    expected : mapping of str to ndarray
        The outputs to compare.
    found : mapping of str to ndarray
        At least the names of `expected`.
    where : str
        The cut, for the message.
    tolerance : float
        Largest admissible difference.

    Returns
    -------
    float
        Relative to the largest magnitude of each output.

    Raises
    ------
    CheckFailure
        An output has another type or shape, or differs by more than is admissible.
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
        difference = relative_difference(wanted, found[name])
        if not difference <= tolerance:
            raise CheckFailure(
                f"output '{name}' differs at {where}",
                context=[f"relative difference {difference:.3g}", f"admissible {tolerance:g}"],
            )
        worst = max(worst, difference)
    return worst


def says_nothing(outputs: Iterable[Feed]) -> str:
    """A remark where outputs have numbers and none of them is finite, so that no comparison means anything."""
    numbers = [array for made in outputs for array in made.values() if array.dtype.kind == "f" and array.size]
    if not numbers or any(np.isfinite(array).any() for array in numbers):
        return ""
    return "; no number of the outputs is finite on these inputs, so that this says little"
