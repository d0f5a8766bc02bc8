"""Whole networks lowered to opset 13 and written in half precision, compared with themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import pytest

from coachc.frontend.onnx_import import import_model
from coachc.passes.lower.agree import difference
from coachc.passes.lower.half import to_fp16
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_model import lower
from tests.helpers import light
from tests.helpers.halves import GRAPHS
from tests.helpers.onnx_models import imported

TX2 = Limits("TensorRT 8.2 on tx2", 13, quantization="none")
#: Left beside the checkout on some machines; nothing is skipped quietly where they are.
REAL = Path(__file__).parents[4] / "shared" / "data" / "weights"

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.mark.parametrize("opset", [17, 20, 23])
@pytest.mark.parametrize("name", GRAPHS)
def test_operators_that_did_not_change_compute_bit_for_bit_the_same(name, opset, tmp_path):
    model, _ = imported(GRAPHS[name](opset=opset), tmp_path)
    lowered = lower(model.proto, TX2)
    assert lowered.opset == 13
    assert difference(model.proto, lowered.model, seeds=range(2)) == 0


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "densenet121"])
def test_known_topologies_from_opset_20(name, tmp_path):
    raised = onnx.version_converter.convert_version(onnx.load(light.with_weights(name, tmp_path)), 20)
    path = tmp_path / "raised.onnx"
    onnx.save(raised, path)
    model = import_model(path)
    assert model.opset == 20
    lowered = lower(model.proto, TX2)
    # ONNX Runtime has one kernel for AveragePool before opset 19 and another since: they add up in another order.
    assert difference(model.proto, lowered.model) < 1e-6


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("name", "opset"), [("mobilenet_v2", 20), ("squeezenet1_1", 18)])
def test_torch_exports(name, opset, tmp_path):
    from coachc.models import zoo

    zoo.export_model(name, tmp_path / "net.onnx", opset=opset)
    model = import_model(tmp_path / "net.onnx")
    lowered = lower(model.proto, TX2)
    assert (lowered.source_opset, lowered.opset) == (opset, 13)
    assert difference(model.proto, lowered.model) == 0
    halved = to_fp16(lowered.model)
    assert difference(model.proto, halved.model) < 0.02


@pytest.mark.parametrize("path", sorted(REAL.glob("*.onnx")), ids=lambda path: path.stem)
def test_trained_networks_in_half_precision(path):
    model = import_model(path)
    assert not lower(model.proto, TX2).changed
    halved = to_fp16(model.proto)
    assert np.isfinite(difference(model.proto, halved.model))
    assert difference(model.proto, halved.model, seeds=range(2)) < 0.02
