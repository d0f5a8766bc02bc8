"""A metric of the user's, `--metric file.py:function`: a score for each sample, from 0 to 1, higher is better.

The function gets the outputs and the whole model's, both as dicts of arrays by name, and the sample's name: a picture's
path in its folder, by which annotations of the user's own are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from coachc.calib.judges import Outputs
from coachc.calib.user_code import UserFunction
from coachc.errors import DataError

Named = dict[str, np.ndarray]


class UserMetric:
    """Scores samples.

    Parameters
    ----------
    function : UserFunction
    names : sequence of str
        Of the outputs.
    name_of : callable
        Place of a sample -> its name.
    """

    task = "outputs"

    def __init__(self, function: UserFunction, names: Sequence[str], name_of: Callable[[int], str]) -> None:
        self._function, self._names, self._name_of = function, tuple(names), name_of

    def find(self, outputs: Outputs) -> Sequence[Named]:
        """The outputs by name: one row, whatever the batch."""
        return [dict(zip(self._names, outputs, strict=True))]

    def truth_of(self, found: Named) -> Named:
        """The whole model's outputs."""
        return found

    def compare(self, found: Named, truth: Named, row: int) -> float:
        """The score.

        Raises
        ------
        coachc.errors.DataError
            The function fails, or gives no number from 0 to 1.
        """
        name = self._name_of(row)
        with self._function.guarded("failed", f"for sample {name}"):
            # Copies: what the function does to its arrays is its own matter.
            arguments = ({key: array.copy() for key, array in side.items()} for side in (found, truth))
            score = self._function.call(*arguments, name)
        try:
            number = float(score)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number <= 1:
            raise DataError(
                f"{self._function.name} gives no score for sample {name}",
                context=["expected  a number from 0 to 1, higher is better", f"found     {score!r:.80}"],
            )
        return number

    def score(self, compared: float) -> float:
        """It is one."""
        return compared

    def figures(self, compared: Sequence[float]) -> Mapping[str, float]:
        """Nothing but the mean, which is told anyway."""
        return {}

    def lost_together(
        self, whole: Sequence[Sequence[Any]], split: Sequence[Sequence[Any]], units: np.ndarray, level: float
    ) -> float | None:
        """Nothing: the mean of the scores is what is promised."""
        return None
