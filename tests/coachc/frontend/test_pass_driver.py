"""Passes in a row: what they state, what is verified, what observers are told."""

from __future__ import annotations

import onnx
import pytest

from coachc.core.graph import Value
from coachc.core.plan import Rejected
from coachc.errors import InternalError, ModelError
from coachc.frontend.pass_driver import (
    Condition,
    Pass,
    PassResult,
    held_after,
    refusing,
    rewriting,
    run_passes,
)
from tests.helpers.onnx_models import net, op

NAMED_Y = Condition("a graph called y", lambda model: "" if model.graph.name == "y" else f"it is '{model.graph.name}'")
DOCUMENTED = Condition("a documented graph", lambda model: "" if model.graph.doc_string else "nothing is said of it")


def named(name):
    def run(model):
        made = onnx.ModelProto()
        made.CopyFrom(model)
        made.graph.name = name
        return made

    return run


@pytest.fixture
def model():
    return net([op("Relu", "x", "y")], ["x"], ["y"])


def test_passes_run_in_order_on_each_others_models(model):
    found = run_passes([Pass("one", rewriting(named("a"))), Pass("two", rewriting(named("b")))], model)
    assert found.changed
    assert found.model.graph.name == "b"
    assert model.graph.name == "net"


def test_the_very_model_comes_back_where_nothing_changed(model):
    found = run_passes([Pass("copy", rewriting(named("net"))), Pass("look", refusing(lambda model: None))], model)
    assert found.model is model
    assert not found.changed


def test_a_pass_that_refuses_lets_its_error_through_with_a_note(model):
    def refuse(model):
        raise ModelError("no", hint="do")

    with pytest.raises(ModelError, match="no") as caught:
        run_passes([Pass("refuse", refusing(refuse))], model, stage="import")
    assert caught.value.__notes__ == ["in pass 'refuse' of import"]
    assert caught.value.render() == "error[model]: no\n  hint: do"


def test_what_a_pass_requires_has_to_be_ensured_before_it(model):
    late = [Pass("needs", rewriting(named("z")), requires=(NAMED_Y, DOCUMENTED)), Pass("gives", rewriting(named("y")))]
    ran = []
    message = "pass 'needs' requires what none before it ensures: a graph called y, a documented graph"
    with pytest.raises(InternalError, match=message):
        run_passes([Pass("first", rewriting(ran.append)), *late], model)
    assert ran == []


def test_what_a_pass_breaks_has_to_be_ensured_again():
    gives = Pass("gives", rewriting(named("y")), ensures=(NAMED_Y,))
    breaks = Pass("breaks", rewriting(named("z")), breaks=(NAMED_Y,))
    needs = Pass("needs", rewriting(named("y")), requires=(NAMED_Y,), ensures=(DOCUMENTED,))
    assert held_after([gives, needs], ()) == [NAMED_Y, DOCUMENTED]
    assert held_after([gives, breaks], [DOCUMENTED]) == [DOCUMENTED]
    assert held_after([breaks, gives, needs], ()) == [NAMED_Y, DOCUMENTED]
    with pytest.raises(InternalError, match="pass 'needs' requires what none before it ensures: a graph called y"):
        held_after([gives, breaks, needs], ())


@pytest.mark.parametrize("verify", [True, None], ids=["asked for", "observed"])
def test_a_promise_that_is_not_kept_is_our_mistake(verify, model):
    passes = [Pass("liar", rewriting(named("z")), ensures=(NAMED_Y,))]
    observers = [] if verify else [lambda step: None]
    message = "import: after pass 'liar', 'a graph called y' does not hold: it is 'z'"
    with pytest.raises(InternalError, match=message):
        run_passes(passes, model, stage="import", observers=observers, verify=verify)
    assert run_passes(passes, model).model.graph.name == "z"


def test_what_is_given_and_what_is_kept_is_verified_too(model):
    message = "import: before the first pass, 'a graph called y' does not hold: it is 'net'"
    with pytest.raises(InternalError, match=message):
        run_passes([], model, given=[NAMED_Y], stage="import", verify=True)
    gives = Pass("gives", rewriting(named("y")), ensures=(NAMED_Y,))
    with pytest.raises(InternalError, match="after pass 'careless', 'a graph called y' does not hold: it is 'z'"):
        run_passes([gives, Pass("careless", rewriting(named("z")))], model, verify=True)
    run_passes([gives, Pass("honest", rewriting(named("z")), breaks=(NAMED_Y,))], model, verify=True)


def test_observers_are_told_of_every_pass(model):
    declined = (Rejected("node", "no form"),)
    table = {"x": Value("x", "float32", (1,))}
    passes = [
        Pass("one", rewriting(named("a"))),
        Pass("two", lambda model: PassResult(model, False, declined, values=table)),
        Pass("three", refusing(lambda model: None)),
    ]
    steps, others = [], []
    found = run_passes(passes, model, stage="lower/device.onnx", observers=[steps.append, others.append])
    assert steps == others
    assert [(step.stage, step.name, step.changed, step.rejected) for step in steps] == [
        ("lower/device.onnx", "one", True, ()),
        ("lower/device.onnx", "two", False, declined),
        ("lower/device.onnx", "three", False, ()),
    ]
    assert [step.model.graph.name for step in steps] == ["a", "a", "a"]
    assert all(step.seconds >= 0 for step in steps)
    assert (found.changed, found.rejected, found.values) == (True, declined, table)
