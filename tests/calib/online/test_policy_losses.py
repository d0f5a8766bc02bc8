"""What tasks lose under a setting: against a loop over tasks that asks of each how it ends."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting, losses

INF = float("inf")
TASKS, RUNGS = 200, 5


def scored(seed, *, memory=False):
    """Tasks with losses at every rung, and those losses."""
    rng = np.random.default_rng(seed)
    table = rng.choice([-1.0, 0.0, 0.0, 0.5, 1.0], (RUNGS, TASKS))
    sent = Sent(lambda rung: table[rung], RUNGS, np.arange(TASKS) // 4, 4)
    # What is remembered was answered at one of the rungs that are admitted.
    remembered = rng.random(TASKS), rng.choice([-1.0, 0.0, 1.0], (RUNGS, TASKS))

    def recalled(exited, cosine, rung):
        ended = (remembered[0] > cosine) & ~exited
        return ended, np.where(ended, remembered[1][rung:].max(axis=0), 0.0)

    score = rng.choice(np.linspace(0, 1, 21), TASKS).astype(np.float32)
    exit_loss = rng.choice([-1.0, 0.0, 1.0], TASKS)
    tasks = ScoredTasks(sent, score, exit_loss, exit_loss != 0, recalled if memory else None)
    return tasks, table, remembered


def by_hand(tasks, table, remembered, setting):
    """The worst of what may happen to each task, asked in the order in which the device decides."""
    found = []
    admitted = [setting.base, *(rung for rung, _ in setting.lower)]
    for task in range(TASKS):
        score = tasks.score[task]
        if score > setting.exits:
            found.append(tasks.exit_loss[task])
        elif tasks.recalled is not None and remembered[0][task] > setting.cosine:
            found.append(max(remembered[1][rung][task] for rung in range(min(admitted), RUNGS)))
        else:
            least = min([setting.base, *(rung for rung, above in setting.lower if score > above)])
            found.append(max(table[rung][task] for rung in range(least, RUNGS)))
    return found


SETTINGS = [
    Setting(2), Setting(4), Setting(0, 0.5), Setting(3, INF, ((2, 0.3),)), Setting(3, 0.8, ((2, 0.3), (1, 0.55))),
    Setting(2, INF, (), 0.7), Setting(4, 0.9, ((3, 0.2), (2, 0.2), (0, 0.6)), 0.4), Setting(1, -INF),
]  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("memory", [False, True])
def test_losses_equal_a_loop_over_tasks(setting, memory):
    for seed in range(5):
        tasks, table, remembered = scored(seed, memory=memory)
        assert losses(tasks, setting).tolist() == by_hand(tasks, table, remembered, setting), f"seed {seed}"


def test_the_lowest_rung_any_task_may_be_sent_at():
    assert [setting.lowest for setting in SETTINGS] == [2, 4, 0, 2, 1, 2, 0, 1]


def test_what_is_sent_may_travel_at_any_higher_precision():
    tasks, table, _ = scored(1)
    for rung in range(RUNGS):
        assert tasks.sent.worst(rung).tolist() == table[rung:].max(axis=0).tolist()


def test_every_precision_is_asked_for_once():
    asked = []

    def at(rung):
        asked.append(rung)
        return np.zeros(TASKS)

    sent = Sent(at, RUNGS, np.arange(TASKS), 1)
    for rung in (3, 1, 1, 4, 0):
        sent.worst(rung)
    assert sorted(asked) == list(range(RUNGS))


def test_losses_are_gathered_by_clip():
    tasks, _, _ = scored(2)
    assert tasks.sent.size == TASKS / 4
    lost = losses(tasks, Setting(2, 0.5))
    found = tasks.sent.by_unit(lost)
    assert found.lost[:, 0].tolist() == [lost[clip * 4 : clip * 4 + 4].sum() / 4 for clip in range(TASKS // 4)]
    assert found.weight.tolist() == [1.0] * (TASKS // 4)
