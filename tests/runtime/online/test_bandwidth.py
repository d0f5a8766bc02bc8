import json
import math
import random
from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest

from coachc.runtime.online.bandwidth import (
    FLOOR_BYTES,
    HALF_LIFE_S,
    IDLE_S,
    MAX_BYTES_PER_S,
    MIN_BYTES_PER_S,
    OUTAGE_FACTOR,
    OUTAGE_MIN_S,
    OUTLIER,
    SMALL_KEPT,
    Transfer,
    estimate,
    in_outage,
    initial,
    observe,
)

MBIT = 125000.0  # bytes per second
SERVER_S = 0.02
TRACES = Path(__file__).resolve().parents[4] / "shared" / "data" / "traces" / "traces.json"
needs_traces = pytest.mark.skipif(not TRACES.is_file(), reason="needs ../shared/data/traces: rates of real links")


class Link:
    """A link whose rate is given per stretch of time; the last one goes on forever."""

    def __init__(self, stretches):
        self._times, self._totals, self._last = [0.0], [0.0], stretches[-1][1]
        for duration_s, bytes_per_s in stretches:
            self._times.append(self._times[-1] + duration_s)
            self._totals.append(self._totals[-1] + duration_s * bytes_per_s)
        self.end_s = self._times[-1]

    def total(self, at_s):
        """Bytes that could have left until then."""
        i = bisect_right(self._times, at_s) - 1
        if i == len(self._times) - 1:
            return self._totals[-1] + (at_s - self.end_s) * self._last
        share = (at_s - self._times[i]) / (self._times[i + 1] - self._times[i])
        return self._totals[i] + share * (self._totals[i + 1] - self._totals[i])

    def left_s(self, begin_s, size_bytes):
        """When a transfer that begins then has left."""
        total = self.total(begin_s) + size_bytes
        i = bisect_left(self._totals, total)
        if i == len(self._totals):
            return self.end_s + (total - self._totals[-1]) / self._last
        share = (total - self._totals[i - 1]) / (self._totals[i] - self._totals[i - 1])
        return self._times[i - 1] + share * (self._times[i] - self._times[i - 1])


def steady(bytes_per_s):
    return Link([(1.0, bytes_per_s)])


def in_order(link, sizes, start_s=0.0, in_flight=1, pause_s=0.0):
    """Transfers that the link sends one after the other, each started when one of those in flight was answered."""
    ready, free_s, transfers = [start_s] * in_flight, 0.0, []
    for size in sizes:
        begin_s = ready.pop(0)
        free_s = link.left_s(max(begin_s, free_s), size)
        transfers.append(Transfer(size, begin_s, free_s + SERVER_S, SERVER_S))
        ready.append(free_s + SERVER_S + pause_s)
    return transfers


def all_at_once(bytes_per_s, size, in_flight, rounds):
    """Transfers that start together and share the link evenly, so that they leave it together."""
    transfers, now_s = [], 0.0
    for _ in range(rounds):
        end_s = now_s + in_flight * size / bytes_per_s + SERVER_S
        transfers += [Transfer(size, now_s, end_s, SERVER_S)] * in_flight
        now_s = end_s
    return transfers


def fold(state, transfers):
    for transfer in transfers:
        state = observe(state, transfer)
    return state


def settled(rate, size=20000, count=50):
    """State and time after a while at one rate."""
    transfers = in_order(steady(rate), [size] * count)
    return fold(initial(rate), transfers), transfers[-1].end_s


def test_the_prior_holds_until_a_transfer_says_otherwise():
    state = initial(20 * MBIT)
    assert estimate(state) == pytest.approx(20 * MBIT)
    state = fold(state, in_order(steady(8 * MBIT), [20000]))
    assert estimate(state) == pytest.approx(8 * MBIT, rel=0.15)


def test_a_prior_far_off_is_left_with_the_third_transfer():
    transfers = in_order(steady(2 * MBIT), [20000] * 3)
    assert estimate(fold(initial(100 * MBIT), transfers)) == pytest.approx(2 * MBIT)


