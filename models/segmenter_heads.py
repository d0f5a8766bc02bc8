"""The committed segmenter with masks in the forms that models give them, and how each of them is decoded.

Every style appends nodes to the same logits. `spec_of` gives the keys that `runtime/decode/decode_spec.py` describes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from coachc.errors import UsageError
from coachc.models.appended_nodes import Appended
from coachc.models.canvases import MASK_NAMES
from coachc.models.digits_segmenter import SEGMENTER_FILE
from coachc.models.onnx_writer import OUTPUT

STYLES = ("logits", "argmax", "threshold")


def export(style: str) -> onnx.ModelProto:
    """The segmenter with the output of `style`.

    Parameters
    ----------
    style : str
        logits: float32 [N, 11, 128, 128]. argmax: `classes`, int64 [N, 128, 128], a class for each pixel. threshold:
        `ink`, float32 [N, 1, 128, 128], the probability that a pixel is any digit's.

    Raises
    ------
    UsageError
        If there is no such style.
    """
    _check(style)
    net = Appended(SEGMENTER_FILE)
    if style == "logits":
        return net.finish({OUTPUT: OUTPUT})
    if style == "argmax":
        return net.finish({"classes": net.node("ArgMax", OUTPUT, axis=1, keepdims=0)})
    shares = net.node("Softmax", OUTPUT, axis=1)
    # Gather with a list of one index keeps the axis.
    background = net.node("Gather", shares, net.constant(np.array([0], np.int64)), axis=1)
    return net.finish({"ink": net.node("Sub", net.constant(np.ones(1, np.float32)), background)})


def spec_of(style: str) -> dict[str, Any]:
    """How the output of `export(style)` is decoded.

    Raises
    ------
    UsageError
        If there is no such style.
    """
    _check(style)
    if style == "logits":
        return {"kind": "mask", "head": "argmax", "outputs": [OUTPUT], "classes": list(MASK_NAMES)}
    if style == "argmax":
        return {"kind": "mask", "head": "classes", "outputs": ["classes"], "classes": list(MASK_NAMES)}
    return {"kind": "mask", "head": "threshold", "outputs": ["ink"], "classes": ["background", "ink"], "threshold": 0.5}


def _check(style: str) -> None:
    if style not in STYLES:
        raise UsageError(f"there is no mask '{style}'", hint="one of " + ", ".join(STYLES))
