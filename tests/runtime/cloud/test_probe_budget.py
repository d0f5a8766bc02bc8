import json

import pytest

from coachc.runtime.cloud.probe_budget import BUCKET_BYTES, REFILL_BYTES_PER_S, ProbeBudget, ProbeRequest
from coachc.runtime.link.probe import BODY_LIMIT_BYTES, decode_answer


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def post(budget, size, declared=None, pieces=1):
    request = ProbeRequest(budget, "POST", size if declared is None else declared)
    for _ in range(pieces):
        if request.refusal is None:
            request.receive(bytes(size // pieces))
    return request.answer()


def test_a_body_is_counted_however_it_comes():
    for pieces in (1, 7):
        for declared in (None, 0):
            response = post(ProbeBudget(Clock()), 7000, declared, pieces)
            assert response.status == 200
            found = decode_answer(response.body, "h:1", 7000)
            assert found[:3] == (7000, BODY_LIMIT_BYTES, BUCKET_BYTES - 7000)


def test_the_tail_is_what_comes_after_the_piece_that_used_up_a_bucket():
    clock = Clock()
    request = ProbeRequest(ProbeBudget(Clock()), "POST", 9000, clock)
    for size, wait_s in ((2500, 1.0), (4000, 2.0), (500, 0.001), (2000, 0.0025)):
        clock.now_s += wait_s
        request.receive(bytes(size))
    found = decode_answer(request.answer().body, "h:1", 9000)
    assert (found.tail_bytes, found.tail_us) == (2500, pytest.approx(3500, abs=2))
    # One piece has no tail.
    assert decode_answer(post(ProbeBudget(Clock()), 9000).body, "h:1", 9000)[3:] == (0, 0)


def test_asking_costs_nothing():
    budget = ProbeBudget(Clock())
    found = decode_answer(ProbeRequest(budget, "GET", 0).answer().body, "h:1", 0)
    assert found == (0, BODY_LIMIT_BYTES, BUCKET_BYTES, 0, 0)


def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    budget = ProbeBudget(Clock())
    request = ProbeRequest(budget, "POST", BODY_LIMIT_BYTES + 1)
    assert request.refusal is not None
    assert (request.answer().status, budget.left_bytes()) == (413, BUCKET_BYTES)
    assert json.loads(request.answer().body.decode())["error"] == "the probe takes bodies of at most 4194304 bytes"
    assert post(budget, 2 * BODY_LIMIT_BYTES, declared=0, pieces=4).status == 413
    assert budget.left_bytes() == BUCKET_BYTES - BODY_LIMIT_BYTES  # what had been read by then


def test_all_bodies_together_have_a_limit_that_comes_back():
    clock = Clock()
    budget = ProbeBudget(clock)
    statuses = [post(budget, BODY_LIMIT_BYTES).status for _ in range(18)]
    assert statuses == [200] * 16 + [429] * 2
    response = post(budget, BODY_LIMIT_BYTES)
    assert response.headers["Retry-After"] == "1"
    assert json.loads(response.body.decode())["error"] == (
        "the probe takes 64 MiB at once and then 6.4 MiB/s of all devices together; there is room for this one in 1 s"
    )
    assert post(budget, 1, declared=0).status == 429
    clock.now_s += 1.0
    assert post(budget, BODY_LIMIT_BYTES).status == 200
    clock.now_s += 1e9
    assert budget.left_bytes() == BUCKET_BYTES


def test_no_stranger_gets_more_through_than_the_refill():
    clock = Clock()
    budget = ProbeBudget(clock)
    through = 0
    for _ in range(10000):
        clock.now_s += 0.01
        through += BODY_LIMIT_BYTES * (post(budget, BODY_LIMIT_BYTES).status == 200)
    assert through <= BUCKET_BYTES + 100 * REFILL_BYTES_PER_S


def test_a_clock_that_goes_back_gives_nothing():
    clock = Clock()
    budget = ProbeBudget(clock)
    post(budget, 1000)
    clock.now_s -= 50
    assert budget.left_bytes() == BUCKET_BYTES - 1000


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_refused(method):
    response = ProbeRequest(ProbeBudget(Clock()), method, 5).answer()
    assert (response.status, response.headers["Allow"]) == (405, "GET, POST")
