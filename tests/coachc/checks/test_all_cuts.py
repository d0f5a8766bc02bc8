"""Every partition of known networks, cut and recomposed; and that a wrong half does not pass."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from coachc.checks import all_cuts
from coachc.errors import CheckFailure
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain, inception, residual
from coachc.passes.cut import split
from tests.helpers.bundles import save
from tests.helpers.commands import succeed
from tests.helpers.light import up_to_concat, with_weights
from tests.helpers.narrow import in_float16, through_bfloat16
from tests.helpers.real_data import needs_data, weights


def cut_everywhere(path) -> tuple[int, int]:
    """Number of partitions, and of tensors in the largest cut; their halves give what the whole gives."""
    said = succeed("check", path, "--all-cuts")
    found = re.search(r"all partitions: (\d+) cut and recomposed, up to (\d+) tensors, .* difference (\S+)", said)
    assert found, said
    assert float(found[3]) <= 1e-5
    return int(found[1]), int(found[2])


# The full partition has no cut, so each number is one less than that of the ideals. What comes after these Concats is
# more of the same: 246 and 499 cuts in all.
@pytest.mark.parametrize(
    ("name", "concats", "cuts", "tensors"),
    [("densenet121", 12, 53, 2), ("inception_v1", 3, 170, 4), ("resnet50", None, 57, 2), ("squeezenet", None, 47, 2)],
)
def test_every_cut_of_a_known_topology(name, concats, cuts, tensors, tmp_path):
    path = with_weights(name, tmp_path)
    assert cut_everywhere(path if concats is None else up_to_concat(path, concats)) == (cuts, tensors)
    path.unlink()


@needs_data
def test_every_cut_of_a_trained_network():
    assert cut_everywhere(weights("cifar10_resnet20")) == (23, 2)


@pytest.mark.parametrize("make", [in_float16, through_bfloat16])
@pytest.mark.parametrize("net", [chain, inception, residual])
def test_halves_of_narrow_floats_are_the_model_to_the_last_digit(net, make, tmp_path):
    """What they are compared with stores what crosses; that moves a model of float16 by less than its type's bound."""
    model = import_model(save(make(net()), tmp_path / "net.onnx"))
    (finding,) = all_cuts.check_all_cuts(model)
    assert finding.detail.endswith("largest relative difference 0.0e+00") or "not cut" in finding.detail


def wrong_split(change):
    """`passes.cut.split` with something done to the cloud half."""

    def split_wrongly(model, graph, mask):
        device, cloud = split(model, graph, mask)
        change(cloud)
        return device, cloud

    return split_wrongly


def change_weight(cloud: onnx.ModelProto) -> None:
    for tensor in cloud.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((array * np.float32(1.001)).astype(array.dtype), tensor.name))


def skip_relu(cloud: onnx.ModelProto) -> None:
    for node in cloud.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Identity"


NARROW = {"float32": lambda model: model, "float16": in_float16, "bfloat16": through_bfloat16}


@pytest.mark.parametrize("make", NARROW.values(), ids=NARROW)
@pytest.mark.parametrize("change", [change_weight, skip_relu])
def test_a_wrong_half_is_found(change, make, tmp_path, monkeypatch):
    model = import_model(save(make(inception()), tmp_path / "net.onnx"))
    monkeypatch.setattr(all_cuts, "split", wrong_split(change))
    with pytest.raises(CheckFailure, match="output 'logits' differs at cut at input") as caught:
        all_cuts.check_all_cuts(model)
    assert caught.value.context[1] == "admissible 1e-05"


def test_a_half_the_checker_refuses_is_found(tmp_path, monkeypatch):
    def undefined_input(cloud):
        cloud.graph.node[0].input[0] = "nowhere"

    model = import_model(save(chain(), tmp_path / "net.onnx"))
    monkeypatch.setattr(all_cuts, "split", wrong_split(undefined_input))
    with pytest.raises(CheckFailure, match="onnx's checker refuses a half, cut at input") as caught:
        all_cuts.check_all_cuts(model)
    assert "nowhere" in caught.value.context[0]


def test_beyond_the_limit_the_prefixes_are_checked_and_it_is_said(tmp_path):
    model = import_model(save(inception(), tmp_path / "net.onnx"))
    seen = []
    (finding,) = all_cuts.check_all_cuts(model, limit=10, advance=lambda done, total: seen.append((done, total)))
    assert re.match(r"more than \d+ partitions: the prefixes of the node order: \d+ cut", finding.detail)
    assert seen[0][0] == 0
    assert len(seen) == seen[0][1]


def test_what_time_allows_is_spread_over_the_model_and_said(tmp_path, monkeypatch):
    model = import_model(save(inception(), tmp_path / "net.onnx"))
    clock = iter(range(1000))
    monkeypatch.setattr(all_cuts.time, "monotonic", lambda: next(clock))
    (finding,) = all_cuts.check_all_cuts(model, seconds=8)
    assert re.match(r"8 of \d+ partitions, spread over the model, in 8 s: 8 cut and recomposed", finding.detail)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_the_order_has_every_place_once_and_no_gap_that_time_would_leave(count):
    order = list(all_cuts.spread(count))
    assert sorted(order) == list(range(count))
    for seen in range(2, count):
        places = sorted(order[:seen])
        gaps = [after - before for before, after in zip(places, [*places[1:], count], strict=True)]
        assert max(gaps) <= 4 * count / seen


def test_values_that_are_not_finite_prove_nothing(tmp_path):
    proto = chain()
    tensor = proto.graph.initializer[-1]
    array = np.full_like(numpy_helper.to_array(tensor), np.inf)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    model = import_model(save(proto, tmp_path / "net.onnx"))
    (finding,) = all_cuts.check_all_cuts(model)
    assert "no number of the outputs is finite on these inputs, so that this says little" in finding.detail


def test_a_wrong_cut_shows_beside_values_that_are_not_finite(tmp_path, monkeypatch):
    """One channel is infinite; the others are compared, and an infinity on one side only is a difference."""
    proto = chain()
    tensor = proto.graph.initializer[-1]
    array = numpy_helper.to_array(tensor).copy()
    array[..., 0] = np.inf
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    model = import_model(save(proto, tmp_path / "net.onnx"))
    assert "says little" not in all_cuts.check_all_cuts(model)[0].detail
    run = all_cuts.run_halves
    for change in (lambda a: a * np.float32(1.001), lambda a: np.nan_to_num(a, posinf=3, neginf=3, nan=3)):
        monkeypatch.setattr(
            all_cuts, "run_halves", lambda *half, change=change: {n: change(a) for n, a in run(*half).items()}
        )
        with pytest.raises(CheckFailure, match="differs at cut at"):
            all_cuts.check_all_cuts(model)


def test_one_partition_is_cut_however_little_time_there_is(tmp_path):
    model = import_model(save(chain(), tmp_path / "net.onnx"))
    assert re.match(
        r"1 of \d+ partitions, .*: 1 cut and recomposed", all_cuts.check_all_cuts(model, seconds=-5)[0].detail
    )
