"""SSD: offsets from prior boxes, and a score for each class and for the background."""

from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from .. import decode_spec as d
from ..prior_boxes import priors
from ..pyramid import clipped, corners
from ..scored_boxes import Head, Named, Rows, Scored
from ..squashing import sigmoid, softmax

KEYS = {
    "anchors": d.Key(
        d.either(d.list_of(d.list_of(d.NUMBER, 4)), d.OBJECT),
        hint="[cx, cy, width, height] in shares of the input, or an object with sizes, ratios, scales, steps and clip",
    ),
    "activation": d.Key(d.one_of("softmax", "sigmoid", "none"), "softmax", "none where the model outputs scores"),
    "background": d.Key(d.optional(d.INDEX), 0, "index of the class that is none; null where there is none"),
    "variances": d.Key(d.list_of(d.POSITIVE, 4), (0.1, 0.1, 0.2, 0.2), "of cx, cy, width and height"),
    "clamp": d.Key(d.optional(d.POSITIVE), None, "torchvision's is log(1000 / 16) = 4.135166556742356"),
}
ACTIVATIONS: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda x: x,
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """Two outputs: locations (B, N, 4) and scores (B, N, classes and background)."""
    if len(named.names) != 2:
        raise d.wrong("outputs", "two: locations and scores", list(named.names), d.OUTPUTS.hint)
    prior = priors(fields["anchors"], named.input_size)
    background = fields["background"]
    width = named.classes + (background is not None)
    if background is not None and background >= width:
        hint = "it is mostly the first class or the last"
        raise d.wrong("background", f"an index below {width}, of {named.classes} classes and it", background, hint)
    for name, shape, last in zip(named.names, named.shapes, (4, width)):
        if len(shape) != 3 or shape[2] != last:
            hint = "list locations first; 'classes' lists all classes but the background"
            raise d.unfit(name, f"(B, N, {last}), for {named.classes} classes", shape, hint)
        if shape[1] != len(prior):
            raise d.unfit(name, f"{len(prior)} rows, as there are anchors", shape, KEYS["anchors"].hint)
    # float32 before anything is computed: so do the projects that such models come from.
    variances = np.array(fields["variances"], dtype=np.float32)
    scale = np.array([named.input_size[1], named.input_size[0]] * 2, dtype=np.float32)
    kept = np.array([one for one in range(width) if one != background])

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(*one) for one in zip(*arrays)]

    def _scored(locations: np.ndarray, scores: np.ndarray) -> Scored:
        def boxes(chosen: np.ndarray) -> np.ndarray:
            offsets, of = locations[chosen] * variances, prior[chosen]
            sizes = offsets[:, 2:]
            if fields["clamp"] is not None:
                sizes = np.minimum(sizes, np.float32(fields["clamp"]))
            made = np.concatenate([offsets[:, :2] * of[:, 2:] + of[:, :2], np.exp(sizes) * of[:, 2:]], axis=1)
            return clipped(corners(made) * scale, named.input_size)

        return Scored(ACTIVATIONS[fields["activation"]](scores)[:, kept], boxes)

    return rows


HEAD = Head(KEYS, build)