@pytest.mark.parametrize("prior, lowest", [(0, True), (-5.0, True), (math.nan, True), (math.inf, False)])
def test_a_prior_is_bounded(prior, lowest):
    assert estimate(initial(prior)) == pytest.approx(MIN_BYTES_PER_S if lowest else MAX_BYTES_PER_S)


def test_small_transfers_say_nothing_and_others_weigh_as_their_bytes():
    state, now_s = settled(20 * MBIT)
    small = [Transfer(FLOOR_BYTES - 1, now_s + i, now_s + i + 0.05) for i in range(5)]
    assert estimate(fold(state, small)) == estimate(state)

    def moved(size):  # the same rate, a third lower, seen with so many bytes
        left_s = now_s + size / (20 * MBIT / 1.5)
        return estimate(state) - estimate(observe(state, Transfer(size, now_s, left_s)))

    assert 0 < moved(2000) < moved(20000) / 5


def test_a_small_transfer_takes_its_time_on_the_link():
    state, now_s = settled(20 * MBIT)
    state = observe(state, Transfer(1000, now_s, now_s + 0.01))
    state = observe(state, Transfer(20000, now_s, now_s + 0.01 + 20000 / (20 * MBIT)))
    assert estimate(state) == pytest.approx(20 * MBIT)


def test_after_a_pause_the_estimate_stays_and_the_next_transfer_counts_more():
    state, now_s = settled(20 * MBIT)
    rates = []
    for pause_s in (0.0, HALF_LIFE_S, 0.9 * IDLE_S):  # a change too small to be a step
        later_s = now_s + pause_s
        rates.append(estimate(observe(state, Transfer(20000, later_s, later_s + 20000 / (14 * MBIT)))))
    assert 20 * MBIT > rates[0] > rates[1] > rates[2] > 14 * MBIT

    hour_s = now_s + 3600.0
    half = Transfer(20000, hour_s, hour_s + 20000 / (10 * MBIT))
    assert estimate(observe(state, half)) == pytest.approx(10 * MBIT, rel=0.2)
    little = Transfer(FLOOR_BYTES, hour_s, hour_s + FLOOR_BYTES / (10 * MBIT))
    assert estimate(observe(state, little)) == pytest.approx(16 * MBIT, rel=0.1)
    soon = Transfer(20000, now_s, now_s + 20000 / (10 * MBIT))
    assert estimate(observe(state, soon)) == estimate(state)


@pytest.mark.parametrize("pause_s", [0.0, 60.0])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("factor, after", [(10.0, 1e-6), (0.1, 0.15)])
def test_outliers_do_not_move_the_estimate(factor, after, count, pause_s):
    state, now_s = settled(20 * MBIT)
    now_s += pause_s
    for _ in range(count):
        end_s = now_s + factor * 20000 / (20 * MBIT)
        state = observe(state, Transfer(20000, now_s, end_s))
        assert estimate(state) == pytest.approx(20 * MBIT)
        now_s = end_s
    if factor < 1 and pause_s:
        after = 2.0  # too fast counts by its bytes, and little else does after a pause
    state = fold(state, in_order(steady(20 * MBIT), [20000], now_s))
    assert estimate(state) == pytest.approx(20 * MBIT, rel=after)
    state = fold(state, in_order(steady(20 * MBIT), [20000] * 60, now_s + 0.1))
    assert estimate(state) == pytest.approx(20 * MBIT, rel=0.05)


def in_turn(state, now_s, rates):
    """The state after one transfer of 20 kB at each rate, in Mbit/s, back to back."""
    for rate in rates:
        end_s = now_s + 20000 / (rate * MBIT)
        state, now_s = observe(state, Transfer(20000, now_s, end_s)), end_s
    return state


@pytest.mark.parametrize("rates", [(10, 2, 10), (10, 10, 2), (2, 10, 10), (40, 40, 200), (40, 200, 40), (200, 40, 40)])
def test_the_size_of_a_step_is_not_taken_from_an_outlier(rates):
    state, now_s = settled(20 * MBIT)
    assert estimate(in_turn(state, now_s, rates)) == pytest.approx(sorted(rates)[1] * MBIT)


