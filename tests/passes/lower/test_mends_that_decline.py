"""Nodes that no exact rewrite mends stay as they are, and are still refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from coachc.cost.device_files import find_device
from coachc.emit.lowering import lowered_for
from coachc.frontend.onnx_import import import_model
from coachc.targets.rules import errors
from coachc.targets.target import target_of
from tests.helpers.assertions.pairs import one
from tests.helpers.onnx_models import constant, info

_K = [constant("k", [1])]


def _power(exponent, **more) -> onnx.ModelProto:
    weights = [] if exponent is None else [constant("e", exponent)]
    return one("Pow", "x e", x=((2, 3), "int32"), weights=weights, **more)


def _scatter(op_type: str, x, indices, u, **attributes) -> onnx.ModelProto:
    computed = isinstance(indices, onnx.ValueInfoProto)
    weights = [] if computed else [constant("i", indices)]
    more = [info("u", u), *([indices] if computed else [])]
    return one(op_type, "x i u", x=(x, "float32"), weights=weights, more=more, opset=16, **attributes)


CASES = {
    "computed exponent of integers": (_power(None, more=[info("e", (), "int32")]), "tx2"),
    "large exponent of integers": (_power(17), "tx2"),
    "negative exponent of integers": (_power(-1), "orin-nano"),
    "fraction as exponent of integers": (_power(np.float32(0.5)), "orin-nano"),
    "several exponents of integers": (_power([1, 2, 3]), "tx2"),
    "product of large integer matrices": (
        one("MatMul", "x w", x=((512, 512), "int32"), more=[info("w", (512, 512), "int32")]),
        "tx2",
    ),
    "many integers to sort": (one("TopK", "x k", "v i", x=((4096,), "int32"), weights=_K), "tx2"),
    "sum at one place": (_scatter("ScatterND", (4,), [[1], [-3]], (2,), reduction="add"), "xavier-nx"),
    "sum at one element": (_scatter("ScatterElements", (4,), [1, -3], (2,), reduction="add"), "xavier-nx"),
    "sum at computed places": (
        _scatter("ScatterND", (4,), info("i", (2, 1), "int64"), (2,), reduction="add"),
        "orin-nano",
    ),
    "many values at few places": (_scatter("ScatterElements", (2,), [0, 1] * 70, (140,)), "xavier-nx"),
    "an ellipsis of three operands": (
        one(
            "Einsum", "x a b", x=((2, 2), "float32"), more=[info("a", (2, 2)), info("b", (2, 2))], equation="...i,ij,jk"
        ),
        "tx2",
    ),
    "integers as bytes": (one("Cast", x=((4,), "int32"), to=TensorProto.UINT8), "xavier-nx"),
}


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("name", CASES)
def test_it_stays_and_is_refused(name, tmp_path):
    proto, device = CASES[name]
    onnx.save(proto, tmp_path / "m.onnx")
    given, spec = import_model(str(tmp_path / "m.onnx")).proto, find_device(device, side="device")
    before = {found.limit for found in errors(given, target_of(spec))}
    after = lowered_for(given, [spec]).model
    assert before
    assert {found.limit for found in errors(after, target_of(spec))} <= before
    assert errors(after, target_of(spec))
