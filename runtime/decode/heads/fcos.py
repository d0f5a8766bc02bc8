"""FCOS: by level a map of classes, one of distances to the four sides, and maybe one of centreness."""

from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from .. import decode_spec as d
from ..pyramid import around, check_map, clipped, grid_of, rows_of
from ..scored_boxes import Head, Named, Rows, Scored
from ..squashing import sigmoid

KEYS = {
    "strides": d.STRIDES,
    "distance": d.Key(d.one_of("none", "relu", "exp"), "none", "none where the maps hold distances already"),
    "stretch": d.Key(d.BOOL, True, "false where the maps hold pixels already"),
    "centreness": d.Key(d.one_of("none", "product", "sqrt"), "none", "sqrt in FCOS's own code since 2019"),
    "sigmoid": d.Key(d.BOOL, True, "false where scores have passed a sigmoid in the model"),
    "offset": d.Key(d.SHARE, 0.5, "0.5 in FCOS, 0 in torchvision"),
}
DISTANCES: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "exp": np.exp,
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """Two or three maps a level, level by level: classes, distances, centreness."""
    strides, merge = fields["strides"], fields["centreness"]
    channels = (named.classes, 4) if merge == "none" else (named.classes, 4, 1)
    each = len(channels)
    if len(named.names) != each * len(strides):
        expected = f"{each * len(strides)} names: {each} maps for each of {len(strides)} strides"
        raise d.wrong(
            "outputs", expected, list(named.names), "'centreness' none means two maps a level, otherwise three"
        )
    for place, (name, shape) in enumerate(zip(named.names, named.shapes)):
        wanted = channels[place % each]
        if len(shape) != 4 or shape[1] != wanted:
            hint = "list outputs level by level: classes, distances, centreness"
            raise d.unfit(name, f"(B, {wanted}, H, W), for {named.classes} classes", shape, hint)
        check_map(name, shape[2:], named.input_size, strides[place // each])
        if shape[2:] != named.shapes[place - place % each][2:]:
            raise d.unfit(name, "maps of one size at one level", shape, "list outputs level by level")
    grid = grid_of([shape[2:] for shape in named.shapes[::each]], strides)  # type: ignore[misc]
    points = (grid.cells + np.float32(fields["offset"])) * grid.strides

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        maps = [rows_of(arrays[place::each]) for place in range(each)]
        return [_scored(*one) for one in zip(*maps)]

    def _scored(classes: np.ndarray, distances: np.ndarray, *centre: np.ndarray) -> Scored:
        scores = sigmoid(classes) if fields["sigmoid"] else classes
        for one in centre:
            scores = scores * (sigmoid(one) if fields["sigmoid"] else one)
        if merge == "sqrt":
            scores = np.sqrt(scores)

        def boxes(chosen: np.ndarray) -> np.ndarray:
            sides = DISTANCES[fields["distance"]](distances[chosen])
            sides = sides * grid.strides[chosen] if fields["stretch"] else sides
            return clipped(around(points[chosen], sides), named.input_size)

        return Scored(scores, boxes)

    return rows


HEAD = Head(KEYS, build)
