"""The committed detector in the output layouts of well-known ones, and how each of them is decoded.

Every style appends nodes to the same raw outputs, so all of them say the same boxes and scores: what differs between
two decoded styles is a fault of the decoder. `spec_of` gives the keys that `runtime/decode/decode_spec.py` describes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from coachc.errors import UsageError
from coachc.models.appended_nodes import Appended
from coachc.models.canvases import DIGIT_NAMES, SIZE
from coachc.models.detector_outputs import IOU, LOWEST_SCORE, OUTPUT_NAMES, STRIDES, places
from coachc.models.digits_detector import DETECTOR_FILE

SCORE = 0.25
#: Rows of the end-to-end styles, whether so many digits are found or not.
MOST = 100
# An anchor's side in strides: the logarithm of a digit's size against it stays small.
ANCHOR_STRIDES = 3.0
VARIANCES = (0.1, 0.1, 0.2, 0.2)
# A box thinner than this, in pixels, has no logarithm worth having.
THINNEST = 1e-3

#: Name of an output -> the value that it is.
Outputs = dict[str, str]


def export(style: str) -> onnx.ModelProto:
    """The detector with the outputs of `style`, one of `STYLES`; each one's function below says what they are.

    Raises
    ------
    UsageError
        If there is no such style.
    """
    _check(style)
    net = Appended(DETECTOR_FILE)
    outputs = STYLES[style](net)
    # NonMaxSuppression selects who knows how many boxes, so those of several pictures would run into each other.
    return net.finish(outputs, batch=1 if style in END_TO_END else None)


def spec_of(style: str) -> dict[str, Any]:
    """How the outputs of `export(style)` are decoded.

    Raises
    ------
    UsageError
        If there is no such style.
    """
    _check(style)
    common = {"kind": "boxes", "classes": list(DIGIT_NAMES), "score": SCORE, "most": MOST}
    if style in END_TO_END:
        return {**common, "head": "nms", **_own_keys()[style]}
    # Every class that scores enough, because ONNX's NonMaxSuppression takes them so.
    return {**common, "iou": IOU, "labels": "all", **_own_keys()[style]}


def _own_keys() -> dict[str, dict[str, Any]]:
    strides = list(STRIDES)
    middles, sizes = places()
    anchors = np.concatenate([middles, sizes * ANCHOR_STRIDES, sizes * ANCHOR_STRIDES], 1) / SIZE
    prior = {"anchors": anchors.tolist(), "variances": list(VARIANCES), "background": 0, "activation": "none"}
    # A level at a time, classes first.
    maps = [OUTPUT_NAMES[place] for place in (1, 0, 3, 2)]
    columns = ["x1", "y1", "x2", "y2", "score", "class"]
    return {
        "fcos": {"head": "fcos", "outputs": maps, "strides": strides},
        "yolov8": {"head": "yolov8", "outputs": ["output0"], "axis": 1, "boxes": "xywh"},
        "yolov8_rows": {"head": "yolov8", "outputs": ["output0"], "axis": 2, "boxes": "xywh"},
        "yolov5": {"head": "yolov5", "outputs": ["output"]},
        "yolox": {"head": "yolox", "outputs": ["output"], "strides": strides, "decoded": True},
        "yolox_raw": {"head": "yolox", "outputs": ["output"], "strides": strides, "decoded": False},
        "ssd": {"head": "ssd", "outputs": ["locations", "scores"], **prior},
        "nanodet": {"head": "nanodet", "outputs": ["output"], "strides": strides, "bins": 1, "offset": 0.5},
        "nms": {"form": "rows", "outputs": ["output"], "columns": columns},
        "efficient_nms": {"form": "efficient_nms", "outputs": ["num_dets", "boxes", "scores", "classes"]},
        "selected_indices": {"form": "selected_indices", "outputs": ["selected", "boxes", "scores"]},
    }


def _fcos(net: Appended) -> Outputs:
    """The raw maps."""
    return {name: name for name in OUTPUT_NAMES}


def _yolov8(net: Appended) -> Outputs:
    """[N, 14, 320]: centre, size and probabilities."""
    return {"output0": net.node("Transpose", _yolov8_rows(net)["output0"], perm=[0, 2, 1])}


def _yolov8_rows(net: Appended) -> Outputs:
    """[N, 320, 14]: the same, its axes swapped."""
    distances, scores = _joined(net)
    return {"output0": net.node("Concat", *_centre_and_size(net, distances), scores, axis=2)}


def _yolov5(net: Appended) -> Outputs:
    """[N, 320, 15]: centre, size, objectness, and probabilities given that there is an object."""
    distances, scores = _joined(net)
    return {"output": _with_objectness(net, *_centre_and_size(net, distances), scores)}


def _yolox_raw(net: Appended) -> Outputs:
    """[N, 320, 15]: YOLOX's default export, centres in cells from the own one, logarithms of sizes in cells."""
    distances, scores = _joined(net)
    centre, size = _centre_and_size(net, distances)
    middles, strides = places()
    # A cell begins half a stride before its middle.
    centre = net.with_constant("Sub", net.with_constant("Div", centre, strides), middles / strides - 0.5)
    return {"output": _with_objectness(net, centre, _logarithm(net, size, strides), scores)}


