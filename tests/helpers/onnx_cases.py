"""onnx's own tests of its operators, as models."""

from __future__ import annotations

import warnings
from functools import cache

import onnx


@cache
def onnx_cases() -> dict[str, onnx.ModelProto]:
    """The models of onnx's own operator tests, which its package makes on demand."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case.model for case in collect_testcases(None) if case.model is not None}
