"""The policies of one cut from end to end: made-up features and answers, and the runtime's controller on fresh ones."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.online.default_policy import default_policy
from coachc.calib.online.online_policy import CutTimes, Part, build
from coachc.calib.online.policy_losses import Sent, Setting, losses
from coachc.runtime.online.controller import Observation, State, decide
from coachc.runtime.online.policy import POLICIES, Policy
from coachc.runtime.online.precision import Rung

BUDGET, LEVEL = 0.02, 0.05
CLASSES, CHANNELS = 5, 16
INF = float("inf")
RUNGS = tuple(Rung((bits,), 100.0 * bits, 0.0) for bits in (3, 4, 5, 6))
TIMES = CutTimes(0.02, 0.01, 0.5)


def part(seed, count=1000, *, noise=0.9, link=(0.1, 0.01, 0.0, 0.0), clip=1, scene=0.0, labels=None):
    """Samples around one centre a class, in clips that look alike; `labels`: the share that the model has right."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((CLASSES, CHANNELS))
    answers = np.repeat(rng.integers(0, CLASSES, count // clip), clip)
    scenes = scene * np.repeat(rng.standard_normal((count // clip, CHANNELS)), clip, axis=0)
    features = centres[answers] + scenes + noise * rng.standard_normal((count, CHANNELS))
    truth = answers if labels is None else np.where(rng.random(count) < labels, answers, (answers + 1) % CLASSES)
    changed = rng.random(count)
    table = [np.where(changed < share, (answers == truth).astype(float), 0.0) for share in link]
    sent = Sent(lambda rung: table[rung], len(link), np.arange(count) // clip, clip)

    def answers_at(rung):
        return np.where(table[rung] > 0, (answers + 1) % CLASSES, answers)

    order = np.arange(count) if clip > 1 else None
    return Part(features.astype(np.float32), answers, truth, sent, order, answers_at)


def built(seen, kept, base=2, missing=0):
    return build("cut", seen, kept, RUNGS, base, TIMES, BUDGET, LEVEL, missing=missing)


def decided(policy, tasks, server_says):
    """How the runtime ends each task: by "score", "memory" or not, and with which answer."""
    state, ways, labels = State(policy), [], []
    for feature, answer in zip(tasks.features, server_says, strict=True):
        # No exit is audited, and nothing is learnt but what the memory holds.
        decision = decide(Observation(feature, 1e9, draw=1.0), state, policy)
        ways.append(decision.exit)
        labels.append(decision.label if decision.exit else int(answer))
        if not decision.exit and state.memory is not None:
            state.memory.add(feature, int(answer))
    return np.array(ways), np.array(labels)


@pytest.fixture(scope="module")
def found():
    """Features that tell the classes apart for most samples."""
    return built(part(0), part(1))


class TestEasyFeatures:
    def test_exits_are_proven(self, found):
        online, proven = found
        assert online.exit_share > 0.3
        assert online.proof.bound <= BUDGET
        assert online.chosen.kind in ("separability", "margin", "head")
        assert online.chosen.shares[online.chosen.kind] > 0.3
        assert (online.missing, online.no_exits, online.memory_share) == (0, "", 0.0)
        assert (proven.precision, proven.setting) == (2, online.setting)

    def test_the_runtime_exits_as_was_counted(self, found):
        online, kept = found[0], part(1)
        ways, _ = decided(online.policies["default"], kept, kept.answers)
        assert np.mean(ways == "score") == online.exit_share

    def test_the_budget_holds_on_fresh_tasks(self, found):
        fresh = part(2, 20_000)
        ways, labels = decided(found[0].policies["default"], fresh, fresh.answers)
        lost = np.where(ways == "score", fresh.answers != labels, fresh.sent.worst(found[0].setting.base))
        assert 0 < lost.mean() < BUDGET
        assert np.mean(ways == "score") == pytest.approx(found[0].exit_share, abs=0.05)

    def test_there_is_a_policy_of_each_kind(self, found):
        policies = found[0].policies
        assert tuple(policies) == POLICIES
        for name, policy in policies.items():
            assert (policy.name, policy.cut, policy.rungs) == (name, "cut", RUNGS)
            assert (policy.device_s, policy.cloud_s, policy.server_share) == (0.02, 0.01, 0.5)
        none = policies["none"]
        assert (none.exits, none.memory, none.base, none.adjust) == (None, None, 2, (INF, INF, -INF, -INF))
        assert policies["paper"].exits.scorer.kind == "separability"
        assert policies["default"].exits.scorer.kind == found[0].chosen.kind

    def test_lower_precisions_are_counted_of_the_tasks_that_are_sent(self):
        seen, kept = (part(seed, noise=2.5, link=(0.5, 0.003, 0.0, 0.0)) for seed in (0, 1))
        online, _ = built(seen, kept)
        policy = online.policies["default"]
        assert online.setting.lower
        ways, _ = decided(policy, kept, kept.answers)
        rungs = []
        for feature in kept.features[ways == ""]:
            # A link that is too slow for anything: the lowest precision that the score admits.
            rungs.append(decide(Observation(feature, 1.0), State(policy), policy).rung)
        shares = [(np.array(rungs) <= rung).sum() / len(ways) for rung, _ in online.setting.lower]
        assert online.lower_shares == pytest.approx(shares)


def test_too_few_samples_give_no_exits_and_say_how_many_would_do():
    online, proven = built(part(0, 100), None, missing=50)
    assert proven is None
    assert (online.missing, online.proof, online.exit_share) == (50, None, 0.0)
    assert (online.chosen.kind, online.setting) == ("", Setting(2))
    assert set(online.chosen.shares.values()) == {0.0}
    default = online.policies["default"]
    assert (default.exits, default.memory, default.base) == (None, None, 2)
    assert default.adjust == (INF, INF, -INF, -INF)
    assert online.policies["paper"].exits is not None


def test_features_that_say_nothing_give_no_exits():
    link = (0.5, 0.3, 0.0, 0.0)
    online, proven = built(part(0, noise=30.0, link=link), part(1, noise=30.0, link=link))
    assert (online.chosen.kind, online.exit_share, online.lower_shares) == ("", 0.0, ())
    assert online.policies["default"].exits is None
    assert (proven.setting, proven.precision, proven.proof.steps) == (Setting(2), 2, 2)


@pytest.mark.parametrize(("count", "said"), [(1, "in 1 sample"), (1000, "in 1,000 samples")])
def test_one_class_is_no_score(count, said):
    one = part(0, count)
    one = Part(one.features, np.full(count, 3), np.full(count, 3), one.sent)
    assert built(one, None)[0].no_exits == f"one class only, {said}"
    online, _ = built(one, part(1))
    assert online.no_exits == f"one class only, {said}"
    assert [policy.exits for policy in online.policies.values()] == [None] * 3


def test_exits_that_do_not_hold_on_the_kept_samples_are_not_taken():
    """There the features say nothing: what was chosen on the seen ones is not proven."""
    online, proven = built(part(0), part(1, noise=3.0))
    assert np.isfinite(online.chosen.setting.exits)
    assert online.setting.exits > online.chosen.setting.exits
    assert proven.proof.bound == BUDGET
    assert online.exit_share < online.chosen.shares[online.chosen.kind] / 2


def test_a_precision_that_is_not_proven_gets_a_bit_more_in_every_policy():
    online, proven = built(part(0), part(1, link=(0.5, 0.3, 0.1, 0.0)))
    assert (proven.precision, proven.setting, proven.proof.steps) == (3, Setting(3), 1)
    assert [policy.base for policy in online.policies.values()] == [3, 3, 3]
    for name in ("none", "default"):
        assert online.policies[name].adjust == (INF, INF, INF, -INF)
    assert online.policies["default"].exits is None


class TestStreams:
    """Scenes that last four frames and differ by more than the classes do: the score is of no use, the memory is."""

    def parts(self, link):
        return [part(seed, 1000, noise=0.2, clip=4, scene=20.0, link=link) for seed in (0, 1)]

    def test_what_looks_like_the_frame_before_is_recalled(self, monkeypatch):
        monkeypatch.setattr("coachc.calib.online.online_policy.SCORES", ("separability", "margin"))
        seen, kept = self.parts((0.5, 0.5, 0.5, 0.0))
        online, _ = built(seen, kept, base=3)
        assert online.memory_share == pytest.approx(0.75, abs=0.02)
        assert np.isfinite(online.setting.cosine)
        default = online.policies["default"]
        ways, labels = decided(default, kept, kept.answers)
        assert np.mean(ways == "memory") == online.memory_share
        assert np.mean(ways == "score") == online.exit_share
        assert np.mean(labels != kept.answers) <= online.proof.bound <= BUDGET
        assert np.array_equal(default.memory.mean, seen.features.mean(axis=0))

    def test_what_is_recalled_is_not_sent_at_a_lower_precision(self):
        seen, kept = (part(seed, 1000, noise=0.2, clip=4, scene=1.5, link=(0.5, 0.003, 0.0, 0.0)) for seed in (0, 1))
        online, _ = built(seen, kept)
        assert online.setting.lower
        assert online.memory_share > 0.1
        assert sum(online.lower_shares[-1:]) <= 1.000001 - online.memory_share - online.exit_share

    @pytest.mark.parametrize("labels", [None, 0.8])
    @pytest.mark.parametrize(("lowest", "lower"), [(3, ()), (2, ((2, -1.0),))])
    def test_a_wrong_answer_that_is_recalled_is_lost_each_time(self, lowest, lower, labels):
        """Of the tasks that are sent one of 20 gets another answer, and the frames that follow it get that one."""
        kept = part(1, 1000, noise=0.2, clip=4, scene=20.0, link=(0.5, 0.5, 0.1, 0.05), labels=labels)
        stream, setting = kept.stream(kept.features.mean(axis=0)), Setting(3, INF, lower, 0.9)
        tasks = kept.scored(kept.answers, np.zeros(1000, np.float32), stream)
        counted = losses(tasks, setting)
        plain = Policy("default", "cut", None, None, RUNGS, 3, (INF, INF, INF, -INF), 0.02, 0.01)
        policy = default_policy(plain, setting, None, None, stream, kept.answers)
        for rung in range(lowest, len(RUNGS)):
            ways, labels_given = decided(policy, kept, kept.answers_at(rung))
            assert np.mean(ways == "memory") == pytest.approx(0.75, abs=0.02)
            lost = kept.loss_of(np.arange(1000), labels_given)
            assert lost.sum() > 20
            assert (lost <= counted).all()

    @pytest.mark.parametrize("rung", [2, 3])
    def test_answers_that_precision_changes_are_counted_with_the_worst(self, rung):
        kept = part(1, 200, clip=4, link=(0.5, 0.5, 0.1, 0.05))
        found = kept.stream(np.zeros(CHANNELS)).answers_at(rung)
        assert np.array_equal(found, [kept.answers_at(one) for one in range(rung, len(RUNGS))])

    def test_where_precision_changes_nothing_the_models_answers_are_remembered(self):
        kept = part(1, 200, clip=4)
        same = Part(kept.features, kept.answers, kept.truth, kept.sent, kept.order)
        assert same.stream(np.zeros(CHANNELS)).answers_at(2).tolist() == [kept.answers.tolist()] * 2


def test_labels_make_exits_that_are_right_a_gain():
    tasks = part(0, labels=0.8)
    places = np.array([0, 5, 7, 9])
    answers = np.array([tasks.truth[0], tasks.answers[5], (tasks.truth[7] + 2) % CLASSES, tasks.truth[9]])
    expected = [
        int(tasks.answers[place] == tasks.truth[place]) - int(answer == tasks.truth[place])
        for place, answer in zip(places, answers, strict=True)
    ]
    assert tasks.loss_of(places, answers).tolist() == expected
    scored = tasks.scored(tasks.truth, np.zeros(1000), None)
    assert scored.exit_loss.tolist() == (tasks.right - 1.0).tolist()
    assert np.array_equal(scored.differs, ~tasks.right)
    assert tasks.right.mean() == pytest.approx(0.8, abs=0.05)
