"""Quantizers as run-time inputs: what a half whose graph holds none is given beside its tensors, so that the precision
can change from task to task.

Per packed value: "<name>/scale" and "<name>/zero_point", and "<name>/qmax" on the device. Two forms, by what a
target's quantizer is made of:

qdq
    For QuantizeLinear and DequantizeLinear: scale float32, zero point uint8, both of shape () or (C,); qmax uint8, ().
arithmetic
    For Div, Round, Clip, Mul: all float32; scale and zero point of shape (1,) or (1, C, 1, ...), of the value's rank;
    qmax (1,).
"""

from typing import Dict, Iterable, Optional

import numpy as np

from .manifest_types import Bits, Cut, CutValue
from .numeric import along_channels

Inputs = Dict[str, np.ndarray]


def quantizer_feed(cut: Cut, side: str, bits: Bits = None) -> Inputs:
    """The quantizer inputs of one half of a cut; nothing where its quantizers are constants.

    Parameters
    ----------
    cut : Cut
    side : {"device", "cloud"}
    bits : int or tuple of int, optional
        For all packed values, or one for each value of the cut (those of others are ignored); else each one's chosen
        precision.

    Raises
    ------
    BundleError
        If a packed value has no quantizer at its `bits`, or there are not as many as values.
    """
    feed: Inputs = {}
    for value, depth in zip(cut.values, cut.precisions(bits)):
        if value.packed:
            feed.update(value_inputs(cut, value, side, depth))
    return feed


def artefact_feed(cuts: Iterable[Cut], path: str) -> Inputs:
    """The quantizer inputs of one artefact at the chosen precisions: those of the cuts and sides that run it."""
    feed: Inputs = {}
    for cut in cuts:
        for side in ("device", "cloud"):
            if path in cut.run_by(side):
                feed.update(quantizer_feed(cut, side))
    return feed


def value_inputs(cut: Cut, value: CutValue, side: str, bits: Optional[int] = None) -> Inputs:
    """The quantizer inputs of one packed value; raises as `quantizer_feed` does."""
    form = cut.device_parameters if side == "device" else cut.cloud_parameters
    level = value.level(bits)
    if not form:
        return {}
    # One shape whatever the precision: per channel if any level is.
    channels = max(len(known.scale) for known in value.levels)
    zero_point_type = np.uint8 if form == "qdq" else np.float32
    feed = {}
    for name, numbers, dtype in (("scale", level.scale, np.float32), ("zero_point", level.zero_point, zero_point_type)):
        array = np.array(numbers if len(numbers) == channels else numbers * channels, dtype=dtype)
        if form == "arithmetic" and channels > 1:
            array = along_channels(array, value.shape, dtype)
        feed[f"{value.name}/{name}"] = array.reshape(()) if form == "qdq" and channels == 1 else array
    if side == "device":
        qmax = (1 << level.bits) - 1
        feed[value.name + "/qmax"] = np.array(qmax if form == "qdq" else [qmax], dtype=zero_point_type)
    return feed
