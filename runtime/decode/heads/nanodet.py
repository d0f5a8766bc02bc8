"""NanoDet and other heads of Generalized Focal Loss: a score for each class, then four distributions of distances."""

from typing import Any, Dict, List, Sequence

import numpy as np

from .. import decode_spec as d
from ..pyramid import around, check_map, clipped, grid_of, level_sizes, rows_of
from ..scored_boxes import Head, Named, Rows, Scored
from ..squashing import expectation, sigmoid

KEYS = {
    "strides": d.STRIDES,
    "bins": d.Key(d.optional(d.COUNT), None, "the model's reg_max + 1, mostly 8"),
    "sigmoid": d.Key(d.BOOL, False, "true where classes are logits; NanoDet's ONNX export squashes them"),
    "offset": d.Key(d.SHARE, 0.0, "0 in NanoDet-Plus, 0.5 in NanoDet and GFL"),
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """One output (B, N, C+4*R) of all levels, or a map (B, C+4*R, H, W) a level."""
    strides, first = fields["strides"], named.shapes[0]
    joined = [len(shape) for shape in named.shapes] == [3]
    channels = first[2] if joined else first[1] if len(first) == 4 else 0
    spread = channels - named.classes
    bins = fields["bins"] or spread // 4
    if bins < 1 or spread != 4 * bins:
        expected = f"{named.classes} classes and 4 * {fields['bins'] or 'R'} channels"
        raise d.unfit(named.names[0], expected, first, "'classes' lists all classes of the model; " + KEYS["bins"].hint)
    if joined:
        grid = grid_of(level_sizes(named.input_size, strides, first[1], named.names[0], first), strides)
    else:
        if len(strides) != len(named.names):
            raise d.wrong("strides", f"one for each of {len(named.names)} outputs", list(strides), d.STRIDES.hint)
        for name, shape, stride in zip(named.names, named.shapes, strides):
            if len(shape) != 4 or shape[1] != channels:
                raise d.unfit(name, f"(B, {channels}, H, W), as the first output", shape, d.OUTPUTS.hint)
            check_map(name, shape[2:], named.input_size, stride)
        grid = grid_of([shape[2:] for shape in named.shapes], strides)  # type: ignore[misc]
    points = (grid.cells + np.float32(fields["offset"])) * grid.strides

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(one) for one in (arrays[0] if joined else rows_of(arrays))]

    def _scored(one: np.ndarray) -> Scored:
        scores = one[:, : named.classes]

        def boxes(chosen: np.ndarray) -> np.ndarray:
            sides = expectation(one[chosen, named.classes :], bins) * grid.strides[chosen]
            return clipped(around(points[chosen], sides), named.input_size)

        return Scored(sigmoid(scores) if fields["sigmoid"] else scores, boxes)

    return rows


HEAD = Head(KEYS, build)