def test_a_step_starts_the_mean_anew():
    state, now_s = settled(20 * MBIT)
    state = in_turn(state, now_s, (10, 10, 10, 13))
    assert estimate(state) == pytest.approx(3 / (2 / 10 + 1 / 13) * MBIT, rel=0.01)  # two of the three, and one more


def transfers_until_settled(rates, size, in_flight):
    """Most transfers, over the steps, until the estimate is within 10 % of the new rate and stays there."""
    link = Link([(2.0, rate * MBIT) for rate in rates])
    state, wrong, most = initial(rates[0] * MBIT), 0, 0
    count = int(link.total(link.end_s) / size)
    step, seen = 0, 0
    for transfer in in_order(link, [size] * count, in_flight=in_flight):
        now = min(int((transfer.end_s - SERVER_S) / 2.0), len(rates) - 1)  # the rate that it left the link at
        step, wrong, seen = (step, wrong, seen + 1) if now == step else (now, 0, 1)
        state = observe(state, transfer)
        if abs(estimate(state) / (rates[now] * MBIT) - 1) > 0.1:
            wrong = seen
        most = max(most, wrong + 1 if step else 0)
    return most


@pytest.mark.parametrize("in_flight", [1, 2, 3])
@pytest.mark.parametrize("size", [5000, 20000, 50000])
@pytest.mark.parametrize("rates", [(20, 10, 5), (5, 10, 20), (100, 50, 20), (20, 50, 100), (100, 1), (1, 100)])
def test_a_step_is_followed_within_four_transfers(rates, size, in_flight):
    assert transfers_until_settled(rates, size, in_flight) <= 4


def test_a_small_step_is_followed_within_a_second():
    state, now_s = settled(20 * MBIT)
    for transfer in in_order(steady(14 * MBIT), [20000] * 100, now_s):
        state = observe(state, transfer)
        if transfer.end_s > now_s + 1.0:
            break
    assert estimate(state) == pytest.approx(14 * MBIT, rel=0.05)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 8])
@pytest.mark.parametrize("pause_s", [0.0, 0.004, 0.05])
def test_requests_in_flight_one_after_the_other_share_the_rate(in_flight, pause_s):
    sizes = [(20000, 5000, 60000, 800)[i % 4] for i in range(60)]
    for rate in (5 * MBIT, 20 * MBIT, 100 * MBIT):
        state = initial(rate)
        for transfer in in_order(steady(rate), sizes, in_flight=in_flight, pause_s=pause_s):
            state = observe(state, transfer)
            assert estimate(state) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("in_flight", [2, 3])
