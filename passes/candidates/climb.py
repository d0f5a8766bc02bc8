"""Local search: move one node at a time over the cut, and walk from one good ideal to another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from coachc.core.masks import bits_of
from coachc.passes.candidates.tally import Tally, period_of

#: Moves of one start, at most.
_STEPS = 60


def climb(tally: Tally, masks: Sequence[int], bits: int, *, starts: int) -> tuple[list[int], int]:
    """Improve the best of some ideals.

    Parameters
    ----------
    tally : Tally
    masks : sequence of int
        Ideals to start from; the best `starts` are used.
    bits : int
        Of every value of a cut.
    starts : int

    Returns
    -------
    improved : list of int
        Where each start ended, and the best ideals on the ways between them.
    looked : int
        Ideals costed.
    """
    ranked = _ranked(tally, masks, bits)[:starts]
    looked = len(masks)
    ends: list[int] = []
    for mask in ranked:
        end, count = _ascend(tally, mask, bits)
        ends.append(end)
        looked += count
    for one, other in combinations(dict.fromkeys(ends), 2):
        between = _between(one, other)
        looked += len(between)
        end, count = _ascend(tally, _ranked(tally, between, bits)[0], bits)
        looked += count
        ends.append(end)
    return list(dict.fromkeys([*ranked, *ends])), looked


def _ascend(tally: Tally, mask: int, bits: int) -> tuple[int, int]:
    looked = 0
    for _ in range(_STEPS):
        options = [mask, *_neighbours(tally, mask)]
        looked += len(options) - 1
        best = _ranked(tally, options, bits)[0]
        if best == mask:
            break
        mask = best
    return mask, looked


def _ranked(tally: Tally, masks: Sequence[int], bits: int) -> list[int]:
    """Best first: values that cannot cross, period, sum of the stages, then the order of `masks`."""
    stages, _, uncuttable = tally.table(masks, bits)
    periods, sums = period_of(stages, tally.costs), stages.sum(axis=1)
    order = sorted(range(len(masks)), key=lambda i: (uncuttable[i], periods[i], sums[i]))
    return [masks[i] for i in order]


def _neighbours(tally: Tally, mask: int) -> list[int]:
    """Ideals with one node more or one less."""
    before = tally.graph.predecessors
    found = []
    read = 0
    for node in bits_of(mask):
        read |= before[node]
    found += [mask ^ 1 << node for node in bits_of(mask & ~read)]
    found += [mask | 1 << node for node in bits_of(tally.graph.full_mask & ~mask) if not before[node] & ~mask]
    return found


def _between(one: int, other: int) -> list[int]:
    """Ideals on the way from what two ideals share, over each of them, to what they hold together."""
    found = []
    for via in (one, other):
        mask = one & other
        for node in (*bits_of(via & ~mask), *bits_of((one | other) & ~via)):
            mask |= 1 << node
            found.append(mask)
    return found or [one]
