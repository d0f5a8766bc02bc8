"""The passes of lowering keep the laws of passes, and observers hear of each."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.errors import InternalError
from coachc.frontend.pass_driver import held_after, run_passes
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.rewrite_model import (
    CLOSING_PASSES,
    GIVEN,
    lower,
    lowering_pass_names,
    rewriting_passes,
)
from tests.helpers.halves import GRAPHS, ODD
from tests.helpers.onnx_models import constant, imported, info, net, op, random_weight
from tests.helpers.pass_laws import assert_laws, bytes_of
from tests.helpers.quantized import on_codes
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")

TX2 = Limits("TensorRT 8.2 on tx2", 13, quantization="none", float64=False, negative_indices=False)


def doubles():
    nodes = [op("Cast", "x", "d", to=11), op("Mul", "d k", "e"), op("Cast", "e", "y", to=1)]
    return net(nodes, ["x"], [info("y", (1, 4, 8, 8))], [constant("k", 2.0, "float64")], opset=17)


def codes():
    inner = op("QLinearAveragePool", "qa sa za sq zq", "q", domain="com.microsoft", kernel_shape=[2, 2])
    return on_codes([inner], {"a": (1, 4, 8, 8)})


def from_the_end():
    nodes = [op("Gather", "x i", "g", axis=3), op("Celu", "g", "y")]
    return net(nodes, ["x"], [info("y", (1, 4, 8, 2))], [constant("i", [-1, -2], "int64")], opset=18)


MODELS = {
    **{f"{name} from opset 20": lambda make=make: make(opset=20) for name, make in GRAPHS.items()},
    **ODD, "transformer": transformer, "doubles": doubles, "codes": codes, "negative indices": from_the_end,
}  # fmt: skip


def passes_for(model, limits, refused=None):
    return rewriting_passes(min(limits.opset, model.opset_import[0].version), limits, refused or {}, Tally(model))


@pytest.mark.parametrize("name", MODELS)
def test_laws(name, tmp_path):
    model = imported(MODELS[name](), tmp_path)[0].proto
    passes = passes_for(model, TX2)
    made = assert_laws(passes, model, GIVEN)
    lowered = lower(model, TX2)
    if lowered.changed:
        closed = assert_laws(CLOSING_PASSES, made, held_after(passes, GIVEN))
        assert bytes_of(closed) == bytes_of(lowered.model)
    else:
        assert bytes_of(made) == bytes_of(model)


@pytest.mark.parametrize(("kind", "opset"), [("HardSigmoid", 13), ("HardSwish", 14), ("Celu", 13), ("Gelu", 20)])
def test_laws_where_nodes_are_refused(kind, opset):
    """The last part has the name of what was refused; of HardSigmoid it is a Clip, which has parts itself."""
    model = net([op(kind, "x", "y", name="n")], ["x"], [info("y", (1, 4, 8, 8))], opset=opset)
    made = assert_laws(passes_for(model, Limits("t", opset), refused={"n": ()}), model, GIVEN)
    assert kind not in {node.op_type for node in made.graph.node if node.name == "n"}


def test_what_is_left_of_refused_nodes_is_said():
    """The remainder with the sign of the dividend has no parts; the target has the operator, so it may stay."""
    nodes = [op("Mod", "x k", "y", fmod=1)]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], [constant("k", np.float32(2))])
    steps = []
    lowered = lower(model, TX2, refused={"Mod.y": ()}, observers=[steps.append])
    assert lowered.model is model
    (declined,) = next(step.rejected for step in steps if step.name == "take-apart")
    assert declined.what == "node 'Mod.y' (Mod)"
    assert declined.reason


def test_observers_hear_of_every_pass(tmp_path):
    model = imported(transformer(), tmp_path)[0].proto
    steps = []
    lowered = lower(model, TX2, stage="lower/device.onnx", observers=[steps.append])
    assert tuple(step.name for step in steps) == lowering_pass_names()
    assert {step.stage for step in steps} == {"lower/device.onnx"}
    assert {step.name for step in steps if step.changed} == {"take-apart", "write-older-opset", "finish"}
    assert steps[-1].model == lowered.model


def test_what_is_left_as_it_is_is_neither_finished_nor_checked(tmp_path):
    model = imported(GRAPHS["chain"](), tmp_path)[0].proto
    steps = []
    assert lower(model, TX2, observers=[steps.append]).model is model
    assert tuple(step.name for step in steps) == lowering_pass_names()[:-2]


def test_what_is_given_is_verified_where_somebody_observes():
    unnamed = net([op("Relu", "x", "a"), op("Relu", "a", "y")], ["x"], ["y"], [random_weight("w", 1)])
    unnamed.graph.node[1].name = "Relu.a"
    with pytest.raises(InternalError, match="lower: before the first pass, 'nodes named' does not hold: node"):
        lower(unnamed, TX2, observers=[lambda step: None])


def test_conditions_tell_what_the_target_lacks(tmp_path):
    found = {}
    for name in ("doubles", "codes", "transformer"):
        model = imported(MODELS[name](), tmp_path)[0].proto
        said = {c.name: c.against(model) for one in passes_for(model, TX2) for c in one.ensures}
        found[name] = {condition: text for condition, text in said.items() if text}
    assert found["doubles"]["float64 where the target has it"] == "value 'd'"
    assert "quantizers of the target" in found["codes"]
    assert found["transformer"]["operators of the target"] == "Gelu, LayerNormalization"
    assert found["transformer"]["opset of the target"] == "it has opset 20"


def test_a_chain_of_passes_without_its_middle_is_refused(tmp_path):
    model = imported(transformer(), tmp_path)[0].proto
    _, narrow, quantizers, _, older = passes_for(model, TX2)
    message = "pass 'write-older-opset' requires what none before it ensures: operators of the target"
    with pytest.raises(InternalError, match=message):
        run_passes([narrow, quantizers, older], model, given=GIVEN)