def _ssd(net: Appended) -> Outputs:
    """Locations [N, 320, 4] against one anchor a place, and probabilities [N, 320, 11], that of no digit first."""
    distances, scores = _joined(net)
    centre, size = _centre_and_size(net, distances)
    middles, strides = places()
    side = strides * np.float32(ANCHOR_STRIDES)
    shift = net.with_constant("Div", net.with_constant("Sub", centre, middles), side * VARIANCES[0])
    growth = net.with_constant("Div", _logarithm(net, size, side), VARIANCES[2])
    background = net.node("Sub", net.constant(np.ones(1, np.float32)), _largest(net, scores))
    return {
        "locations": net.node("Concat", shift, growth, axis=2),
        "scores": net.node("Concat", background, scores, axis=2),
    }


def _nanodet(net: Appended) -> Outputs:
    """[N, 320, 14]: probabilities, then distances in strides, each a distribution of one bin."""
    distances, scores = _joined(net)
    return {"output": net.node("Concat", scores, distances, axis=2)}


def _selected_indices(net: Appended) -> Outputs:
    """ONNX's NonMaxSuppression: selected [M, 3], and what it reads, boxes [1, 320, 4] and scores [1, 10, 320]."""
    distances, scores = _joined(net)
    boxes = net.node("Concat", *_corners(net, distances), axis=2)
    by_class = net.node("Transpose", scores, perm=[0, 2, 1])
    limits = [net.constant(np.array([x], kind)) for x, kind in ((MOST, np.int64), (IOU, "f4"), (LOWEST_SCORE, "f4"))]
    return {
        "selected": net.node("NonMaxSuppression", boxes, by_class, *limits),
        "boxes": boxes,
        "scores": by_class,
    }


def _nms(net: Appended) -> Outputs:
    """[1, 100, 6]: x1, y1, x2, y2, score, class, best first, zeros below the last."""
    selected, boxes, by_class = _selected_indices(net).values()
    digit, place = (_column(net, selected, column, axis=1) for column in (1, 2))
    first, last = (net.constant(np.array([axis], np.int64)) for axis in (0, 1))
    columns = [
        net.node("Gather", net.node("Squeeze", boxes, first), place, axis=0),
        net.node("Unsqueeze", net.node("GatherND", by_class, selected), last),
        net.node("Unsqueeze", net.node("Cast", digit, to=onnx.TensorProto.FLOAT), last),
    ]
    # Zeros below, so that there are always enough rows for the fixed number that TopK takes.
    padded = net.node("Concat", *columns, axis=1)
    padded = net.node("Concat", padded, net.constant(np.zeros((MOST, 6), np.float32)), axis=0)
    _, order = net.best(_column(net, padded, 4, axis=1), MOST)
    # Not Unsqueeze, from which nobody could infer that the rows are so many.
    shape = net.constant(np.array([1, MOST, 6], np.int64))
    return {"output": net.node("Reshape", net.node("Gather", padded, order, axis=0), shape)}


