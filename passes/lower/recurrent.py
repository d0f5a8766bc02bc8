"""LSTM, GRU and RNN before opset 14: the time axis comes first."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def time_first(node: onnx.NodeProto, b: Builder) -> None:
    """`layout` = 0 is what there was."""
    if b.attribute("layout", 0):
        raise CannotLower("layout = 1: the batch comes before the time", "export with batch_first=False")
    b.keep(drop=["layout"])
