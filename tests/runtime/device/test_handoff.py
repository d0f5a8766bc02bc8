"""The hand-off between device and senders: its table, what comes back, who answers for what, and when there is room."""

import itertools
import random
import threading
import time

import numpy as np
import pytest

from coachc.runtime.device.handoff import (
    DOWN,
    EVENTS,
    FAILED,
    FINISHING,
    FINISHING_DOWN,
    STATES,
    TABLE,
    UP,
    Handoff,
    after,
)
from coachc.runtime.errors import ConnectionFailed, LocalProtocolError

#: Every state and event; "-" is what cannot happen.
EXPECTED = """
                PUT     FINISH          TAKE       SETTLE          LOSE            BREAK           RESTORE    FAIL
UP              UP      FINISHING       UP         UP              UP              DOWN            UP         FAILED
DOWN            DOWN    FINISHING_DOWN  -          DOWN            DOWN            DOWN            UP         FAILED
FINISHING       -       -               FINISHING  FINISHING       FINISHING       FINISHING_DOWN  FINISHING  FAILED
FINISHING_DOWN  -       -               -          FINISHING_DOWN  FINISHING_DOWN  FINISHING_DOWN  FINISHING  FAILED
FAILED          FAILED  FAILED          -          FAILED          FAILED          FAILED          FAILED     FAILED
"""
WHY = ConnectionFailed("gone")


def expected():
    head, *rows = [line.split() for line in EXPECTED.strip().splitlines()]
    return {(row[0], event): found for row in rows for event, found in zip(head, row[1:])}


def test_the_table_says_what_follows_every_event():
    assert set(expected()) == set(itertools.product(STATES, EVENTS))
    for (state, event), found in expected().items():
        if found == "-":
            with pytest.raises(LocalProtocolError, match=f"is {state}: {event} cannot happen there"):
                after(state, event)
        else:
            assert after(state, event) == found


def test_a_run_that_failed_stays_so_and_every_other_state_can_end():
    assert set(TABLE[FAILED].values()) == {FAILED}
    reached = {UP}
    while True:
        more = reached.union(*(TABLE[state].values() for state in reached))
        if more == reached:
            break
        reached = more
    assert reached == set(STATES)


def state_of(handoff):
    return handoff._state


def came_back(handoff):
    return [lost.item for lost in handoff.returned()]


def test_what_the_methods_do_is_what_the_table_says():
    handoff = Handoff(3)
    handoff.put("a")
    handoff.put("b")
    taken = iter(handoff)
    first, second = next(taken), next(taken)
    assert handoff.settle(first)
    assert handoff.lose(second, WHY)
    assert (state_of(handoff), handoff.down) == (UP, False)
    assert handoff.break_link(WHY)
    assert (state_of(handoff), handoff.down) == (DOWN, True)
    handoff.finish()
    assert (state_of(handoff), handoff.down) == (FINISHING_DOWN, True)
    handoff.restore()
    assert (state_of(handoff), handoff.down) == (FINISHING, False)
    with pytest.raises(LocalProtocolError, match="is FINISHING: PUT cannot happen there"):
        handoff.put("c")
    with pytest.raises(LocalProtocolError, match="is FINISHING: FINISH cannot happen there"):
        handoff.finish()
    handoff.fail(ValueError("first"))
    handoff.fail(ValueError("second"))
    assert (state_of(handoff), str(handoff.error)) == (FAILED, "first")
    handoff.put("d")
    assert came_back(handoff) == []
    assert list(handoff) == []
    assert not handoff.under_way(0)


@pytest.mark.parametrize("keeps", [False, True])
def test_it_may_begin_without_a_server(keeps):
    handoff = Handoff(1, down=True, keeps=keeps)
    handoff.put("a")
    assert came_back(handoff) == ([] if keeps else ["a"])
    handoff.restore()
    assert not handoff.down
    if keeps:
        assert next(iter(handoff)) == "a"


