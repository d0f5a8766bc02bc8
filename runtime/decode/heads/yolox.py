"""YOLOX: rows of one box a cell, a score for any object and one for each class, all scores past their sigmoid."""

from typing import Any, Dict, List, Sequence

import numpy as np

from .. import decode_spec as d
from ..pyramid import corners, grid_of, level_sizes
from ..scored_boxes import Head, Named, Rows, Scored

KEYS = {
    "strides": d.STRIDES._replace(default=(8, 16, 32)),
    "decoded": d.Key(d.BOOL, False, "true where the model was exported with decode_in_inference"),
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """One output (B, N, 5+C)."""
    shape, width = named.shapes[0], 5 + named.classes
    if len(named.names) != 1:
        raise d.wrong("outputs", "one output", list(named.names), d.OUTPUTS.hint)
    if len(shape) != 3 or shape[2] != width:
        hint = "'classes' lists all classes of the model"
        raise d.unfit(named.names[0], f"(B, N, 5 + {named.classes}), for {named.classes} classes", shape, hint)
    sizes = level_sizes(named.input_size, fields["strides"], shape[1], named.names[0], shape)
    grid = grid_of(sizes, fields["strides"])

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(one) for one in arrays[0]]

    def _scored(one: np.ndarray) -> Scored:
        def boxes(chosen: np.ndarray) -> np.ndarray:
            if fields["decoded"]:
                return corners(one[chosen, :4])
            middle = (one[chosen, :2] + grid.cells[chosen]) * grid.strides[chosen]
            return corners(np.concatenate([middle, np.exp(one[chosen, 2:4]) * grid.strides[chosen]], axis=1))

        return Scored(one[:, 5:] * one[:, 4:5], boxes)

    return rows


HEAD = Head(KEYS, build)
