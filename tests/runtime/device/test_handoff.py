"""The hand-off between device and senders: its table, what comes back, and when there is room."""

import itertools
import threading
import time

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
from coachc.runtime.errors import LocalProtocolError

#: Every state and event; "-" is what cannot happen.
EXPECTED = """
                PUT     FINISH          TAKE       SETTLE          LOSE            RESTORE    FAIL
UP              UP      FINISHING       UP         UP              DOWN            -          FAILED
DOWN            DOWN    FINISHING_DOWN  -          DOWN            DOWN            UP         FAILED
FINISHING       -       -               FINISHING  FINISHING       FINISHING_DOWN  -          FAILED
FINISHING_DOWN  -       -               -          FINISHING_DOWN  FINISHING_DOWN  FINISHING  FAILED
FAILED          FAILED  FAILED          -          FAILED          FAILED          FAILED     FAILED
"""


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


def test_what_the_methods_do_is_what_the_table_says():
    handoff = Handoff(3)
    handoff.put(0)
    handoff.put(1)
    taken = iter(handoff)
    next(taken), next(taken)
    handoff.settle()
    assert state_of(handoff) == UP
    handoff.lose(1)
    assert (state_of(handoff), handoff.down) == (DOWN, True)
    handoff.finish()
    assert (state_of(handoff), handoff.down) == (FINISHING_DOWN, True)
    handoff.restore()
    assert (state_of(handoff), handoff.down) == (FINISHING, False)
    with pytest.raises(LocalProtocolError, match="is FINISHING: PUT cannot happen there"):
        handoff.put(2)
    with pytest.raises(LocalProtocolError, match="is FINISHING: FINISH cannot happen there"):
        handoff.finish()
    handoff.fail(ValueError("first"))
    handoff.fail(ValueError("second"))
    assert (state_of(handoff), str(handoff.error)) == (FAILED, "first")
    assert not handoff.put(3)
    assert list(handoff.returned()) == []
    assert list(handoff) == []


def test_it_may_begin_without_a_server():
    handoff = Handoff(1, down=True)
    assert handoff.put(0)
    assert list(handoff.returned()) == [0]
    handoff.restore()
    assert not handoff.down


def test_waiting_for_the_next_arrival_ends_when_something_comes_back():
    handoff = Handoff(1)
    start_s = time.perf_counter()
    assert handoff.wait_until(start_s + 0.02)
    assert time.perf_counter() - start_s >= 0.02
    handoff.put(0)
    taken = iter(handoff)
    next(taken)
    for end in (lambda: handoff.lose(0), lambda: handoff.fail(ValueError())):
        threading.Timer(0.05, end).start()
        assert not handoff.wait_until(start_s + 20)
        assert time.perf_counter() - start_s < 5
        list(handoff.returned())


def test_what_is_lost_comes_back_with_all_that_waits():
    handoff = Handoff(3)
    for item in range(3):
        assert handoff.put(item)
    taken = iter(handoff)
    assert next(taken) == 0
    assert handoff.lose(0)
    assert handoff.down
    assert list(handoff.returned()) == [0, 1, 2]
    # While the link is down nothing waits for it.
    assert handoff.put(3)
    assert list(handoff.returned()) == [3]
    handoff.restore()
    assert handoff.put(4)
    assert list(handoff.returned()) == []
    assert next(taken) == 4
    assert next(iter([handoff.lose(4)]))
    handoff.finish()
    assert list(taken) == []


def test_only_the_first_to_lose_the_link_looks_for_it():
    handoff = Handoff(2)
    handoff.put(0)
    handoff.put(1)
    one, other = iter(handoff), iter(handoff)
    next(one), next(other)
    assert [handoff.lose(0), handoff.lose(1)] == [True, False]


def test_the_end_waits_for_what_may_come_back():
    handoff = Handoff(2)
    handoff.put(0)
    handoff.put(1)

    def send():
        for item in handoff:
            time.sleep(0.05)
            handoff.lose(item) if item == 0 else handoff.settle()

    sender = threading.Thread(target=send)
    sender.start()
    handoff.finish()
    assert list(handoff.returned(wait=True)) == [0, 1]
    sender.join(5)
    assert not sender.is_alive()


def test_room():
    handoff = Handoff(1)
    assert handoff.wait_for_room(0.0)
    handoff.put(0)
    assert not handoff.wait_for_room(0.01)
    taken = iter(handoff)
    threading.Timer(0.05, lambda: next(taken)).start()
    assert handoff.wait_for_room(5.0)


def test_a_pause_ends_with_the_work():
    for end in (Handoff.finish, lambda handoff: handoff.fail(ValueError())):
        handoff = Handoff(1)
        assert handoff.pause(0.01)
        threading.Timer(0.05, end, (handoff,)).start()
        start_s = time.time()
        assert not handoff.pause(20.0)
        assert time.time() - start_s < 5