def test_waiting_for_the_next_arrival_ends_when_something_comes_back():
    handoff = Handoff(1)
    start_s = time.perf_counter()
    assert handoff.wait_until(start_s + 0.02)
    assert time.perf_counter() - start_s >= 0.02
    handoff.put("a")
    item = next(iter(handoff))
    for end in (lambda: handoff.lose(item, WHY), lambda: handoff.fail(ValueError())):
        threading.Timer(0.05, end).start()
        assert not handoff.wait_until(start_s + 20)
        assert time.perf_counter() - start_s < 5
        list(handoff.returned())


def test_a_broken_link_gives_all_back_that_others_can_answer():
    handoff = Handoff(3)
    for item in "abc":
        handoff.put(item)
    taken = iter(handoff)
    item = next(taken)
    assert handoff.break_link(WHY)
    assert [(lost.item, lost.error) for lost in handoff.returned()] == [("a", WHY), ("b", WHY), ("c", WHY)]
    # While the link is down nothing waits for it.
    handoff.put("d")
    assert came_back(handoff) == ["d"]
    # Who had it hears that it is another's now, and that the link was known to be down.
    assert not handoff.has(item)
    assert [handoff.settle(item), handoff.lose(item, WHY), handoff.again(item)] == [False] * 3
    assert not handoff.break_link(WHY)
    assert came_back(handoff) == []
    handoff.restore()
    handoff.put("e")
    assert next(taken) == "e"
    assert handoff.settle("e")
    handoff.finish()
    assert list(taken) == []


def test_what_nobody_else_can_answer_waits_for_the_link():
    handoff = Handoff(3, keeps=True)
    for item in "abc":
        handoff.put(item)
    taken = iter(handoff)
    assert [next(taken), next(taken)] == ["a", "b"]
    assert handoff.break_link(WHY)
    handoff.put("d")
    assert came_back(handoff) == []
    assert handoff.take_back(lambda item: item == "b", lambda item: WHY) == 1
    assert came_back(handoff) == ["b"]
    handoff.finish()
    handoff.restore()
    found = []
    for item in handoff:
        found.append(item)
        assert handoff.settle(item)
    assert found == ["a", "c", "d"]
    assert not handoff.under_way(0)


def test_items_are_told_apart_by_identity():
    handoff = Handoff(3)
    items = [np.zeros(3), np.zeros(3), np.zeros(3)]
    for item in items:
        handoff.put(item)
    taken = iter(handoff)
    assert [next(taken) is items[0], next(taken) is items[1]] == [True, True]
    assert handoff.take_back(lambda item: item is items[1] or item is items[2], lambda item: WHY) == 2
    assert [lost.item is item for lost, item in zip(handoff.returned(), items[1:])] == [True, True]
    assert handoff.settle(items[0])
    assert not handoff.settle(items[1])


def test_one_more_time_comes_before_all_others():
    handoff = Handoff(3)
    for item in "abc":
        handoff.put(item)
    taken = iter(handoff)
    first = next(taken)
    assert handoff.again(first)
    assert [next(taken) for _ in range(3)] == ["a", "b", "c"]


def test_the_end_waits_for_what_may_come_back():
    handoff = Handoff(2)
    handoff.put("a")
    handoff.put("b")

    def send():
        for item in handoff:
            time.sleep(0.05)
            handoff.lose(item, WHY) if item == "a" else handoff.settle(item)

    sender = threading.Thread(target=send)
    sender.start()
    handoff.finish()
    found = []
    while handoff.under_way(5.0):
        found += came_back(handoff)
    assert found == ["a"]
    sender.join(5)
    assert not sender.is_alive()


