"""A model as text: short tensors are there, long ones are not, wherever they are."""

from __future__ import annotations

import numpy as np
from onnx import helper

from coachc.core.plan import Rejected
from coachc.frontend.model_text import model_text, step_text
from coachc.frontend.pass_driver import Step
from tests.helpers.halves import captured_in_if
from tests.helpers.onnx_models import constant, net, op, random_weight


def shown():
    weights = [random_weight("w", 4, 4, 3, 3), constant("short", [7, 8], "int64")]
    nodes = [
        op("Conv", "x w", "a", pads=[1] * 4),
        helper.make_node("Constant", [], ["k"], value=constant("long", np.arange(999, 1040), "float32")),
        op("Add", "a k", "y"),
    ]
    return net(nodes, ["x"], ["y"], weights)


def test_long_tensors_are_left_out():
    model = shown()
    before = model.SerializeToString()
    text = model_text(model)
    assert "float[4,4,3,3] w = {...}" in text
    assert "int64[2] short =  {7,8}" in text
    assert "float[41] long{...}" in text
    assert "999" not in text
    assert '["Conv.a"] a = Conv <pads: ints = [1, 1, 1, 1]> (x, w)' in text
    assert model.SerializeToString() == before


def test_so_they_are_in_bodies():
    model = captured_in_if()
    branch = next(node for node in model.graph.node if node.op_type == "If").attribute[0].g
    branch.initializer.append(constant("inner", np.arange(999, 1040), "float32"))
    assert "inner = {...}" in model_text(model)


def test_a_step_begins_with_what_it_came_to():
    step = Step("import", "fold", shown(), 0.25, True, (Rejected("node 'n' (Conv)", "it is too long"),))
    first, second, third = step_text(step).splitlines()[:3]
    assert first == "# import, after fold: 3 nodes, opset 13, 2 initializers of 592 bytes, changed, 0.250 s"
    assert second == "# node 'n' (Conv) stays as it is: it is too long"
    assert third == "<"
    assert ", unchanged, " in step_text(Step("import", "fold", shown(), 0.0, False))
