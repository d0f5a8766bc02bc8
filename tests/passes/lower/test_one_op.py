"""Every operator that is rewritten, alone in random models: what it computes stays."""

from __future__ import annotations

import zlib

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from coachc.frontend import ort
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_model import lower
from tests.helpers import one_op

pytestmark = pytest.mark.needs("onnxruntime")

SEEDS = 12
#: Float rounding where an operator is computed in other steps; for float16 outputs one unit in the last place.
TOLERANCE = {"float32": 2e-6, "float64": 1e-12, "float16": 1e-3}


def models(case: one_op.Case, name: str):
    for seed in range(SEEDS):
        yield seed, case(np.random.default_rng([seed, zlib.crc32(name.encode())]))


def evaluate(model: onnx.ModelProto, feed):
    """By ONNX Runtime, or by onnx's reference evaluator where ONNX Runtime has no kernel."""
    if {node.op_type for node in model.graph.node} & {"Swish"}:
        names = [value.name for value in model.graph.output]
        return dict(zip(names, ReferenceEvaluator(model).run(names, feed), strict=True))
    return ort.run(model, feed)


def same(before: onnx.ModelProto, after: onnx.ModelProto, where: str) -> None:
    feed = ort.seeded_inputs(before, 7)
    expected, found = evaluate(before, feed), ort.run(after, feed)
    for name, wanted in expected.items():
        assert found[name].dtype == wanted.dtype, where
        assert found[name].shape == wanted.shape, where
        if wanted.dtype.kind == "f":
            scale = max(1.0, float(np.nanmax(np.abs(wanted), initial=0.0)))
            tolerance = TOLERANCE[wanted.dtype.name] * scale
            np.testing.assert_allclose(
                found[name].astype(float), wanted.astype(float), rtol=0, atol=tolerance, err_msg=where
            )
        else:
            np.testing.assert_array_equal(found[name], wanted, err_msg=where)


@pytest.mark.parametrize("name", one_op.TO_13)
@pytest.mark.parametrize("opset", [13, 17])
def test_an_older_opset_computes_the_same(name, opset):
    for seed, model in models(one_op.TO_13[name], name):
        lowered = lower(model, Limits("TensorRT", opset))
        assert lowered.model.opset_import[0].version == opset
        onnx.checker.check_model(lowered.model, full_check=True)
        same(model, lowered.model, f"{name}, seed {seed}")
        again = lower(lowered.model, Limits("TensorRT", opset))
        assert again.model is lowered.model
        assert not again.changed


@pytest.mark.parametrize("name", one_op.PARTS)
def test_an_operator_that_the_target_lacks_is_taken_apart(name):
    for seed, model in models(one_op.PARTS[name], name):
        lacking = name.split(",")[0]
        have = {s.name for s in onnx.defs.get_all_schemas()} - {lacking}
        limits = Limits("TensorRT", 27, operators=frozenset(have))
        lowered = lower(model, limits)
        assert lacking not in {node.op_type for node in lowered.model.graph.node}
        same(model, lowered.model, f"{name}, seed {seed}")
        assert not lower(lowered.model, limits).changed
