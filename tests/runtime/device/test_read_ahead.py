import threading
import time

import pytest

from coachc.runtime.device.read_ahead import DEPTH, read_ahead


def test_the_same_items_come_in_their_order():
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead([])) == []


def test_reading_goes_on_meanwhile_and_not_far():
    read = []

    def items():
        for number in range(10):
            read.append(number)
            yield number

    found = read_ahead(items())
    assert next(found) == 0
    end_s = time.time() + 5
    while len(read) < DEPTH + 2 and time.time() < end_s:
        time.sleep(0.01)
    time.sleep(0.05)
    # Two wait, and one is in the reader's hand.
    assert len(read) == DEPTH + 2
    assert list(found) == list(range(1, 10))


def test_what_reading_raises_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("no more")

    found = read_ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_reading_ends_and_is_closed_with_whoever_reads_from_it():
    closed, threads = [], threading.active_count()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread())

    found = read_ahead(items())
    assert next(found) == 1
    found.close()
    assert len(closed) == 1
    assert closed[0] is not threading.current_thread()
    assert threading.active_count() == threads
