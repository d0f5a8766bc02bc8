"""Which way to run the model wins, on profiles made up so that the answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.dataset import Dataset
from coachc.calib.division import undivided
from coachc.calib.jpeg import JpegCost
from coachc.calib.judges import ClassJudge
from coachc.calib.reference_answers import Trial
from coachc.core.graph import Work
from coachc.core.plan import MODES, Accuracy, BitPlan, Quantizer, Rejected
from coachc.core.profile import Provenance
from coachc.errors import InfeasibleError
from coachc.passes.candidates.candidate_masks import Candidates, compute_bound_s
from coachc.passes.partition import Limits, search
from coachc.passes.timeline import stage_times
from coachc.planning.decide import decide
from tests.helpers.graphs import CHAIN, costs_of, graph_of

GRAPH = graph_of(CHAIN, elements={"x": 4000, "v0": 8000, "v1": 800, "v2": 80})
TRIAL = Trial(
    Dataset("unlabelled", 50, None, None),
    ClassJudge([[np.eye(3)[:1]]] * 50, None, noise=False),
    undivided(50, None),
)
NO_LIMITS = Limits()


def costs(device=0.01, cloud=0.001, **options):
    return costs_of([device] * 4, [cloud] * 4, **{"bandwidth": 1e6, "bytes_per_s": 1e12} | options)


def eight_bits(mask, cut, most_bits):
    return BitPlan(tuple(Quantizer(name, "packed", 8) for name in cut), None)


def picture(size_bytes=500, *, keeps=True, accuracy=True, bound=None):
    measured = Accuracy("labels", 0.9, 0.89, 50, 0.01, bound, certified=keeps)
    return JpegCost(
        size_bytes, 1e-3, 2e-3, measured if accuracy else None, keeps, "quality 90, size measured on 50 images"
    )


def plan(costs, *, mode="auto", jpeg=None, limits=NO_LIMITS, objective="exact", precision=eight_bits, few=False):
    keep = {"split": lambda m: m != 0, "cloud-raw": lambda m: m == 0, "auto": lambda m: True}.get(mode, lambda m: False)
    prefixes = tuple((1 << n) - 1 for n in range(len(GRAPH.nodes) + 1))
    candidates = Candidates("mincut", prefixes, False, compute_bound_s(costs), 5) if few else None
    found = search(GRAPH, costs, precision, limits=limits, objective=objective, keep=keep, candidates=candidates)
    return decide(GRAPH, costs, found, jpeg, TRIAL, limits, mode=mode, objective=objective)


def test_the_best_split_wins():
    chosen = plan(costs())
    # 4000 input codes take 4.6 ms, as the cloud's 4 ms; every operator on the device adds 10 ms.
    assert (chosen.way.mode, chosen.way.mask, chosen.way.cut) == ("cloud-raw", 0, ("x",))
    assert chosen.way.timeline.period_s == pytest.approx(4422 / 955e3)
    chosen = plan(costs(bandwidth=1e5))
    # At a tenth of the rate the input takes 46 ms: two operators on the device and 800 codes take 20 ms.
    assert (chosen.way.mode, chosen.way.mask, chosen.way.cut) == ("split", 0b0011, ("v1",))
    assert chosen.way.timeline.period_s == pytest.approx(0.02, rel=1e-3)
    assert list(chosen.alternatives) == ["device-only", "cloud-raw", "cloud-jpeg"]
    assert chosen.gap == 0.0
    assert chosen.candidates == 5


def test_a_choking_link_leaves_the_device_alone():
    chosen = plan(costs(bandwidth=1e3))
    assert (chosen.way.mode, chosen.way.mask, chosen.way.cut, chosen.way.bits.quantizers) == (
        "device-only",
        0b1111,
        (),
        (),
    )
    assert chosen.way.timeline == stage_times(GRAPH, 0b1111, (), costs(bandwidth=1e3))
    accuracy = chosen.way.bits.accuracy
    assert (accuracy.loss, accuracy.loss_bound, accuracy.certified) == (0.0, 0.0, True)


def as_known(shared, kind):
    provenance = Provenance(kind, "here")
    sides = (dataclasses.replace(side, provenance=provenance) for side in (shared.device, shared.cloud))
    return dataclasses.replace(shared, **dict(zip(("device", "cloud"), sides, strict=True)))


@pytest.mark.parametrize(
    ("gain", "kind", "mode"),
    [
        (0.005, "measured", "device-only"), (0.02, "measured", "split"),
        (0.02, "fitted", "device-only"), (0.04, "guess", "split"),
    ],
)  # fmt: skip
def test_a_server_must_gain_more_than_profiles_are_accurate(gain, kind, mode):
    # The last operator takes `gain` of the device's time; cutting before it saves just that.
    device = [0.01, 0.01, 0.01, 0.03 * gain / (1 - gain)]
    graph = graph_of(CHAIN, elements={"x": 10**9, "v0": 10**9, "v1": 10**9, "v2": 8})
    shared = costs_of(device, [1e-5] * 4, bandwidth=1e6, bytes_per_s=1e15, rtt_s=5e-3)
    shared = as_known(shared, kind)
    found = search(graph, shared, eight_bits)
    assert found.best.mask == 0b0111
    alone = sum(device)
    assert 1 - found.best.timeline.period_s / alone == pytest.approx(gain, rel=1e-3)
    chosen = decide(graph, shared, found, None, TRIAL, NO_LIMITS)
    assert chosen.way.mode == mode
    # Asked for a split, a split it is.
    assert decide(graph, shared, found, None, TRIAL, NO_LIMITS, mode="split").way.mode == "split"


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_can_be_demanded(mode):
    chosen = plan(costs(), mode=mode, jpeg=picture())
    assert chosen.way.mode == mode
    assert bool(chosen.way.cut) == (mode in ("split", "cloud-raw"))
    assert (chosen.way.mask == 0) == (mode in ("cloud-raw", "cloud-jpeg"))


class TestJpeg:
    def test_wins_where_it_is_measured_within_budget_and_fastest(self):
        chosen = plan(costs(bandwidth=2e5), jpeg=picture(500))
        # 500 bytes and headers take 4.8 ms, the cloud 4 + 2 ms: its period is 6 ms, any split's 10 ms or more.
        assert (chosen.way.mode, chosen.way.mask, chosen.way.cut, chosen.way.bits.quantizers) == (
            "cloud-jpeg",
            0,
            (),
            (),
        )
        assert chosen.way.timeline.period_s == pytest.approx(0.006)
        assert chosen.way.timeline.payload_bytes == 500
        assert chosen.way.timeline.latency_s == pytest.approx(0.001 + (500 + 330 + 88) / 191e3 + 0.006)
        assert chosen.way.bits.accuracy.kind == "labels"

    @pytest.mark.parametrize(
        ("jpeg", "note"),
        [
            (picture(keeps=False), "loses 1.00% accuracy"),
            (picture(keeps=False, bound=0.02), "loses 1.00% accuracy, at most 2.00% is proven"),
            (
                picture(keeps=False, accuracy=False),
                "not emitted: the samples are arrays, give --calib a folder of images",
            ),
            (None, "the model takes no single picture"),
        ],
        ids=["loses", "unproven", "unmeasured", "none"],
    )
    def test_is_shown_but_not_chosen_otherwise(self, jpeg, note):
        chosen = plan(costs(bandwidth=2e5), jpeg=jpeg)
        assert chosen.way.mode != "cloud-jpeg"
        shown = chosen.alternatives["cloud-jpeg"]
        assert (shown.way.mode, shown.emittable) == ("cloud-jpeg", False)
        assert note in shown.note
        with pytest.raises(InfeasibleError, match="no cloud-jpeg plan keeps the accuracy budget") as caught:
            plan(costs(), mode="cloud-jpeg", jpeg=jpeg)
        assert note in caught.value.context[0]


class TestLatency:
    def test_a_limit_decides_between_plans(self):
        # The split's period is shorter, its latency is longer by the round trip.
        slow = costs(bandwidth=1e5, rtt_s=0.05)
        assert plan(slow).way.mode == "split"
        assert plan(slow, limits=Limits(0.045)).way.mode == "device-only"

    def test_latency_can_come_first(self):
        slow = costs(bandwidth=1e5, rtt_s=0.05)
        assert plan(slow, objective="latency").way.mode == "device-only"

    def test_nothing_in_time_carries_the_closest(self):
        with pytest.raises(InfeasibleError, match=r"no plan answers within 1\.0 ms") as caught:
            plan(costs(), limits=Limits(1e-3))
        # At 2 bits the input takes 1.5 ms and the cloud 4 ms.
        assert caught.value.context == ("closest: cloud-raw, 5.5 ms (device 0.0, link 1.5, cloud 4.0)",)
        assert "--max-latency" in caught.value.hint

    @pytest.mark.parametrize(
        ("mode", "closest"),
        [
            ("split", "closest: split at v0, "), ("cloud-raw", "closest: cloud-raw, "),
            ("device-only", "closest: device-only, 40.0 ms"), ("cloud-jpeg", "closest: cloud-jpeg, "),
        ],
    )  # fmt: skip
    def test_nothing_in_time_of_one_mode(self, mode, closest):
        with pytest.raises(InfeasibleError, match="no plan answers within") as caught:
            plan(costs(bandwidth=1e8), limits=Limits(1e-3), mode=mode, jpeg=picture())
        assert caught.value.context[0].startswith(closest)

    def test_a_plan_within_the_limit_respects_it(self):
        for limit in (0.008, 0.01, 0.03, 0.05):
            assert plan(costs(), limits=Limits(limit), jpeg=picture()).way.timeline.latency_s <= limit


def test_no_split_within_the_budget():
    refused = Rejected("cut at v0", "more than 0.50% accuracy is lost at 8 bits")
    with pytest.raises(InfeasibleError, match="no split plan keeps the accuracy budget") as caught:
        plan(costs(), mode="split", objective="paper-eq6", precision=lambda mask, cut, most_bits: refused)
    assert caught.value.context == ("cut at v0: more than 0.50% accuracy is lost at 8 bits",) * 3
    assert "--budget" in caught.value.hint
    # Without the demand the device does it alone.
    alone = plan(costs(), objective="paper-eq6", precision=lambda mask, cut, most_bits: refused)
    assert alone.way.mode == "device-only"
    # Eq. 6 always quantizes; otherwise tensors may travel as they are, and then nothing is lost.
    as_it_is = plan(costs(), mode="split", precision=lambda mask, cut, most_bits: refused)
    assert [quantizer.codec for quantizer in as_it_is.way.bits.quantizers] == ["raw"]
    assert as_it_is.way.bits.accuracy.split == as_it_is.way.bits.accuracy.whole


def test_an_incomplete_search_states_its_gap():
    chosen = plan(costs(), few=True)
    complete = plan(costs())
    assert chosen.candidates == 5
    assert complete.gap == 0
    assert chosen.gap > 0
    # The bound leaves the link out and shares operators between the sides: 40 - 10 n = n.
    assert chosen.way.timeline.period_s / (1 + chosen.gap) == pytest.approx(0.04 / 11, rel=1e-9)


def test_the_raw_alternative_sends_what_a_camera_gives():
    raw = plan(costs()).alternatives["cloud-raw"]
    assert (raw.way.timeline.payload_bytes, raw.way.bits.accuracy) == (4000, None)
    integers = dataclasses.replace(
        GRAPH, values={**GRAPH.values, "x": dataclasses.replace(GRAPH.values["x"], dtype="uint8")}
    )
    found = search(integers, costs(), lambda m, c, b: BitPlan(tuple(Quantizer(n, "raw", 8) for n in c)))
    raw = decide(integers, costs(), found, None, TRIAL, NO_LIMITS).alternatives["cloud-raw"]
    assert raw.way.timeline.payload_bytes == 4000


class TestMemory:
    """Every operator's weights: more than the device has for all of them, enough for three."""

    heavy = dataclasses.replace(
        GRAPH, nodes=tuple(dataclasses.replace(n, work=Work(weight_elements=2**20)) for n in GRAPH.nodes)
    )
    few = Limits(device_memory_bytes=15 * 2**20)

    def plan(self, mode="auto"):
        # The device is so fast that it would do all of it.
        fast = costs(device=1e-6)
        keep = {"split": lambda m: m != 0, "auto": lambda m: True}.get(mode, lambda m: False)
        found = search(self.heavy, fast, eight_bits, limits=self.few, keep=keep)
        return decide(self.heavy, fast, found, None, TRIAL, self.few, mode=mode)

    def test_what_does_not_fit_into_the_device_is_not_chosen(self):
        chosen = self.plan()
        assert chosen.way.mode != "device-only"
        alone = chosen.alternatives["device-only"]
        assert (alone.emittable, alone.barrier) == (False, "too large")
        assert "needs 16 MiB on the device, which has 15 MiB" in alone.note

    def test_asked_for_alone_it_is_an_error_that_says_so(self):
        with pytest.raises(InfeasibleError) as caught:
            self.plan("device-only")
        assert "needs 16 MiB on the device, which has 15 MiB" in " ".join((caught.value.message, *caught.value.context))