def _efficient_nms(net: Appended) -> Outputs:
    """Number [1, 1], boxes [1, 100, 4], scores [1, 100] and classes [1, 100], as TensorRT's plugin has them."""
    rows = _nms(net)["output"]
    scores = _column(net, rows, 4, axis=2)
    found = net.node("Cast", net.with_constant("Greater", scores, 0), to=onnx.TensorProto.INT32)
    return {
        "num_dets": net.node("ReduceSum", found, net.constant(np.array([1], np.int64)), keepdims=1),
        "boxes": net.node("Gather", rows, net.constant(np.arange(4)), axis=2),
        "scores": scores,
        "classes": net.node("Cast", _column(net, rows, 5, axis=2), to=onnx.TensorProto.INT32),
    }


#: YOLOv5's and YOLOX's rows are the same ones once they are decoded.
STYLES: dict[str, Callable[[Appended], Outputs]] = {
    "fcos": _fcos,
    "yolov8": _yolov8,
    "yolov8_rows": _yolov8_rows,
    "yolov5": _yolov5,
    "yolox": _yolov5,
    "yolox_raw": _yolox_raw,
    "ssd": _ssd,
    "nanodet": _nanodet,
    "nms": _nms,
    "efficient_nms": _efficient_nms,
    "selected_indices": _selected_indices,
}
END_TO_END = ("nms", "efficient_nms", "selected_indices")


def _check(style: str) -> None:
    if style not in STYLES:
        raise UsageError(f"there is no head '{style}'", hint="one of " + ", ".join(STYLES))


def _joined(net: Appended) -> tuple[str, str]:
    """Distances [N, 320, 4] and probabilities [N, 320, 10] of both levels, in the order of `places`."""
    joined = []
    for first, channels in ((0, 4), (1, len(DIGIT_NAMES))):
        levels = []
        for name, stride in zip(OUTPUT_NAMES[first::2], STRIDES, strict=True):
            # The 0 takes the batch from the input.
            shape = net.constant(np.array([0, channels, (SIZE // stride) ** 2], np.int64))
            levels.append(net.node("Reshape", name, shape))
        joined.append(net.node("Transpose", net.node("Concat", *levels, axis=2), perm=[0, 2, 1]))
    return joined[0], net.node("Sigmoid", joined[1])


def _corners(net: Appended, distances: str) -> tuple[str, str]:
    """Upper left and lower right corner, [N, 320, 2] each, in pixels."""
    middles, strides = places()
    before, after = net.split(net.with_constant("Mul", distances, strides), parts=2, axis=2)
    point = net.constant(middles)
    return net.node("Sub", point, before), net.node("Add", point, after)


def _centre_and_size(net: Appended, distances: str) -> tuple[str, str]:
    low, high = _corners(net, distances)
    return net.with_constant("Mul", net.node("Add", low, high), 0.5), net.node("Sub", high, low)


def _with_objectness(net: Appended, centre: str, size: str, scores: str) -> str:
    """Objectness is the largest of the probabilities, and the others are divided by it: their product is as it was."""
    objectness = _largest(net, scores)
    return net.node("Concat", centre, size, objectness, net.node("Div", scores, objectness), axis=2)


def _logarithm(net: Appended, size: str, unit: np.ndarray) -> str:
    return net.node("Log", net.with_constant("Div", net.with_constant("Max", size, THINNEST), unit))


def _largest(net: Appended, scores: str) -> str:
    """[N, 320, 10] -> [N, 320, 1]."""
    return net.node("ReduceMax", scores, axes=[2], keepdims=1)


def _column(net: Appended, value: str, column: int, *, axis: int) -> str:
    """One column, its axis gone."""
    return net.node("Gather", value, net.constant(np.array(column)), axis=axis)