def test_senders_wait_for_the_last_item_to_land():
    """One that flies may have to be sent again by another."""
    handoff = Handoff(2, keeps=True)
    handoff.put("a")
    item = next(iter(handoff))
    handoff.finish()
    found = []
    other = threading.Thread(target=lambda: found.extend(handoff.settle(one) for one in handoff))
    other.start()
    time.sleep(0.05)
    assert other.is_alive()
    handoff.again(item)
    other.join(5)
    assert (found, other.is_alive()) == ([True], False)


def test_the_end_waits_for_an_answer_to_be_told():
    """It is nobody's any more, and whoever counts answers has not heard of it."""
    handoff, told = Handoff(1), []
    handoff.put("a")

    def tell():
        time.sleep(0.2)
        told.append("a")

    sender = threading.Thread(target=lambda: [handoff.settle(item, tell) for item in handoff])
    sender.start()
    handoff.finish()
    while handoff.under_way(5.0):
        pass
    assert told == ["a"]
    sender.join(5)


def test_what_cannot_be_told_is_not_under_way_for_ever():
    handoff = Handoff(1)
    handoff.put("a")
    item = next(iter(handoff))
    handoff.finish()
    with pytest.raises(ZeroDivisionError):
        handoff.settle(item, lambda: 1 // 0)
    assert not handoff.under_way(0)


def test_an_answer_that_another_gives_is_not_told():
    handoff = Handoff(1)
    handoff.put("a")
    item = next(iter(handoff))
    handoff.take_back(lambda item: True, lambda item: WHY)
    assert not handoff.settle(item, lambda: pytest.fail("told"))


def test_room():
    handoff = Handoff(1)
    assert handoff.wait_for_room(0.0)
    handoff.put("a")
    assert not handoff.wait_for_room(0.01)
    taken = iter(handoff)
    timer = threading.Timer(0.05, lambda: next(taken))
    timer.start()
    assert handoff.wait_for_room(5.0)
    handoff.put("b")
    assert not handoff.wait_for_room(0.0)
    timer.join()


def test_a_pause_ends_with_the_work():
    for end in (Handoff.finish, lambda handoff: handoff.fail(ValueError()), Handoff.stop):
        handoff = Handoff(1)
        assert handoff.pause(0.01)
        threading.Timer(0.05, end, (handoff,)).start()
        start_s = time.time()
        assert not handoff.pause(20.0)
        assert time.time() - start_s < 5


def test_a_pause_ends_when_the_link_breaks():
    handoff = Handoff(1)
    threading.Timer(0.05, handoff.break_link, (WHY,)).start()
    start_s = time.time()
    assert handoff.pause(20.0)
    assert (handoff.down, time.time() - start_s < 5) == (True, True)


@pytest.mark.parametrize("keeps", [False, True])
def test_every_item_has_one_owner_whatever_happens(keeps):
    """Senders, a watcher and a link that breaks, at random: each item is settled once, or comes back once."""
    handoff, settled, back = Handoff(3, keeps=keeps), [], []
    over = threading.Event()

    def send(seed):
        rng = random.Random(seed)
        for item in handoff:
            if rng.random() < 0.3:
                time.sleep(rng.random() / 2000)
            draw = rng.random()
            if draw < 0.1:
                handoff.lose(item, WHY)
            elif draw < 0.2:
                handoff.again(item)
            elif draw < 0.22:
                handoff.break_link(WHY)
            else:
                handoff.settle(item, lambda item=item: settled.append(item))

    def disturb():
        rng = random.Random(9)
        while not over.is_set():
            time.sleep(rng.random() / 1000)
            handoff.take_back(lambda item: rng.random() < 0.1, lambda item: WHY)
            handoff.restore()

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(5)]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    for number in range(1500):
        while not handoff.wait_for_room(0.05):
            pass
        back += came_back(handoff)
        if handoff.down:
            time.sleep(0.0005)  # until somebody finds the link again
        handoff.put((number,))
    handoff.finish()
    while handoff.under_way(0.05):
        back += came_back(handoff)
    over.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(settled + back) == [(number,) for number in range(1500)]
    assert len(settled) > 100 < len(back)
