"""The policy that the seen samples suggest: the fewest bytes among settings that promise to be proven."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.certificate import expects_proof
from coachc.calib.online.exit_memory import COSINES
from coachc.calib.online.policy_choice import choose
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting, losses

BUDGET = 0.02
COUNT = 1000
INF = float("inf")
SIZES = [100.0, 200.0, 300.0, 400.0]


def sent_of(*wrong, seed=0):
    """Tasks sent at rungs that get a share of them wrong."""
    hard = np.random.default_rng(seed).permutation(COUNT)
    table = [(hard < share * COUNT).astype(float) for share in wrong]
    return Sent(lambda rung: table[rung], len(table), np.arange(COUNT), 1)


def scored(sent, easy, *, memory=None, seed=1):
    """A score whose label is right for that share of the tasks: those of the highest scores."""
    rank = np.random.default_rng(seed).permutation(COUNT)
    wrong = rank >= easy * COUNT
    score = (1 - rank / COUNT).astype(np.float32)
    recalled = None
    if memory is not None:
        near, lost = memory

        def recalled(exited, cosine, rung):
            ended = (near > cosine) & ~exited
            return ended, np.where(ended, lost, 0.0)

    return ScoredTasks(sent, score, wrong.astype(float), wrong, recalled)


def chosen_of(seen, sent, base=2):
    return choose(seen, sent, SIZES, base, COUNT, BUDGET)


def share(tasks, setting):
    return float((tasks.score > setting.exits).mean())


def promises(tasks, setting):
    return expects_proof(tasks.sent.by_unit(losses(tasks, setting)), COUNT, BUDGET)


def test_the_score_that_ends_most_tasks_is_taken():
    sent = sent_of(0, 0, 0, 0)
    seen = {"separability": scored(sent, 0.2), "margin": scored(sent, 0.5), "head": scored(sent, 0.3)}
    found = chosen_of(seen, sent)
    assert found.kind == "margin"
    assert found.setting.exits < 0.5
    assert promises(seen["margin"], found.setting)
    for kind, easy in (("separability", 0.2), ("margin", 0.5), ("head", 0.3)):
        # 12 of 1,000 may be lost: so many more exit.
        assert easy <= found.shares[kind] < easy + 0.03


def test_where_no_label_is_ever_right_nothing_is_chosen():
    sent = sent_of(0.5, 0.3, 0.011, 0.0)
    found = chosen_of({"margin": scored(sent, 0.0), "head": scored(sent, 0.0)}, sent)
    assert (found.kind, found.setting) == ("", Setting(2))
    assert found.shares == {"margin": 0.0, "head": 0.0}


def test_without_a_score_the_precision_stays():
    found = chosen_of({}, sent_of(0, 0, 0, 0))
    assert (found.kind, found.setting, found.shares) == ("", Setting(2), {})


def test_a_link_that_has_used_up_the_budget_gets_a_higher_precision_where_exits_pay_for_it():
    """12 of 1,000 may be lost, and are at the base: tasks of the lowest scores. One rung up none is."""
    score = np.linspace(0, 1, COUNT).astype(np.float32)
    table = [(score < limit).astype(float) for limit in (0.5, 0.5, 0.0115, -1)]
    sent = Sent(lambda rung: table[rung], 4, np.arange(COUNT), 1)
    for easy, base in ((0.8, 3), (0.1, 2)):
        # One label of a hundred is wrong among the easy ones, and all others are.
        wrong = (score < 1 - easy) | (np.arange(COUNT) % 100 == 95)
        tasks = ScoredTasks(sent, score, wrong.astype(float), wrong)
        assert promises(tasks, Setting(2))
        found = chosen_of({"margin": tasks}, sent)
        assert found.setting.base == base
        assert promises(tasks, found.setting)
        if base == 3:
            assert SIZES[3] * (1 - share(tasks, found.setting)) < SIZES[2]


def test_lower_precisions_are_admitted_by_score():
    """What the lower rungs get wrong are the tasks of low scores."""
    score = np.linspace(0, 1, COUNT).astype(np.float32)
    table = [(score < limit).astype(float) for limit in (0.7, 0.4, -1, -1)]
    sent = Sent(lambda rung: table[rung], 4, np.arange(COUNT), 1)
    tasks = ScoredTasks(sent, score, np.ones(COUNT), np.ones(COUNT, bool))
    found = chosen_of({"margin": tasks}, sent)
    assert (found.kind, found.setting.exits) == ("margin", INF)
    (first, above_first), (second, above_second) = found.setting.lower
    assert (first, second) == (1, 0)
    assert above_first == pytest.approx(0.4, abs=0.05)
    assert above_second == pytest.approx(0.7, abs=0.05)
    assert promises(tasks, found.setting)


class TestStreams:
    def test_the_memory_ends_what_the_score_does_not(self):
        sent = sent_of(0, 0, 0, 0)
        near = np.random.default_rng(3).uniform(0, 1, COUNT)
        tasks = scored(sent, 0.3, memory=(near, (near < 0.7).astype(float)))
        found = chosen_of({"margin": tasks}, sent)
        assert found.kind == "margin"
        assert found.setting.cosine in COSINES
        assert 0.6 < found.setting.cosine < 0.75
        assert promises(tasks, found.setting)
        bolder = COSINES[COSINES.index(found.setting.cosine) + 1]
        assert not promises(tasks, Setting(found.setting.base, found.setting.exits, (), bolder))

    def test_a_memory_that_is_wrong_is_left_out(self):
        sent = sent_of(0, 0, 0, 0)
        tasks = scored(sent, 0.3, memory=(np.ones(COUNT), np.ones(COUNT)))
        found = chosen_of({"margin": tasks}, sent)
        assert found.setting.cosine == INF
        assert found.setting.exits < 0.75

    def test_the_memory_alone_is_of_use(self):
        sent = sent_of(0, 0, 0, 0)
        tasks = scored(sent, 0.0, memory=(np.linspace(0, 1, COUNT), np.zeros(COUNT)))
        found = chosen_of({"margin": tasks}, sent)
        assert (found.kind, found.setting.exits, found.setting.cosine) == ("margin", INF, COSINES[-1])

    def test_exits_leave_a_part_of_the_budget_to_a_memory_that_ends_more(self):
        """12 tasks may be lost: by 20 exits more, of which 12 are wrong, or by a memory that is wrong on 9 of 560."""
        place = np.arange(COUNT)
        score = (1 - place // 20 / 50).astype(np.float32)
        wrong = place >= 308
        near = np.where((place >= 300) & (place % 5 > 0), 0.9995, 0.0)
        memory_lost = np.isin(place, np.flatnonzero(near)[50:59]).astype(float)

        def recalled(exited, cosine, rung):
            ended = (near > cosine) & ~exited
            return ended, np.where(ended, memory_lost, 0.0)

        sent = sent_of(0, 0, 0, 0)
        tasks = ScoredTasks(sent, score, wrong.astype(float), wrong, recalled)
        alone = choose({"margin": ScoredTasks(sent, score, tasks.exit_loss, wrong)}, sent, SIZES, 3, COUNT, BUDGET)
        assert share(tasks, alone.setting) == 0.32
        found = chosen_of({"margin": tasks}, sent, base=3)
        assert share(tasks, found.setting) == 0.3
        assert found.setting.cosine == COSINES[-1]
        assert promises(tasks, found.setting)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_chosen_promises_to_be_proven(seed):
    rng = np.random.default_rng(seed)
    shares = np.sort(rng.uniform(0, 0.012, 4))[::-1]
    sent = sent_of(*shares, seed=seed)
    near = rng.uniform(0, 1, COUNT)
    memory = (near, (rng.random(COUNT) < 0.3 * (1 - near)).astype(float))
    seen = {
        kind: scored(sent, rng.uniform(0, 0.9), memory=memory if seed % 2 else None, seed=seed + place)
        for place, kind in enumerate(("separability", "margin", "head"))
    }
    found = chosen_of(seen, sent)
    assert promises(seen[found.kind or "margin"], found.setting)
