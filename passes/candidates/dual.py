"""The best lower bound that weighted stages give, as a maximum over the weights by cutting planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coachc.passes.candidates.candidate_masks import pack
from coachc.passes.candidates.network import Network

#: Ideals on the way from the smallest to the largest one left, whose planes start the search.
_PATH = 64
#: The bound is final when the planes could raise it by no more than this share.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Dual:
    """What the weighted stages say about the ideals between two pinned sets.

    Attributes
    ----------
    bound_s : float
        Lower bound of the period of every split among them, at the bits asked for.
    masks : tuple of int
        The ideals of the min cuts, and those on the way.
    cuts : int
        Min cuts computed.
    """

    bound_s: float
    masks: tuple[int, ...]
    cuts: int


def maximise(
    network: Network, bits: int, device: np.ndarray, cloud: np.ndarray, *, cuts: int, enough_s: float = np.inf
) -> Dual:
    """Raise the bound over the weights.

    Each min cut gives a bound for its weights and one plane that no better weights may exceed; the next weights are
    the best under all planes.

    Parameters
    ----------
    network : Network
    bits : int
    device, cloud : ndarray of bool, shape (nodes,)
        Pinned nodes, as `Network.closed` leaves them.
    cuts : int
        Most min cuts.
    enough_s : float
        Stop once the bound reaches this.

    Returns
    -------
    Dual

    Notes
    -----
    Source: Kelley's cutting planes for the Lagrangian dual of max(T_e, T_t, T_c / workers).
    """
    tally = network.tally
    shares = np.array([1.0, 1.0, tally.costs.server_share])
    masks = _path(device, cloud)
    stages, _, uncuttable = tally.table(masks, bits)
    # The network charges the header of a request to every ideal, the whole model on the device too.
    stages[:, 1] = np.maximum(stages[:, 1], tally.link_s(0))
    planes = stages[uncuttable == 0] / shares
    if not len(planes):
        planes = np.full((1, 3), stages.max(initial=1.0))
    bound_s, count = 0.0, 0
    met: list[int] = []
    while count < cuts and bound_s < enough_s:
        weights, hope_s = _best_weights(planes)
        if count and hope_s <= bound_s * (1 + _TOLERANCE):
            break
        mask, least_s = network.least(weights, bits, device, cloud)
        count += 1
        bound_s = max(bound_s, least_s)
        if mask in met:
            break
        met.append(mask)
        plane, _, _ = tally.table([mask], bits)
        plane[:, 1] = np.maximum(plane[:, 1], tally.link_s(0))
        planes = np.concatenate([planes, plane / shares])
    return Dual(bound_s, tuple(dict.fromkeys([*met, *masks])), count)


def _path(device: np.ndarray, cloud: np.ndarray) -> list[int]:
    """Ideals from the smallest to the largest, along the topological order."""
    free = np.flatnonzero(~device & ~cloud)
    inside = np.flatnonzero(device)
    steps = np.unique(np.linspace(0, len(free), _PATH).astype(int))
    return [pack(np.concatenate([inside, free[:count]]), len(device)) for count in steps.tolist()]


def _best_weights(planes: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of the simplex with the largest least weighted sum over the planes, and that sum."""
    from scipy.optimize import linprog

    scale = max(float(planes.max(initial=0.0)), 1e-300)
    solved = linprog(
        [0, 0, 0, -1], A_ub=np.column_stack([-planes / scale, np.ones(len(planes))]), b_ub=np.zeros(len(planes)),
        A_eq=[[1, 1, 1, 0]], b_eq=[1], bounds=[(0, None)] * 3 + [(None, None)], method="highs",
    )  # fmt: skip
    weights = np.clip(solved.x[:3], 0.0, None)
    weights = weights / weights.sum()
    return weights, float((planes @ weights).min())
