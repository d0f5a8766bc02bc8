"""The passes of import keep the laws of passes, on models of every kind."""

from __future__ import annotations

import pytest

from coachc.frontend.conditions import IMPORTED, WEIGHTS_INLINE
from coachc.frontend.import_passes import READ, import_pass_names, import_passes
from coachc.frontend.onnx_import import import_model
from coachc.frontend.pass_driver import held_after, run_passes
from coachc.frontend.read import read_model
from tests.helpers.halves import GRAPHS, ODD
from tests.helpers.light import shipped
from tests.helpers.onnx_models import info, op
from tests.helpers.pass_laws import assert_laws, bytes_of
from tests.helpers.quantized import on_codes
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")

LIGHT = ("bvlc_alexnet", "inception_v1", "shufflenet", "squeezenet")


def codes_without_a_form():
    """The average pool is written anew; the global one has its channels last, which stays as it is."""
    inner = op("QLinearAveragePool", "qa sa za sq zq", "m", domain="com.microsoft", kernel_shape=[2, 2])
    last = "QLinearGlobalAveragePool"
    return on_codes(
        [inner, op(last, "m sq zq sq zq", "q", domain="com.microsoft", channels_last=1)], {"a": (1, 4, 8, 8)}
    )


MODELS = {**GRAPHS, **ODD, "transformer": transformer, "codes without a form": codes_without_a_form}


@pytest.mark.parametrize("name", MODELS)
def test_laws_on_small_models(name, onnxes):
    assert_import(onnxes.save(MODELS[name]()))


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17, 21])
def test_laws_at_every_opset(opset, onnxes):
    assert_import(onnxes.save(onnxes.convnet(opset)))


@pytest.mark.parametrize("name", LIGHT)
def test_laws_on_known_topologies(name):
    assert_import(shipped(name))


def assert_import(path):
    source = read_model(path).proto
    made = assert_laws(import_passes(), source, (WEIGHTS_INLINE,))
    assert bytes_of(made) == bytes_of(import_model(path).proto)


def test_what_import_ensures_is_what_lowering_may_ask_for():
    assert set(held_after(import_passes(), (WEIGHTS_INLINE,))) == set(IMPORTED)


def test_observers_hear_of_reading_and_of_every_pass(onnxes):
    steps = []
    model = import_model(onnxes.save(onnxes.convnet(11)), batch=1, observers=[steps.append])
    assert tuple(step.name for step in steps) == import_pass_names()
    assert {step.stage for step in steps} == {"import"}
    assert (steps[0].name, steps[0].changed) == (READ, True)
    assert {step.name for step in steps if step.changed} == {READ, "normalize", "lift"}
    assert steps[-1].model == model.proto


def test_what_has_no_form_is_said(onnxes):
    steps = []
    import_model(onnxes.save(codes_without_a_form()), observers=[steps.append])
    (declined,) = next(step.rejected for step in steps if step.name == "as-qdq")
    assert "QLinearGlobalAveragePool" in declined.what
    assert declined.reason == "it has no form of operators on real numbers"


def test_a_failure_names_its_pass(onnxes):
    net = onnxes.model([onnxes.node("Nonsense", ["x"], ["y"])], ["x"], ["y"])
    with pytest.raises(Exception, match="no operator of") as caught:
        import_model(onnxes.save(net))
    assert caught.value.__notes__ == ["in pass 'refuse-operators' of import"]


def test_an_input_shape_that_was_stated_is_bound_once(onnxes):
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"])], [info("x", ("n", 4, "h", 8))], ["y"])
    passes = import_passes(batch=2, input_shapes={"x": (3, 4, 6, 8)})
    made = assert_laws(passes, net, (WEIGHTS_INLINE,))
    assert [dim.dim_value for dim in made.graph.input[0].type.tensor_type.shape.dim] == [3, 4, 6, 8]
    assert run_passes(passes, net, given=(WEIGHTS_INLINE,)).values["x"].shape == (3, 4, 6, 8)
