"""A precision tested with one bit to spare, then as chosen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from coachc.calib.division import divide
from coachc.calib.judges import ClassJudge
from coachc.calib.precision_chooser import PrecisionChooser
from coachc.calib.precision_proof import prove_precision
from coachc.calib.ranges import DEFAULT_SCHEME, affine
from coachc.calib.reference_answers import Trial

BUDGET, SAMPLES = 0.02, 600


class Wrong(PrecisionChooser):
    """So many samples of the part that is kept back are wrong, by bits; none of those that are seen."""

    def __init__(self, wrong):
        judge = ClassJudge([[np.float32([[0, 1]])]] * SAMPLES, None, noise=False)
        super().__init__(("v",), Trial(None, judge, divide(SAMPLES, None, BUDGET)), BUDGET)
        self._wrong = wrong
        self.looked_at = []

    def quantizers(self, bits, scheme=DEFAULT_SCHEME):
        return (affine("v", [0], [1], bits),)

    def rows(self, quantizers, *, kept):
        wrong = self._wrong.get(quantizers[0].bits, 0) if kept else 0
        if kept:
            self.looked_at.append(quantizers[0].bits)
        for place in range(SAMPLES // 2):
            yield np.array([float(place < wrong)])


def bound(wrong):
    return stats.beta.ppf(0.95, wrong + 1, 300 - wrong)


# Of 300 kept back 1 may be wrong, not 2.
assert bound(1) < BUDGET < bound(2)


@pytest.mark.parametrize(
    ("wrong", "base", "bits", "steps", "loss_bound", "looked_at"),
    [
        ({}, 4, 4, 2, bound(0), [5, 4]),
        ({4: 1}, 4, 4, 2, bound(1), [5, 4]),
        ({4: 2}, 4, 5, 1, BUDGET, [5, 4]),
        ({5: 9}, 4, 5, 0, bound(9), [5]),
        ({8: 0}, 8, 8, 1, bound(0), [8]),
        ({8: 3}, 8, 8, 0, bound(3), [8]),
    ],
    ids=["nothing lost", "one lost", "two lost", "lost with a bit to spare", "8 bits", "8 bits lost"],
)
def test_the_boldest_that_is_proven(wrong, base, bits, steps, loss_bound, looked_at):
    chooser = Wrong(wrong)
    ladder = [chooser.quantizers(one) for one in range(2, 9)]
    rung, proof = prove_precision(chooser, ladder, base - 2, 0.05)
    assert (ladder[rung][0].bits, proof.steps) == (bits, steps)
    assert proof.bound == pytest.approx(loss_bound)
    assert chooser.looked_at == looked_at
