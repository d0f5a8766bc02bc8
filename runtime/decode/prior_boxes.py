"""SSD's prior boxes: as they are listed, or made of ratios and scales as torchvision makes them.

The object that they are made of, with its keys:

sizes   by level [height, width] of the feature map
ratios  by level the ratios of width to height besides 1, maybe none; each is used upright, too
scales  shares of the input, one more than there are levels
steps   by level pixels a cell; null or absent: the input divided by the map's size
clip    whether sizes beyond the input are cut to it (default true)
"""

import math
from typing import Any, List, Mapping, Tuple

import numpy as np

from . import decode_spec as d

NONE = d.Reader("an empty list", lambda value: isinstance(value, (list, tuple)) and not value, tuple)
KEYS = {
    "sizes": d.Key(d.list_of(d.list_of(d.COUNT, 2)), hint="by level [height, width] of the feature map"),
    "ratios": d.Key(d.list_of(d.either(d.list_of(d.POSITIVE), NONE)), hint="by level: [[2], [2, 3], ...]"),
    "scales": d.Key(d.list_of(d.POSITIVE), hint="shares of the input, one more than there are levels"),
    "steps": d.Key(d.optional(d.list_of(d.POSITIVE)), None, "by level pixels a cell, or null"),
    "clip": d.Key(d.BOOL, True),
}

#: A damaged file must not ask for all memory.
MOST = 1 << 20


def priors(anchors: Any, input_size: Tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) in float32: centre and size in shares of the input.

    Parameters
    ----------
    anchors : tuple or mapping
        The boxes, or the object that they are made of.
    input_size : tuple of int
        Height and width.

    Raises
    ------
    BundleError
        Where the object is not as it has to be.
    """
    if not isinstance(anchors, Mapping):
        return np.array(anchors, dtype=np.float32)
    faults = d.faults_of(anchors, KEYS, "anchors of head ssd")
    if faults:
        raise d.together(faults)
    fields = d.fields_of(anchors, KEYS)
    levels = len(fields["sizes"])
    for key, count in (("ratios", levels), ("scales", levels + 1), ("steps", levels)):
        if fields[key] is not None and len(fields[key]) != count:
            raise d.wrong("anchors." + key, f"{count} entries, for {levels} sizes", len(fields[key]), KEYS[key].hint)
    count = sum(
        height * width * (2 + 2 * len(ratios)) for (height, width), ratios in zip(fields["sizes"], fields["ratios"])
    )
    if count > MOST:
        raise d.wrong("anchors.sizes", f"{MOST} boxes at most", count, KEYS["sizes"].hint)
    return _made(fields, input_size)


def _made(fields: Mapping[str, Any], input_size: Tuple[int, int]) -> np.ndarray:
    """Cell by cell, in each of them: the square, the larger square, then each ratio lying and upright.

    Source: pytorch/vision 6922d21, models/detection/anchor_utils.py DefaultBoxGenerator; SSD (arXiv:1512.02325), 2.2.
    Differs: with `steps`, columns go by the input's width and rows by its height; there they are exchanged, which only
    an input that is no square would tell.
    """
    made: List[np.ndarray] = []
    for level, (height, width) in enumerate(fields["sizes"]):
        scale, larger = fields["scales"][level], math.sqrt(fields["scales"][level] * fields["scales"][level + 1])
        shapes = [(scale, scale), (larger, larger)]
        for ratio in fields["ratios"][level]:
            wide, high = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(wide, high), (high, wide)]
        shape = np.array(shapes, dtype=np.float32)
        if fields["clip"]:
            shape = np.minimum(shape, np.float32(1))
        step = fields["steps"][level] if fields["steps"] is not None else None
        rows, columns = np.mgrid[:height, :width] + 0.5
        x = columns / (width if step is None else input_size[1] / step)
        y = rows / (height if step is None else input_size[0] / step)
        middles = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
        made.append(np.concatenate([np.repeat(middles, len(shape), axis=0), np.tile(shape, (len(middles), 1))], axis=1))
    return np.concatenate(made)
