"""From a segmenter's output to a class for each pixel: argmax, threshold, or classes the model has chosen itself."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple

import numpy as np

from . import decode_spec as d
from .scored_boxes import Named
from .squashing import sigmoid

AXIS = d.Key(d.one_of(1, 3), 1, "1 for (B, C, H, W), 3 for (B, H, W, C)")

#: One output array to one mask a picture.
Masks = Callable[[np.ndarray], List[np.ndarray]]


class MaskHead(NamedTuple):
    keys: Mapping[str, d.Key]
    build: Callable[[Dict[str, Any], Named], Masks]


def dtype_of(classes: int) -> Any:
    """The smallest type of masks: uint8 where so many classes fit, else uint16."""
    return np.uint8 if classes <= 256 else np.uint16


def _argmax(fields: Dict[str, Any], named: Named) -> Masks:
    shape, axis = named.shapes[0], fields["axis"]
    if len(shape) != 4 or shape[axis] != named.classes or named.classes < 2:
        expected = "({}), for two or more classes, here {}".format(
            "B, C, H, W" if axis == 1 else "B, H, W, C", named.classes
        )
        raise d.unfit(named.names[0], expected, shape, "set 'axis' and all 'classes'; one channel takes head threshold")

    def masks(array: np.ndarray) -> List[np.ndarray]:
        return [highest(one if axis == 1 else one.transpose(2, 0, 1)) for one in array]

    return masks


def highest(planes: np.ndarray) -> np.ndarray:
    """Index (H, W) of the highest of planes (C, H, W), the lower of equals; what is no number is never the highest.

    Plane by plane: NumPy's argmax over another axis than the last copies everything first, in more time, too.
    """
    best = np.full(planes.shape[1:], -np.inf, dtype=np.float32)
    found = np.zeros(planes.shape[1:], dtype=dtype_of(len(planes)))
    for index, plane in enumerate(planes):
        higher = plane > best
        np.fmax(best, plane, out=best)
        # A later plane has the larger index, so what is higher now is the largest index so far.
        np.maximum(found, higher * found.dtype.type(index), out=found)
    return found


def _threshold(fields: Dict[str, Any], named: Named) -> Masks:
    shape, axis = named.shapes[0], fields["axis"]
    if named.classes != 2:
        hint = 'name what 0 and what 1 stand for: ["background", "road"]'
        raise d.wrong("classes", "two, of a mask of one threshold", named.classes, hint)
    if len(shape) == 3:
        d.refuse({"channel": fields["channel"] or None}, ("channel",), "an output without channels")
    elif len(shape) != 4 or fields["channel"] >= shape[axis]:
        expected = f"(B, H, W), or four axes and channel {fields['channel']} along axis {axis}"
        raise d.unfit(named.names[0], expected, shape, "set 'axis' and 'channel'")

    def masks(array: np.ndarray) -> List[np.ndarray]:
        plane = array if array.ndim == 3 else array.take(fields["channel"], axis=axis)
        plane = sigmoid(plane) if fields["sigmoid"] else plane
        return list((plane > fields["threshold"]).astype(np.uint8))

    return masks


def _classes(fields: Dict[str, Any], named: Named) -> Masks:
    shape = named.shapes[0]
    if len(shape) != 3 and not (len(shape) == 4 and 1 in (shape[1], shape[3])):
        expected = "(B, H, W), (B, 1, H, W) or (B, H, W, 1) of class numbers"
        raise d.unfit(named.names[0], expected, shape, "scores of several classes take head argmax")
    channel = None if len(shape) == 3 else 1 if shape[1] == 1 else 3
    dtype = dtype_of(named.classes)
    none = np.iinfo(dtype).max

    def masks(array: np.ndarray) -> List[np.ndarray]:
        plane = array if channel is None else array.take(0, axis=channel)
        # What no class has becomes the type's largest number: a cast alone would make some class of it.
        known = (plane >= 0) & (plane < named.classes)
        return list(np.where(known, np.rint(plane), none).astype(dtype))

    return masks


MASK_HEADS: Dict[str, MaskHead] = {
    "argmax": MaskHead({"axis": AXIS}, _argmax),
    "threshold": MaskHead(
        {
            "axis": AXIS,
            "channel": d.Key(d.INDEX, 0),
            "threshold": d.Key(d.NUMBER, 0.5),
            "sigmoid": d.Key(d.BOOL, False, "true where the output are logits"),
        },
        _threshold,
    ),
    "classes": MaskHead({}, _classes),
}
