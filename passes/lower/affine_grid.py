"""AffineGrid as a product of constant coordinates with the matrices."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder


def as_matmul(node: onnx.NodeProto, b: Builder) -> None:
    """Coordinates from -1 to 1, of corners or of centres, times each transposed matrix; the last axis comes first."""
    theta = b.input(0)
    count, _, *sizes = (int(size) for size in b.array(b.input(1), "size"))
    lines = []
    for size in sizes:
        if b.attribute("align_corners", 0):
            lines.append(np.linspace(-1, 1, size) if size > 1 else np.zeros(1))
        else:
            lines.append((2 * np.arange(size) + 1) / size - 1)
    places = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(sizes)], axis=-1)
    points = b.constant(places.reshape(-1, len(sizes) + 1).astype(b.dtype(theta)), "points")
    moved = b.add("MatMul", [points, b.add("Transpose", [theta], perm=[0, 2, 1])])
    b.end_reshape(moved, [count, *sizes, len(sizes)])
