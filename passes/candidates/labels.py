"""Pareto labels: what an ideal of a region adds to the stages, and which labels no completion can need.

A label stands for one ideal of a region of the graph while everything before the region is on the device and
everything behind it on the cloud. It says what the region adds to each stage, and which values from outside its cloud
part reads: those are sent once, however many regions read them, so they stay a set until the last of them is merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Kind of a label: neither, nothing of the region on the device, all of it.
PROPER, NOTHING, ALL = 0, 1, 2
#: Labels compared with all others at once.
_PIVOTS = 64


@dataclass(frozen=True)
class Labels:
    """A set of labels of one region.

    Attributes
    ----------
    costs : ndarray of float, shape (labels, columns)
        Seconds of the device, seconds of the cloud, wire bytes at several numbers of bits.
    masks : ndarray of int objects, shape (labels,)
        The ideals, as masks over all nodes.
    needs : ndarray of int objects, shape (labels,)
        Values from outside that the region's cloud part reads, as masks over all values.
    kinds : ndarray of int, shape (labels,)
        `NOTHING` and `ALL` are never dropped and never the reason to drop another: both may turn out not to be a
        split at all.
    """

    costs: np.ndarray
    masks: np.ndarray
    needs: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, index: np.ndarray) -> Labels:
        return Labels(self.costs[index], self.masks[index], self.needs[index], self.kinds[index])


def objects(items: list[int]) -> np.ndarray:
    """Integers of any size as an array of objects."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def joined(parts: list[Labels]) -> Labels:
    """All labels of several sets."""
    return Labels(
        np.concatenate([p.costs for p in parts]),
        np.concatenate([p.masks for p in parts]),
        np.concatenate([p.needs for p in parts]),
        np.concatenate([p.kinds for p in parts]),
    )


def product(a: Labels, b: Labels) -> Labels:
    """Every pair of labels of two parallel regions: costs add, masks and needs unite."""
    rows, columns = (axis.ravel() for axis in np.indices((len(a), len(b))))
    return Labels(
        a.costs[rows] + b.costs[columns],
        a.masks[rows] | b.masks[columns],
        a.needs[rows] | b.needs[columns],
        np.where(a.kinds[rows] == b.kinds[columns], a.kinds[rows], PROPER),
    )


def undominated(labels: Labels) -> Labels:
    """Drop each proper label beside which another proper one costs no more and needs no other value."""
    kept = [np.flatnonzero(labels.kinds != PROPER)]
    groups: dict[int, list[int]] = {}
    for index in np.flatnonzero(labels.kinds == PROPER).tolist():
        groups.setdefault(labels.needs[index], []).append(index)
    done: list[tuple[int, np.ndarray]] = []
    for needs in sorted(groups, key=lambda mask: (mask.bit_count(), mask)):
        group = np.array(groups[needs])
        group = group[pareto(labels.costs[group])]
        for fewer, costs in done:
            if fewer & ~needs == 0 and len(group):
                group = group[~_beaten(labels.costs[group], costs)]
        if len(group):
            done.append((needs, labels.costs[group]))
            kept.append(group)
    return labels.take(np.sort(np.concatenate(kept)))


def pareto(costs: np.ndarray) -> np.ndarray:
    """Indices of the rows that no other row is at most equal to in every column; the first of equal rows stays.

    Parameters
    ----------
    costs : ndarray of float, shape (rows, columns)
    """
    scale = np.maximum(costs.max(axis=0, initial=0.0), 1e-300)
    # No row can be dominated by one behind it in this order, equal rows apart.
    order = np.lexsort((*costs.T, (costs / scale).sum(axis=1)))
    remaining = order
    kept: list[np.ndarray] = []
    while len(remaining):
        pivots, rest = remaining[:_PIVOTS], remaining[_PIVOTS:]
        rows = costs[pivots]
        less = (rows[:, None] <= rows[None]).all(axis=2)
        pivots = pivots[~np.triu(less, 1).any(axis=0)]
        kept.append(pivots)
        remaining = rest[~_beaten(costs[rest], costs[pivots])]
    return np.sort(np.concatenate(kept)) if kept else order


def _beaten(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Which rows are at least equal to some row of `by` in every column."""
    beaten = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(by), _PIVOTS):
        alive = np.flatnonzero(~beaten)
        some = by[start : start + _PIVOTS]
        less = np.ones((len(alive), len(some)), dtype=bool)
        for column in range(rows.shape[1]):
            less &= rows[alive, column, None] >= some[None, :, column]
        beaten[alive] = less.any(axis=1)
    return beaten


def thinned(labels: Labels, offset: np.ndarray, *, most: int) -> tuple[Labels, float]:
    """Keep one label of each cell of a grid, coarse enough that at most `most` proper ones are left.

    Parameters
    ----------
    labels : Labels
    offset : ndarray of float, shape (columns,)
        What every completion adds at least. Cells are relative to the label plus this.
    most : int

    Returns
    -------
    labels : Labels
    error : float
        Each dropped label has a kept one that needs the same values and costs at most (1 + error) times as much, the
        offset included, in every column.
    """
    proper = np.flatnonzero(labels.kinds == PROPER)
    if len(proper) <= most:
        return labels, 0.0
    ranks = {needs: rank for rank, needs in enumerate(sorted(set(labels.needs[proper])))}
    codes = np.array([ranks[needs] for needs in labels.needs[proper]])
    total = labels.costs[proper] + offset
    with np.errstate(divide="ignore"):
        logs = np.where(total > 0, np.log(total), -1e9)
    error = 1e-4
    while True:
        cells = np.floor(logs / np.log1p(error))
        _, first = np.unique(np.column_stack([codes, cells]), axis=0, return_index=True)
        if len(first) <= most or error > 1e3:
            break
        error *= 1.5
    index = np.sort(np.concatenate([np.flatnonzero(labels.kinds != PROPER), proper[np.sort(first)]]))
    return labels.take(index), error
