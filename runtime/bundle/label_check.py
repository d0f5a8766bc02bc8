"""Labels that no answer of the model can equal: found before anything is run."""

from typing import Callable, Optional

import numpy as np

from ..errors import SourceError


def check_labels(labels: Optional[np.ndarray], classes: Optional[int], name_of: Callable[[int], str]) -> None:
    """Raise SourceError at the first label that is not the index of an output.

    Parameters
    ----------
    labels : ndarray of int64, shape (rows,), or None
        None: there is nothing to check.
    classes : int or None
        The model's; None: it does not classify.
    name_of : callable
        Row -> what it is called, for the error.
    """
    if labels is None or classes is None:
        return
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        row = int(outside[0])
        raise SourceError(
            f"{name_of(row)} has label {labels[row]}, and the model has {classes} outputs",
            [f"expected  0 to {classes - 1}", f"found     {labels[row]}, and {len(outside) - 1} more outside"],
            "labels are positions among the model's outputs, from 0 on; folders count in the order of their names",
        )
