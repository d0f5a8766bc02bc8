"""Models opened again run any number of tasks as ONNX Runtime runs the file; what they cannot is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.frontend import ort
from coachc.frontend.onnx_import import import_model
from coachc.passes.batch.open_batch import AXIS_NAME, open_batch
from coachc.passes.batch.rows import first_mixing
from coachc.passes.batch.two_sizes import TASKS, FixedBatch
from tests.helpers.batches import FIXED, OPEN, fixed
from tests.helpers.bundles import save

pytestmark = pytest.mark.needs("onnxruntime")


def opened(path):
    one, many = (import_model(path, batch=tasks).proto for tasks in (1, TASKS))
    return many, *open_batch(one, many), one


@pytest.mark.parametrize("name", OPEN)
def test_any_number_of_tasks(name, tmp_path):
    path = save(OPEN[name](), tmp_path / "m.onnx")
    many, result, grown, _ = opened(path)
    onnx.checker.check_model(result, full_check=True)
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (*result.graph.input, *result.graph.output)] == [
        AXIS_NAME
    ] * (len(result.graph.input) + len(result.graph.output))
    assert first_mixing(many, grown) == ""
    source, session = ort.session(onnx.load(path)), ort.session(result)
    for tasks in (1, 2, 3, 8):
        feed = ort.seeded_inputs(import_model(path, batch=tasks).proto, tasks)
        expected, found = ort.run_session(source, feed), ort.run_session(session, feed)
        for output, wanted in expected.items():
            assert wanted.shape[0] == tasks
            np.testing.assert_array_equal(found[output], wanted)


def test_a_model_that_computes_no_shape_stays_as_it_is(tmp_path):
    _, result, _, one = opened(save(OPEN["plain"](), tmp_path / "m.onnx"))
    assert [node.SerializeToString() for node in result.graph.node] == [
        node.SerializeToString() for node in one.graph.node
    ]
    assert result.graph.initializer == one.graph.initializer


@pytest.mark.parametrize("name", [name for name in FIXED if "depends on the others" in FIXED[name][1]])
def test_tasks_that_see_each_other_are_found(name, tmp_path):
    many, _, grown, _ = opened(save(fixed(name), tmp_path / "m.onnx"))
    mixing = first_mixing(many, grown)
    assert mixing.endswith(f"({FIXED[name][0]})")


@pytest.mark.parametrize(
    "name", [name for name in FIXED if "tasks" in FIXED[name][1] and FIXED[name][0] in ("Mul", "MatMul", "Add")]
)
def test_what_follows_from_the_number_of_tasks_is_named(name, tmp_path):
    with pytest.raises(FixedBatch) as caught:
        opened(save(fixed(name), tmp_path / "m.onnx"))
    operator, reason = FIXED[name]
    assert f"({operator})" in caught.value.node
    assert reason in caught.value.reason
