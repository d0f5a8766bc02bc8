"""Two exports that people ask about in public threads, built small: a detector that ends with NonMaxSuppression, and a
super-resolution network that computes the scales of its Resize.

As exporters write them: shapes read with Shape, sizes gathered and concatenated, indices gathered from what the
suppression has found, K of TopK as the smaller of two numbers.
"""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.onnx_models import constant, info, net, op, random_weight


def detector(classes: int = 3, side: int = 16) -> onnx.ModelProto:
    """Boxes and scores from a small convolutional head, the best of them after suppression, in order of their score."""
    cells = (side // 4) ** 2
    nodes = [
        op("Conv", "image w1 b1", "c1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        op("Relu", "c1", "r1"),
        op("Conv", "r1 w2 b2", "c2", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        op("Relu", "c2", "r2"),
        op("Conv", "r2 wb", "head_boxes", kernel_shape=[1, 1]),
        op("Conv", "r2 ws", "head_scores", kernel_shape=[1, 1]),
        op("Reshape", "head_boxes boxes_shape", "boxes_first"),
        op("Transpose", "boxes_first", "boxes_raw", perm=[0, 2, 1]),
        op("Sigmoid", "boxes_raw", "boxes"),
        op("Reshape", "head_scores scores_shape", "scores_raw"),
        op("Sigmoid", "scores_raw", "scores"),
        op("NonMaxSuppression", "boxes scores most iou threshold", "selected"),
        op("Gather", "selected place_of_box", "box_indices", axis=1),
        op("Gather", "boxes zero", "boxes_of_one", axis=0),
        op("Gather", "boxes_of_one box_indices", "found_boxes", axis=0),
        op("GatherND", "scores selected_for_scores", "found_scores"),
        op("Gather", "selected score_order", "selected_for_scores", axis=1),
        op("Shape", "found_scores", "count"),
        op("Min", "count most_kept", "kept"),
        op("TopK", "found_scores kept", "top_scores top_places", axis=0),
        op("Gather", "found_boxes top_places", "top_boxes", axis=0),
    ]
    nodes[15], nodes[16] = nodes[16], nodes[15]
    weights = [
        random_weight("w1", 8, 3, 3, 3),
        random_weight("b1", 8),
        random_weight("w2", 16, 8, 3, 3),
        random_weight("b2", 16),
        random_weight("wb", 4, 16, 1, 1),
        random_weight("ws", classes, 16, 1, 1),
        constant("boxes_shape", [1, 4, cells], np.int64),
        constant("scores_shape", [1, classes, cells], np.int64),
        constant("most", [5], np.int64),
        constant("iou", [0.5], np.float32),
        constant("threshold", [0.1], np.float32),
        constant("place_of_box", 2, np.int64),
        constant("zero", 0, np.int64),
        constant("score_order", [0, 1, 2], np.int64),
        constant("most_kept", [10], np.int64),
    ]
    return net(nodes, [info("image", (1, 3, side, side))], ["top_boxes", "top_scores"], weights)


def super_resolution(side: int = 12, mode: str = "linear") -> onnx.ModelProto:
    """Twice the size, the scales computed from the shapes of the input, as a traced `interpolate` leaves them."""
    nodes = [
        op("Conv", "image w1 b1", "c1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        op("Relu", "c1", "r1"),
        op("Shape", "r1", "shape"),
        op("Slice", "shape two four", "size"),
        op("Cast", "size", "size_float", to=onnx.TensorProto.FLOAT),
        op("Mul", "size_float factor", "wanted"),
        op("Floor", "wanted", "wanted_whole"),
        op("Div", "wanted_whole size_float", "scales_of_axes"),
        op("Concat", "ones scales_of_axes", "scales", axis=0),
        op("Resize", "r1 _ scales", "large", mode=mode, coordinate_transformation_mode="pytorch_half_pixel"),
        op("Conv", "large w2 b2", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    weights = [
        random_weight("w1", 8, 3, 3, 3),
        random_weight("b1", 8),
        random_weight("w2", 3, 8, 3, 3),
        random_weight("b2", 3),
        constant("two", [2], np.int64),
        constant("four", [4], np.int64),
        constant("factor", 2.0, np.float32),
        constant("ones", [1.0, 1.0], np.float32),
    ]
    return net(nodes, [info("image", ("N", 3, side, side))], ["y"], weights)
