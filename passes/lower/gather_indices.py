"""Constant indices of Gather counted from the front: not every target counts from the end."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower
from coachc.passes.lower.scope import Scope


def counts_from_the_end(node: onnx.NodeProto, scope: Scope) -> bool:
    """Whether a Gather has a negative constant index along an axis of known size."""
    if node.op_type != "Gather" or node.domain:
        return False
    indices = scope.array(node.input[1])
    return indices is not None and bool((indices < 0).any()) and scope.shape(node.input[0]) is not None


def from_the_front(node: onnx.NodeProto, b: Builder) -> None:
    """The size is added to negative indices."""
    indices = b.scope.array(b.input(1))
    if indices is None:
        raise CannotLower("its indices are computed", "gather by indices that are not negative")
    size = b.shape(b.input(0))[b.attribute("axis", 0)]
    b.keep(inputs=[b.input(0), b.constant(np.where(indices < 0, indices + size, indices), "indices")])
