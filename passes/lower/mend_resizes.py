"""Resize as a parser takes it that lacks modes, coordinate transformations or filters: shapes are static here.

Every axis is resized for itself. The nearest element is a Gather of constant indices, which is exact on any type; any
interpolation is a product with a constant matrix of weights.

Source: the definition of Resize in ONNX 1.23, and for `antialias` what ONNX Runtime 1.32 computes, where the filter is
stretched by as much as the picture shrinks and its weights are made to add up to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.writing import finish, through_float


@dataclass(frozen=True)
class Axis:
    """How one axis is resized.

    Attributes
    ----------
    index, size, out : int
    scale : float
        By which it grows.
    region : tuple of float
        Of it, that is resized: from 0 to 1 unless cropped.
    """

    index: int
    size: int
    out: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    def sources(self, transformation: str) -> np.ndarray:
        """Where each new element lies among the old, float32."""
        to, scale = np.arange(self.out, dtype=np.float32), np.float32(self.scale)
        half = np.float32(0.5)
        match transformation:
            case "half_pixel":
                return (to + half) / scale - half
            case "pytorch_half_pixel":
                return (to + half) / scale - half if self.out > 1 else to * 0
            case "tf_half_pixel_for_nn":
                return (to + half) / scale
            case "asymmetric":
                return to / scale
            case "align_corners":
                return to * np.float32(self.size - 1) / np.float32(max(self.out - 1, 1))
            case "half_pixel_symmetric":
                size = np.float32(self.size)
                kept = np.float32(self.out) / (scale * size)  # in float32 throughout: ties go by its last digit
                return size / 2 * (1 - kept) + (to + half) / scale - half
            case "tf_crop_and_resize":
                first, last = (np.float32(bound * (self.size - 1)) for bound in self.region)
                if self.out == 1:
                    return (first + last) / 2 + to
                return first + to * (last - first) / np.float32(self.out - 1)
        raise CannotLower(f"coordinate_transformation_mode = {transformation}", "resize images before the model")


def axes_of(b: Builder) -> list[Axis]:
    """Those that change."""
    shape, outs = b.shape(b.input(0)), b.shape(b.node.output[0])
    named = [axis % len(shape) for axis in b.attribute("axes", [])] or list(range(len(shape)))
    regions = dict.fromkeys(named, (0.0, 1.0))
    if b.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        bounds = b.array(b.input(1), "roi").tolist()
        regions = dict(zip(named, zip(bounds[: len(named)], bounds[len(named) :], strict=True), strict=True))
    if scales := b.input(2):
        factors = dict(zip(named, b.array(scales, "scales").tolist(), strict=True))
    else:
        if b.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise CannotLower("it keeps the aspect ratio too", "give the sizes that are wanted")
        sizes = b.array(b.input(3), "sizes").tolist()
        factors = {axis: out / shape[axis] for axis, out in zip(named, sizes, strict=True)}
    found = [Axis(axis, shape[axis], outs[axis], factors[axis], regions[axis]) for axis in sorted(named)]
    for one in found:
        if one.region != (0.0, 1.0) and not 0 <= min(one.region) <= max(one.region) <= 1:
            raise CannotLower("it crops more than there is", "crop and resize images before the model")
    return [one for one in found if one.scale != 1 or one.out != one.size or one.region != (0.0, 1.0)]


def _nearest(axis: Axis, b: Builder) -> np.ndarray:
    """The old element that each new one is."""
    found = axis.sources(b.attribute("coordinate_transformation_mode", "half_pixel"))
    steps = found * 2  # every mode changes its answer at whole or half positions
    off = np.abs(steps - np.round(steps))
    if np.any((off > 0) & (off < 64 * np.finfo(np.float32).eps * np.maximum(np.abs(steps), axis.size))):
        raise CannotLower(
            "positions lie so near the middle of two elements that the rounding of their arithmetic decides",
            "give sizes in place of scales, or another coordinate_transformation_mode",
        )
    match b.attribute("nearest_mode", "round_prefer_floor"):
        case "floor":
            rounded = np.floor(found)
        case "ceil":
            rounded = np.ceil(found)
        case "round_prefer_ceil":
            rounded = np.floor(found + np.float32(0.5))
        case _:
            rounded = np.ceil(found - np.float32(0.5))
    return np.clip(rounded, 0, axis.size - 1).astype(np.int64)


def _filter(distance: np.ndarray, b: Builder) -> np.ndarray:
    """Weight of an element at a distance: a triangle, or the cubic of Keys with its parameter."""
    t = np.abs(distance)
    if b.attribute("mode", "nearest") == "linear":
        return np.maximum(0.0, 1 - t)
    a = float(b.attribute("cubic_coeff_a", -0.75))
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _weights(axis: Axis, b: Builder) -> np.ndarray:
    """Of each old element in each new one, (out, size)."""
    sources = axis.sources(b.attribute("coordinate_transformation_mode", "half_pixel")).astype(np.float64)
    cubic = b.attribute("mode", "nearest") == "cubic"
    shrinks = bool(b.attribute("antialias", 0)) and axis.scale < 1
    made = np.zeros((axis.out, axis.size))
    stretch = axis.scale if shrinks else 1.0
    if not cubic and not shrinks:
        sources = np.clip(sources, 0, axis.size - 1)
    reach = (2 if cubic else 1) / stretch
    first = np.floor(sources - reach + 1).astype(int)
    for tap in range(math.ceil(2 * reach) + 1):
        place = first + tap
        weight = _filter((place - sources) * stretch, b)
        if b.attribute("exclude_outside", 0):
            weight = np.where((place >= 0) & (place < axis.size), weight, 0.0)
        np.add.at(made, (np.arange(axis.out), np.clip(place, 0, axis.size - 1)), weight)
    return made / made.sum(axis=1, keepdims=True)


def _interpolated(b: Builder, x: str) -> str:
    """Products with the weights of each axis."""
    rank = len(b.shape(b.input(0)))
    for axis in axes_of(b):
        weights = _weights(axis, b).astype(np.float32)
        if axis.index == rank - 2:
            matrix = weights.reshape(*[1] * (rank - 2), *weights.shape)
            x = b.add("MatMul", [b.constant(matrix, "weights"), x])
            continue
        turned = list(range(rank))
        turned[axis.index], turned[-1] = turned[-1], turned[axis.index]
        if axis.index != rank - 1:
            x = b.add("Transpose", [x], perm=turned)
        matrix = weights.T.reshape(*[1] * (rank - 2), *weights.T.shape)
        x = b.add("MatMul", [x, b.constant(matrix, "weights")])
        if axis.index != rank - 1:
            x = b.add("Transpose", [x], perm=turned)
    return x


def _picked(b: Builder, x: str) -> str:
    """The nearest elements of each axis."""
    for axis in axes_of(b):
        x = b.add("Gather", [x, b.constant(_nearest(axis, b), "nearest")], axis=axis.index)
    return x


def spelled_out(node: onnx.NodeProto, b: Builder) -> None:
    """Without Resize."""
    cropped = b.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if not cropped and b.shape(b.input(0)) == b.shape(node.output[0]):
        b.end("Identity", [b.input(0)])  # ONNX Runtime copies then, whatever the scales are
        return
    if b.attribute("mode", "nearest") != "nearest":
        if b.dtype(b.input(0)).kind != "f":
            raise CannotLower("integers are interpolated", "cast to float before it")
        through_float(_interpolated)(node, b)
    elif b.dtype(b.input(0)) == np.uint8:  # Gather has no uint8
        through_float(_picked)(node, b)
    else:
        finish(b, _picked(b, b.input(0)))


_LIMITS = (
    "antialias",
    "mode",
    "resize-bytes",
    "resize-cubic-axes",
    "resize-integers",
    "resize-tf-mode",
    "resize-tf-rounding",
    "resize-tf-sizes",
    "transformation",
)

#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {f"Resize/{limit}": spelled_out for limit in _LIMITS}
