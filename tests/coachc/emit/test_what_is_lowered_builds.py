"""Lowering never makes of a model that its target takes one that it refuses, whatever the operators: onnx's cases."""

from __future__ import annotations

import zlib

import onnx
import pytest

from coachc.cost.device_files import find_device
from coachc.emit.lowering import lowered_for
from coachc.errors import CoachError
from coachc.frontend.onnx_import import import_model
from coachc.targets.rules import errors
from coachc.targets.target import target_of
from tests.helpers.onnx_cases import onnx_cases

pytestmark = pytest.mark.needs("onnxruntime")

TARGETS = {"tx2": "device", "xavier-nx": "device", "orin-nano": "device", "a6000": "cloud"}
#: One of so many cases; all of them take two minutes and were right when this was written.
PART = 10


def test_what_is_lowered_builds_or_was_refused_before(tmp_path):
    path, tried, lowered = tmp_path / "m.onnx", 0, 0
    for name, case in onnx_cases().items():
        if zlib.crc32(name.encode()) % PART:
            continue
        onnx.save(case, path)
        try:
            model = import_model(path).proto
        except CoachError:
            continue
        tried += 1
        for device, side in TARGETS.items():
            spec = find_device(device, side=side)
            before = {one.rule for one in errors(model, target_of(spec)) if not one.rule.endswith("/opset")}
            try:
                found = lowered_for(model, [spec])
            except CoachError:
                continue
            lowered += found.changed
            after = [one.rule for one in errors(found.model, target_of(spec))]
            assert not after or before, (name, device, after)
    assert tried > 100 < lowered
