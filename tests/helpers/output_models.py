"""Small models in the styles of detectors, segmenters and super-resolution networks, and pictures for them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.onnx_models import constant, info, net, op, random_weight

SIDE = 32


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures with some noise, float32 of shape (count, 3, 32, 32): as different from each other as photos."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((count, 3, 4, 4)).astype(np.float32)
    fine = rng.standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)
    return coarse.repeat(8, axis=2).repeat(8, axis=3) + np.float32(0.2) * fine


def _stem() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    nodes = [
        op("Conv", "x w1", "c1", pads=[1] * 4, strides=[2, 2]), op("Relu", "c1", "r1"),
        op("Conv", "r1 w2", "c2", pads=[1] * 4), op("Relu", "c2", "r2"),
    ]  # fmt: skip
    return nodes, [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 8, 8, 3, 3)]


def _reshape(name: str, *shape: int) -> onnx.TensorProto:
    return constant(name, np.array(shape, np.int64))


def scores_first_detector() -> onnx.ModelProto:
    """A face detector's heads: (1, N, 1) scores first, made early, then boxes in pixels and landmarks."""
    nodes, weights = _stem()
    nodes += [
        op("Conv", "r1 ws", "cs"), op("Sigmoid", "cs", "sg"), op("Reshape", "sg s1", "scores"),
        op("Conv", "r2 wb", "cb"), op("Reshape", "cb s2", "rb"), op("Mul", "rb pixels", "boxes"),
        op("Conv", "r2 wl", "cl"), op("Reshape", "cl s3", "landmarks"),
    ]  # fmt: skip
    weights += [
        random_weight("ws", 1, 8, 1, 1), random_weight("wb", 4, 8, 1, 1), random_weight("wl", 10, 8, 1, 1),
        _reshape("s1", 1, 256, 1), _reshape("s2", 1, 256, 4), _reshape("s3", 1, 256, 10),
        constant("pixels", np.float32([640.0])),
    ]  # fmt: skip
    outputs = [info("scores", (1, 256, 1)), info("boxes", (1, 256, 4)), info("landmarks", (1, 256, 10))]
    return net(nodes, [info("x", (1, 3, SIDE, SIDE))], outputs, weights)


def one_tensor_detector() -> onnx.ModelProto:
    """One (1, 7, N) output: box coordinates in pixels beside scores between 0 and 1."""
    nodes, weights = _stem()
    nodes += [
        op("Conv", "r2 wb", "cb"), op("Mul", "cb pixels", "pb"), op("Conv", "r2 ws", "cs"), op("Sigmoid", "cs", "ps"),
        op("Concat", "pb ps", "both", axis=1), op("Reshape", "both s", "detections"),
    ]  # fmt: skip
    weights += [
        random_weight("wb", 4, 8, 1, 1), random_weight("ws", 3, 8, 1, 1), constant("pixels", np.float32([640.0])),
        _reshape("s", 1, 7, 256),
    ]  # fmt: skip
    return net(nodes, [info("x", (1, 3, SIDE, SIDE))], [info("detections", (1, 7, 256))], weights)


def class_like_detector() -> onnx.ModelProto:
    """A (1, N) output of scores first, which looks like one row of classes, then boxes."""
    nodes, weights = _stem()
    nodes += [
        op("Conv", "r1 ws", "cs"), op("Flatten", "cs", "scores"), op("Conv", "r2 wb", "cb"),
        op("Reshape", "cb s", "boxes"),
    ]  # fmt: skip
    weights += [random_weight("ws", 1, 8, 1, 1), random_weight("wb", 4, 8, 1, 1), _reshape("s", 1, 256, 4)]
    outputs = [info("scores", (1, 256)), info("boxes", (1, 256, 4))]
    return net(nodes, [info("x", (1, 3, SIDE, SIDE))], outputs, weights)


def segmenter() -> onnx.ModelProto:
    """Probabilities of five classes for every pixel of a quarter of the picture, one of them hardly ever any."""
    nodes, weights = _stem()
    nodes += [op("Conv", "r2 w3 bias", "c3"), op("Softmax", "c3", "masks", axis=1)]
    weights += [random_weight("w3", 5, 8, 1, 1), constant("bias", np.float32([0, 0, 0, 0, -9]))]
    return net(nodes, [info("x", (1, 3, SIDE, SIDE))], [info("masks", (1, 5, 16, 16))], weights)


def super_resolution() -> onnx.ModelProto:
    """Twice the picture's size, by depth to space."""
    nodes = [
        op("Conv", "x w1", "c1", pads=[1] * 4), op("Relu", "c1", "r1"), op("Conv", "r1 w2", "c2", pads=[1] * 4),
        op("DepthToSpace", "c2", "y", blocksize=2),
    ]  # fmt: skip
    weights = [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 12, 8, 3, 3)]
    return net(nodes, [info("x", (1, 3, SIDE, SIDE))], [info("y", (1, 3, 64, 64))], weights)


MODELS = {
    "scores first": scores_first_detector,
    "one tensor": one_tensor_detector,
    "class-like": class_like_detector,
    "segmenter": segmenter,
    "super resolution": super_resolution,
}
