"""Whether two models compute the same: run on the same seeded inputs, compared output by output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import onnx

from coachc.frontend import ort

#: Of float32 results, relative to the largest magnitude of each output: rounding of operators taken apart, through a
#: whole network.
TOLERANCE = 1e-4


def difference(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    *,
    seeds: Collection[int] = (0,),
    feed: Mapping[str, np.ndarray] = MappingProxyType({}),
    codes: Collection[str] = (),
) -> float:
    """Largest difference of any output, relative to its largest magnitude; integers count as wrong or right.

    Parameters
    ----------
    before, after : onnx.ModelProto
        With the same inputs and outputs.
    seeds : collection of int
    feed : mapping of str to ndarray
        Inputs that are not random; names that are no inputs are ignored.
    codes : collection of str
        Outputs that are rounded: a step more or less is no difference.

    Returns
    -------
    float
        Infinite where types, shapes, NaNs or integers differ.
    """
    worst = 0.0
    one, other = ort.session(before), ort.session(after)
    for seed in seeds:
        given = ort.seeded_inputs(before, seed)
        given.update({name: array for name, array in feed.items() if name in given})
        expected, found = ort.run_session(one, given), ort.run_session(other, given)
        for name, wanted in expected.items():
            if name in codes and wanted.size:
                steps = np.abs(wanted.astype(np.int64) - found[name].astype(np.int64))
                worst = max(worst, 0.0 if steps.max() <= 1 else float("inf"))
            else:
                worst = max(worst, relative_difference(wanted, found[name]))
    return worst


def relative_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference relative to the largest finite magnitude.

    Infinite where types, shapes or integers differ, or one is not finite where the other is, or another infinity.
    """
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind == "c":
        return relative_difference(_parts(expected), _parts(found))
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(wide)
    if not np.array_equal(wide[~finite], other[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.max(np.abs(wide[finite]))) or 1.0
    return float(np.max(np.abs(wide[finite] - other[finite]))) / scale


def _parts(array: np.ndarray) -> np.ndarray:
    return np.stack([array.real, array.imag])
