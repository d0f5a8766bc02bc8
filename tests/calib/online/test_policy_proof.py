"""What the kept-back samples prove of a policy: never more than they do, whatever the seen ones suggested."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.calib.certificate import LEVEL, UnitLosses, choose_test
from coachc.calib.online.exit_memory import COSINES
from coachc.calib.online.exit_rules import exit_threshold
from coachc.calib.online.policy_choice import Chosen
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting
from coachc.calib.online.policy_proof import STEPS, prove

BUDGET = 0.02
INF = float("inf")
RUNGS = 4


class Samples:
    """One part of the samples: every task with its score, and what it loses however it ends."""

    def __init__(self, rng, count, *, easy=0.5, link=(0.05, 0.01, 0.0, 0.0), memory=0.0):
        self.count = count
        self.score = rng.uniform(0, 1, count).astype(np.float32)
        self.exit_loss = (rng.random(count) > np.minimum(self.score / easy, 1) ** 0.1).astype(float)
        hard = rng.random(count) * (0.5 + self.score)
        self.table = [(hard < share).astype(float) for share in link]
        self.near = rng.uniform(0, 1, count)
        self.memory_loss = (rng.random(count) < memory).astype(float)
        self.sent = Sent(lambda rung: self.table[rung], RUNGS, np.arange(count), 1)
        self.tasks = ScoredTasks(self.sent, self.score, self.exit_loss, self.exit_loss > 0, self._recalled)

    def _recalled(self, exited, cosine, rung):
        ended = (self.near > cosine) & ~exited
        return ended, np.where(ended, self.memory_loss, 0.0)

    def losses(self, setting):
        """Of each task, one by one."""
        found = np.zeros((self.count, 1))
        for task in range(self.count):
            if self.score[task] > setting.exits:
                found[task] = self.exit_loss[task]
            elif self.near[task] > setting.cosine:
                found[task] = self.memory_loss[task]
            else:
                least = min([setting.base, *(rung for rung, above in setting.lower if self.score[task] > above)])
                found[task] = max(self.table[rung][task] for rung in range(least, RUNGS))
        return UnitLosses(found, np.ones(self.count), True)

    @property
    def pair(self):
        return self.sent, self.tasks


def proven(setting, seen, kept, level=LEVEL):
    lost = kept.losses(setting)
    return choose_test(seen.losses(setting), lost.size, BUDGET, level).proves(lost, BUDGET)


FULL = Setting(2, 0.7, ((1, 0.3), (0, 0.6)), 0.9)


@pytest.mark.parametrize(
    ("setting", "kept_easy", "memory"),
    [
        (FULL, 0.5, 0.0), (Setting(2, 0.35), 0.5, 0.0), (Setting(2, 0.2), 0.9, 0.0), (Setting(3, 0.4), 0.6, 0.0),
        (Setting(2, 0.6, ((1, 0.1),)), 0.5, 0.0), (Setting(2, 0.7, (), 0.5), 0.5, 0.06),
        (Setting(2, INF, (), 0.5), 0.5, 0.0), (Setting(2, INF, ((1, 0.0),)), 0.5, 0.0),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_never_beyond_what_is_proven(setting, kept_easy, memory, seed):
    """Whatever is chosen, all that is taken was proven, by a test of its own; and its bound is that test's."""
    rng = np.random.default_rng(seed)
    seen, kept = Samples(rng, 600, memory=memory), Samples(rng, 600, easy=kept_easy, memory=memory)
    found = prove(Chosen("margin", setting, {}), 2, seen.pair, kept.pair, BUDGET, LEVEL)
    assert found.proof.steps > 0
    assert proven(found.setting, seen, kept)
    assert proven(Setting(3), seen, kept)
    assert (found.precision == 2) == proven(Setting(2), seen, kept)
    assert found.setting.exits >= setting.exits
    assert found.setting.cosine >= setting.cosine
    if found.setting == setting:
        lost = kept.losses(setting)
        bound = choose_test(seen.losses(setting), lost.size, BUDGET).bound(lost)
        assert found.proof.bound == pytest.approx(min(bound, BUDGET))
    else:
        assert found.proof.bound == BUDGET


def test_all_that_is_chosen_is_taken_where_it_is_proven():
    rng = np.random.default_rng(0)
    seen, kept = Samples(rng, 2000, easy=0.2), Samples(rng, 2000, easy=0.2)
    found = prove(Chosen("margin", FULL, {}), 2, seen.pair, kept.pair, BUDGET, LEVEL)
    assert (found.setting, found.precision) == (FULL, 2)
    cosines = len([cosine for cosine in COSINES if cosine > FULL.cosine][:: len(COSINES) // STEPS])
    assert found.proof.steps == 2 + STEPS + 2 * (STEPS // 2) + cosines + 1


class TestPrecisionAlone:
    """Where no score is of use."""

    def proven(self, kept_link, base=2, link=(0.05, 0.01, 0.001, 0.0)):
        rng = np.random.default_rng(0)
        seen, kept = Samples(rng, 600, link=link), Samples(rng, 600, link=kept_link)
        return prove(Chosen("", Setting(base), {}), base, (seen.sent, None), (kept.sent, None), BUDGET, LEVEL)

    def test_with_a_bit_to_spare_and_as_chosen(self):
        found = self.proven((0.05, 0.01, 0.001, 0.0))
        assert (found.setting, found.precision, found.proof.steps) == (Setting(2), 2, 2)
        assert found.proof.bound < BUDGET

    def test_what_is_not_proven_keeps_a_bit_more(self):
        found = self.proven((0.5, 0.4, 0.1, 0.0))
        assert (found.setting, found.precision, found.proof.steps) == (Setting(3), 3, 1)
        assert found.proof.bound == BUDGET

    def test_what_is_not_proven_at_all_keeps_a_bit_more_and_says_so(self):
        found = self.proven((0.5, 0.4, 0.2, 0.1))
        assert (found.setting, found.precision, found.proof.steps) == (Setting(3), 3, 0)
        assert found.proof.bound > 0.05

    @pytest.mark.parametrize(("wrong", "steps"), [(0.0, 1), (0.2, 0)])
    def test_the_highest_precision_has_none_to_spare(self, wrong, steps):
        found = self.proven((0.5, 0.4, 0.3, wrong), base=3)
        assert (found.setting, found.precision, found.proof.steps) == (Setting(3), 3, steps)


def test_exits_that_lose_the_budget_are_promised_to_keep_it_once_in_20_cases():
    """Thresholds chosen on one part and proven on the other: what they lose of all tasks is known by construction."""

    def samples(rng):
        found = Samples(rng, 300, link=(0.0,) * RUNGS)
        found.exit_loss = (rng.random(300) < 0.2 * (1 - found.score)).astype(float)
        found.tasks = ScoredTasks(found.sent, found.score, found.exit_loss, found.exit_loss > 0)
        return found

    rng, draws, broken, shares = np.random.default_rng(3), 120, 0, []
    for _ in range(draws):
        seen, kept = samples(rng), samples(rng)
        chosen = Setting(2, exit_threshold(seen.tasks, 2, 300, BUDGET))
        found = prove(Chosen("margin", chosen, {}), 2, seen.pair, kept.pair, BUDGET, LEVEL)
        share = 1 - min(found.setting.exits, 1.0)
        # The integral of 0.2 (1 - score) over the scores that exit.
        broken += 0.1 * share**2 >= BUDGET
        shares.append(share)
    assert broken / draws <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / draws)
    assert np.mean(shares) > 0.15
