"""A few samples of many, drawn across their classes."""

import numpy as np


def spread_over_classes(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Samples whose classes have the shares that they have among all, each class at least one where there is room.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    count : int
        At most that many samples.
    seed : int
        Which samples of a class; the same ones on every machine. More samples of one seed contain fewer.

    Returns
    -------
    ndarray of int64, shape (min(count, n),)
        Positions, ascending.
    """
    shuffled = np.random.RandomState(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, firsts, inverse, sizes = np.unique(labels[by_class], return_index=True, return_inverse=True, return_counts=True)
    rank = np.arange(len(labels)) - firsts[inverse]
    # How much of its class lies before a sample; nothing before the first, so that a rare class comes in time.
    place = np.where(rank == 0, 0.0, (rank + 0.5) / sizes[inverse])
    # Ties are broken by the shuffle, not by the class.
    drawn = by_class[np.lexsort((np.argsort(shuffled)[by_class], place))][:count]
    return np.sort(drawn).astype(np.int64)