@pytest.mark.parametrize("prior", [1.0, 1.5, 0.7])
def test_requests_in_flight_all_at_once_share_the_rate(in_flight, prior):
    for rate in (5 * MBIT, 20 * MBIT, 100 * MBIT):
        transfers = all_at_once(rate, 20000, in_flight, 60)
        state = fold(initial(rate * prior), transfers[: len(transfers) // 2])
        for transfer in transfers[len(transfers) // 2 :]:
            state = observe(state, transfer)
            assert estimate(state) == pytest.approx(rate, rel=0.05)


def test_answers_out_of_order():
    state, now_s = settled(20 * MBIT)
    each_s = 20000 / (20 * MBIT)
    for _ in range(30):  # the second to leave is answered first: its cloud half took 1 ms, the other's 30 ms
        state = observe(state, Transfer(20000, now_s, now_s + 2 * each_s + 0.001, 0.001))
        state = observe(state, Transfer(20000, now_s, now_s + each_s + 0.03, 0.03))
        now_s += 0.1
        assert estimate(state) == pytest.approx(20 * MBIT, rel=0.05)


def test_an_outage_is_told_in_a_stated_time():
    state, now_s = settled(20 * MBIT)
    overdue_s = OUTAGE_MIN_S + OUTAGE_FACTOR * (20000 / (20 * MBIT) + SERVER_S)
    assert overdue_s < 0.6
    assert not in_outage(state, now_s + overdue_s - 0.001, now_s, 20000, SERVER_S)
    assert in_outage(state, now_s + overdue_s + 0.001, now_s, 20000, SERVER_S)
    assert not in_outage(state, now_s + 3600.0, None, 0)


def test_an_answer_puts_an_outage_off():
    state, now_s = settled(20 * MBIT)
    state = observe(state, Transfer(20000, now_s, now_s + 5.0))
    assert not in_outage(state, now_s + 5.1, now_s, 20000)
    assert in_outage(state, now_s + 5.6, now_s, 20000)


def test_no_outage_for_numbers_that_are_none():
    state, now_s = settled(20 * MBIT)
    for bad in (math.nan, math.inf):
        assert not in_outage(state, now_s + 9.0, now_s, bad)
        assert not in_outage(state, now_s + 9.0, now_s, 20000, bad)
    assert not in_outage(state, math.nan, now_s, 20000)
    assert not in_outage(state, now_s, math.nan, 20000)
    earlier_s = -100.0  # the clock went back since the last transfer
    assert in_outage(state, earlier_s + 1.0, earlier_s, 20000)
    assert not in_outage(state, earlier_s, earlier_s, 20000)


@pytest.mark.parametrize("in_flight", [1, 2, 3])
@pytest.mark.parametrize("after", [20, 10, 40, 5])
def test_the_estimate_survives_an_outage(after, in_flight):
    link = Link([(1.0, 20 * MBIT), (10.0, 0.0), (1.0, after * MBIT)])
    state, since = initial(20 * MBIT), 0
    for transfer in in_order(link, [20000] * 300, in_flight=in_flight):
        state = observe(state, transfer)
        since += transfer.end_s > 11.0
        assert estimate(state) >= 0.99 * MBIT * min(20, after)
        if since > 4:
            assert estimate(state) == pytest.approx(after * MBIT, rel=0.1)
    assert since > 4


DEGENERATE = [
    Transfer(0, 1.0, 2.0),
    Transfer(-5, 1.0, 2.0),
    Transfer(20000, 2.0, 2.0),
    Transfer(20000, 3.0, 2.0),
    Transfer(20000, 1.0, 2.0, 1.0),
    Transfer(20000, 1.0, 2.0, 9.0),
    Transfer(20000, 1.0, 2.0, -1.0),
    Transfer(10**400, 1.0, 2.0),
] + [
    Transfer(**dict({"size_bytes": 20000, "start_s": 1.0, "end_s": 2.0}, **{name: value}))
    for name in ("size_bytes", "start_s", "end_s", "server_s")
    for value in (math.nan, math.inf, -math.inf)
]


@pytest.mark.parametrize("transfer", DEGENERATE, ids=str)
def test_degenerate_transfers_change_nothing(transfer):
    fresh, (state, _) = initial(20 * MBIT), settled(20 * MBIT)
    assert observe(fresh, transfer) == fresh
    assert observe(state, transfer) == state


def test_a_clock_that_goes_back_costs_one_transfer():
    state, now_s = settled(20 * MBIT)
    back = in_order(steady(5 * MBIT), [20000] * 4, now_s - 1000.0)
    assert estimate(observe(state, back[0])) == estimate(state)
    assert estimate(fold(state, back)) == pytest.approx(5 * MBIT)


def test_the_estimate_is_bounded_whatever_comes():
    rng = random.Random(5)
    numbers = [0.0, -1.0, 1e-300, 1e-9, 1e300, 5e-324, math.nan, math.inf, -math.inf, 1.0, 7.0]
    for _ in range(200):
        state = initial(rng.choice(numbers))
        for _ in range(50):
            size = rng.choice(numbers + [1, 1500, 20000, 10**12])
            start_s = rng.choice(numbers + [rng.uniform(0, 10)])
            end_s = rng.choice(numbers + [start_s + rng.expovariate(1.0)])
            state = observe(state, Transfer(size, start_s, end_s, rng.choice([0.0, 0.0, 1e-3] + numbers)))
            assert MIN_BYTES_PER_S <= estimate(state) <= MAX_BYTES_PER_S
            assert state.weight_bytes < math.inf and len(state.suspects) < 3


@pytest.mark.parametrize("busy_s, bound", [(5e-324, MAX_BYTES_PER_S), (1e9, MIN_BYTES_PER_S)])
def test_the_bounds_are_reached(busy_s, bound):
    transfers = [Transfer(20000, i * busy_s, (i + 1) * busy_s) for i in range(3)]
    assert estimate(fold(initial(20 * MBIT), transfers)) == pytest.approx(bound)


def test_outlier_covers_three_requests_at_once():
    assert OUTLIER > 3  # the first of three that leave together seems three times too slow


NAMES = ("ghent4g/bicycle_0001", "ghent4g/foot_0002", "ghent4g/train_0002", "ucc5g/Driving_B_2020.01.16_09.56.56")


def replay(link, prior, spread, rng):
    """Median relative error of prior, last transfer and estimate against the mean of the last second, each 0.1 s."""
    state, last, now_s, look_s, errors = initial(prior), prior, 0.0, 1.1, ([], [], [])
    while True:
        took_s = (link.left_s(now_s, 20000) - now_s) * rng.lognormvariate(-spread * spread / 2, spread)
        if now_s + took_s > link.end_s:
            return [sorted(found)[len(found) // 2] for found in errors]
        while look_s < now_s + took_s:
            true = link.total(look_s) - link.total(look_s - 1.0)
            if true > 0.1 * MBIT:  # below, the link is as good as down
                for found, rate in zip(errors, (prior, last, estimate(state))):
                    found.append(abs(rate / true - 1))
            look_s += 0.1
        transfer = Transfer(20000, now_s, now_s + took_s + SERVER_S, SERVER_S)
        now_s += took_s
        state, last = observe(state, transfer), 20000 / took_s


@needs_traces
@pytest.mark.parametrize("spread, bound", [(0.0, 0.06), (0.3, 0.09)])
@pytest.mark.parametrize("name", NAMES)
def test_real_traces(name, spread, bound):
    trace = json.loads(TRACES.read_text())[name]
    stretches = [(ms / 1e3, rate * MBIT) for ms, rate in zip(trace["dur_ms"][:120], trace["mbps"][:120])]
    link = Link(stretches)
    of_prior, of_last, of_estimate = replay(link, link.total(link.end_s) / link.end_s, spread, random.Random(0))
    assert of_estimate < bound
    assert of_estimate < of_last and of_estimate < of_prior


@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0])
def test_a_device_that_sends_little_finds_a_slow_link(rate):
    """Tasks of 600 bytes, compiled for 14 Mbit/s, with up to a millisecond of scheduling on top."""
    state, now_s = initial(14 * MBIT), 0.0
    rng = random.Random(0)
    for _ in range(SMALL_KEPT):
        left_s = now_s + 600 / (rate * MBIT) + rng.uniform(0, 1e-3)
        state = observe(state, Transfer(600, now_s, left_s))
        now_s = left_s + 0.01
    assert rate * MBIT / 1.3 <= estimate(state) <= rate * MBIT


def test_a_device_that_sends_little_finds_a_fast_link():
    """That 600 bytes took 0.3 ms proves 16 Mbit/s, whatever else took part of them, if it goes on."""
    state = initial(1 * MBIT)
    for task in range(SMALL_KEPT):
        assert estimate(state) == pytest.approx(1 * MBIT)
        state = observe(state, Transfer(600, float(task), task + 3e-4))
    assert estimate(state) == pytest.approx(600 / 3e-4)


def test_latencies_of_small_transfers_on_a_fast_link_are_not_its_rate():
    """600 bytes in 1.5 ms are 3 Mbit/s or a scheduler: the estimate stays."""
    state, now_s = settled(50 * MBIT)
    small = [Transfer(600, now_s + i, now_s + i + 1.5e-3) for i in range(3 * SMALL_KEPT)]
    assert estimate(fold(state, small)) == estimate(state)
