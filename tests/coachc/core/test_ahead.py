"""Looking ahead changes neither results nor their order, and begins no more than is stated."""

from __future__ import annotations

import threading
import time

import pytest

from coachc.core import ahead as ahead_module
from coachc.core.ahead import CORES, ahead

WORKERS, WAITING = 3, 2


def asked(count, heard):
    """Numbers that tell when they are asked for, and by which thread."""
    for number in range(count):
        heard.append((number, threading.current_thread()))
        yield number


@pytest.fixture
def threads():
    """Threads that look ahead, without those that were there before."""
    before = set(threading.enumerate())
    return lambda: [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("ahead")]


@pytest.mark.parametrize("count", [0, 1, 3, 50])
@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_their_items(count, workers):
    """Though the first ones take longest."""

    def square(number):
        time.sleep(0.002 * (count - number) / max(count, 1))
        return number**2

    assert list(ahead(square, range(count), workers=workers)) == [number**2 for number in range(count)]


def test_several_are_worked_on_at_once():
    """Each waits until all three are there: one after the other they would wait forever."""
    gate = threading.Barrier(WORKERS, timeout=10)
    assert len(list(ahead(lambda _: gate.wait(), range(2 * WORKERS), workers=WORKERS))) == 2 * WORKERS


def test_items_are_asked_for_by_the_callers_thread_and_no_more_than_stated():
    heard, begun = [], []
    results = ahead(begun.append, asked(100, heard), workers=WORKERS, waiting=WAITING)
    assert not heard, "something is asked for before there is a need"
    for done in range(1, 21):
        next(results)
        assert len(heard) == done + WORKERS * WAITING
        assert len(begun) <= len(heard)
    assert {thread for _, thread in heard} == {threading.current_thread()}
    results.close()


def test_there_is_a_worker_for_each_core_up_to_eight(threads):
    usual = ahead_module.WORKERS
    assert usual == min(CORES, 8)
    gate = threading.Barrier(usual, timeout=10)
    results = ahead(lambda _: gate.wait(), range(8 * usual))
    next(results)
    assert len(threads()) == usual
    assert len(list(results)) == 8 * usual - 1


def test_whoever_stops_asking_ends_what_was_begun(threads):
    heard, begun, ended = [], [], []

    def slow(number):
        begun.append(number)
        time.sleep(0.05)
        ended.append(number)

    results = ahead(slow, asked(1000, heard), workers=1, waiting=10)
    next(results)
    results.close()
    count = len(begun)
    assert count <= 3, "what waits for a worker is begun all the same"
    assert begun == ended, "a worker goes on after the end"
    assert not threads()
    time.sleep(0.1)
    assert (len(begun), len(heard)) == (count, 11)


def test_an_exception_of_the_function_comes_out_at_its_place(threads):
    def refuse_five(number):
        if number == 5:
            raise KeyError("five")
        return number

    results = ahead(refuse_five, range(100), workers=WORKERS)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five"):
        next(results)
    assert not threads()
    assert list(results) == []


def test_an_exception_of_the_items_comes_out(threads):
    def broken():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(ahead(lambda number: number, broken(), workers=WORKERS))
    assert not threads()


def test_one_looks_ahead_of_another(threads):
    """A chain of two: the second asks the first from the caller's thread, as it needs."""
    heard = []
    first = ahead(lambda number: number + 1, asked(40, heard), workers=2)
    second = ahead(lambda number: number * 2, first, workers=2)
    assert next(second) == 2
    assert len(heard) == 1 + 4 + 4
    assert list(second) == [2 * (number + 1) for number in range(1, 40)]
    assert not threads()
