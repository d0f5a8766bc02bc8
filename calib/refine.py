"""The precision of one cut, refined: ranges by every rule, bits of each value by themselves, layouts by measured bytes.

The search over cuts gives every value of a cut the same number of bits and one rule of ranges. Of the cut that wins,
all rules and numbers of bits are tried on some samples. Those that no other beats in both bytes and divergence make a
front; the one of fewest bytes that keeps the accuracy budget on all samples is found on it by bisection. Then values
give up bits one at a time, the one that saves most bytes per added divergence first, as long as the budget is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coachc.calib.coding import QUICK_LAYOUT, choose_layout, quick_bytes
from coachc.calib.coding import SAMPLES as LAYOUT_SAMPLES
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.ranges import Scheme
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, BitPlan, Quantizer, Sensitivity
from coachc.runtime.bundle.deflate import coded_size
from coachc.runtime.bundle.manifest_types import Layout

#: Samples on which divergence is measured, and bytes before the last choice.
PROBE_SAMPLES = 64
BYTES_SAMPLES = 4
#: How far below the bits of the search's own rule another rule is tried; one more is tried as well.
FEWER_BITS = 2
#: Reductions of single values that are verified at most.
MAX_STEPS = 12

SCHEMES = (
    Scheme("min-max"),
    Scheme("percentile", 99.9),
    Scheme("percentile", 99.0),
    Scheme("mse"),
    Scheme("entropy"),
    Scheme("min-max", per_channel=True),
    Scheme("percentile", 99.9, per_channel=True),
    Scheme("mse", per_channel=True),
    *(
        Scheme(rule, per_channel=each, widened=2**part)
        for rule in ("min-max", "mse")
        for each in (False, True)
        for part in (1 / 3, 2 / 3)
    ),
)


@dataclass(frozen=True, slots=True)
class Point:
    """Quantizers of a whole cut with what they cost.

    Attributes
    ----------
    quantizers : tuple of Quantizer
    schemes : tuple of Scheme
        By value.
    size_bytes : float
        Mean of some tasks, coded.
    divergence : float
    """

    quantizers: tuple[Quantizer, ...]
    schemes: tuple[Scheme, ...]
    size_bytes: float
    divergence: float


@dataclass(frozen=True)
class Refined:
    """The refined plan of a cut and what was learnt on the way.

    Attributes
    ----------
    plan : BitPlan
        With ladder, layouts and measured bytes.
    schemes : tuple of Scheme
        By value.
    sensitivities : tuple of Sensitivity
    """

    plan: BitPlan
    schemes: tuple[Scheme, ...]
    sensitivities: tuple[Sensitivity, ...]


def refine(
    evaluator: CutEvaluator, start: BitPlan, advance: Callable[[int, int], None] = lambda done, total: None
) -> Refined:
    """Fewer bytes for one cut at the same accuracy budget.

    Parameters
    ----------
    evaluator : CutEvaluator
    start : BitPlan
        Admissible; what is kept where nothing smaller passes.
    advance : callable
        (precisions tried, all).

    Returns
    -------
    Refined
    """
    points = candidate_points(evaluator, start, advance)
    front = pareto(points)
    low, high = -1, len(front) - 1
    if not evaluator.passes(front[high].quantizers):
        front = [points[0]]  # the start, which passed
        high = 0
    while high - low > 1:
        middle = (low + high) // 2
        if evaluator.passes(front[middle].quantizers):
            high = middle
        else:
            low = middle
    best = _reduce(evaluator, front[high])
    return _finish(evaluator, best)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both bytes and divergence, by ascending bytes."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.size_bytes, p.divergence)):
        if not front or point.divergence < front[-1].divergence:
            front.append(point)
    return front


def candidate_points(
    evaluator: CutEvaluator, start: BitPlan, advance: Callable[[int, int], None] = lambda done, total: None
) -> list[Point]:
    """The start, then every rule at some numbers of bits, the same for all values."""
    values = range(len(start.quantizers))
    default = tuple(Scheme() for _ in values)
    points = [_point(evaluator, start.quantizers, default)]
    schemes = [s for s in SCHEMES if not s.per_channel or any(evaluator.per_channel(place) for place in values)]
    most = max((q.bits for q in start.quantizers if q.packed), default=MAX_BITS)
    widths = range(max(most - FEWER_BITS, MIN_BITS), min(most + 1, MAX_BITS) + 1)
    total = len(schemes) * len(widths)
    for number, scheme in enumerate(schemes):
        each = tuple(_fit(evaluator, place, scheme) for place in values)
        for step, bits in enumerate(widths, 1):
            quantizers = tuple(evaluator.quantizer(place, bits, one) for place, one in enumerate(each))
            points.append(_point(evaluator, quantizers, each))
            advance(number * len(widths) + step, total)
    return points


def _fit(evaluator: CutEvaluator, place: int, scheme: Scheme) -> Scheme:
    """The scheme, per tensor where a value has no channels."""
    return scheme if evaluator.per_channel(place) else dataclasses.replace(scheme, per_channel=False)


def _point(evaluator: CutEvaluator, quantizers: tuple[Quantizer, ...], schemes: tuple[Scheme, ...]) -> Point:
    codes = evaluator.codes(quantizers, BYTES_SAMPLES)
    size = sum(quick_bytes(arrays, q.bits) for arrays, q in zip(codes, quantizers, strict=True) if arrays)
    return Point(quantizers, schemes, size, evaluator.probe(quantizers, PROBE_SAMPLES).divergence)


def _reduce(evaluator: CutEvaluator, point: Point) -> Point:
    """Take bits from single values while the budget is kept; nothing to do for a cut of one."""
    packed = [place for place, q in enumerate(point.quantizers) if q.packed]
    stuck: set[int] = set()
    for _ in range(MAX_STEPS if len(packed) > 1 else 0):
        options = []
        for place in packed:
            bits = point.quantizers[place].bits
            if place in stuck or bits <= MIN_BITS:
                continue
            fewer = evaluator.quantizer(place, bits - 1, point.schemes[place])
            changed = (*point.quantizers[:place], fewer, *point.quantizers[place + 1 :])
            option = _point(evaluator, changed, point.schemes)
            saved, added = point.size_bytes - option.size_bytes, option.divergence - point.divergence
            if saved > 0:
                options.append((saved / max(added, 1e-12), place, option))
        if not options:
            break
        _, place, option = max(options, key=lambda o: (o[0], -o[1]))
        if evaluator.passes(option.quantizers):
            point = option
        else:
            stuck.add(place)
    return point


def _finish(evaluator: CutEvaluator, point: Point) -> Refined:
    """Ladder, layouts and sensitivities of what was chosen."""
    quantizers = point.quantizers
    ladder = tuple(
        tuple(
            q if bits == q.bits else evaluator.quantizer(place, bits, point.schemes[place])
            for bits in range(MIN_BITS, MAX_BITS + 1)
        )
        if q.packed
        else ()
        for place, q in enumerate(quantizers)
    )
    layouts, size = layouts_of(evaluator, quantizers)
    plan = dataclasses.replace(evaluator.measure(quantizers), ladder=ladder, layouts=layouts, coded_bytes=size)
    return Refined(plan, point.schemes, sensitivities(evaluator, ladder))


def quickly_coded(evaluator: CutEvaluator, bits: BitPlan) -> BitPlan:
    """A plan with the layout that is best most often, and its bytes on a few samples."""
    layouts, size = [], 0.0
    for place, (arrays, q) in enumerate(
        zip(evaluator.codes(bits.quantizers, BYTES_SAMPLES), bits.quantizers, strict=True)
    ):
        layouts.append(QUICK_LAYOUT if q.packed else Layout())
        size += quick_bytes(arrays, q.bits) if q.packed else evaluator.raw_bytes(place)
    return dataclasses.replace(bits, layouts=tuple(layouts), coded_bytes=size)


def layouts_of(evaluator: CutEvaluator, quantizers: tuple[Quantizer, ...]) -> tuple[tuple[Layout, ...], float]:
    """The best layout of each value, and the mean bytes of a task's values, raw ones included."""
    layouts, size = [], 0.0
    for place, (arrays, q) in enumerate(zip(evaluator.codes(quantizers, LAYOUT_SAMPLES), quantizers, strict=True)):
        if not q.packed:
            layouts.append(Layout())
            size += evaluator.raw_bytes(place)
            continue
        layout, _ = choose_layout(arrays, q.bits)
        layouts.append(layout)
        last = all(not other.packed for other in quantizers[place + 1 :])
        size += sum(coded_size(array, q.bits, layout, last) for array in arrays) / max(len(arrays), 1)
    return tuple(layouts), size


def sensitivities(evaluator: CutEvaluator, ladder: Sequence[Sequence[Quantizer]]) -> tuple[Sensitivity, ...]:
    """What rounding one value alone does to the outputs, at every number of bits."""
    untouched = evaluator.quantizers(UNQUANTIZED)
    found = []
    for place, rungs in enumerate(ladder):
        for rung in rungs:
            alone = (*untouched[:place], rung, *untouched[place + 1 :])
            probe = evaluator.probe(alone, PROBE_SAMPLES)
            found.append(Sensitivity(rung.name, rung.bits, probe.divergence, probe.changed, probe.samples))
    return tuple(found)
