"""The queue between device and senders: what comes back, and when there is room."""

import threading
import time

from coachc.runtime.device.handoff import Handoff


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
