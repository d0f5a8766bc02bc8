"""The task feature: what the device half says of a task besides the codes it sends.

COACH section III-C: global average pooling of the boundary values. Vectors are used as they are; of several values each
is brought to length 1 before they are joined, so that none outweighs the others by its units.
"""

from typing import Mapping, Sequence

import numpy as np

#: Of a feature that has a direction: the squares of shorter ones lose their digits in float32.
LEAST_LENGTH = 1e-16


def feature_of(outputs: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """One task's feature.

    Parameters
    ----------
    outputs : mapping of str to ndarray
        Of the device half; each feature of shape (1, channels) or with one row in all.
    names : sequence of str
        The cut's features.

    Returns
    -------
    ndarray of float32, shape (D,)
    """
    with np.errstate(over="ignore"):
        return join([np.asarray(outputs[name], dtype=np.float32).reshape(1, -1) for name in names])[0]


def join(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Pooled values of some tasks to their features.

    Parameters
    ----------
    parts : sequence of ndarray of float32, shape (tasks, channels)
        One for each boundary value that has a feature.

    Returns
    -------
    ndarray of float32, shape (tasks, D)
    """
    if len(parts) == 1:
        return np.asarray(parts[0], dtype=np.float32)
    return np.concatenate([unit(part) for part in parts], axis=1)


def unit(rows: np.ndarray) -> np.ndarray:
    """Each row divided by its length; one shorter than `LEAST_LENGTH`, or not of finite length, becomes zeros."""
    rows = np.asarray(rows, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    usable = np.isfinite(lengths) & (lengths >= LEAST_LENGTH)
    factors = np.zeros_like(lengths)
    factors[usable] = 1 / lengths[usable]
    return np.where(usable[:, None], rows, 0) * factors[:, None]
