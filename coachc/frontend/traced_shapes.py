"""Shapes by inference, held against a run: where the two differ, the run is right.

Two kinds are known, and written so that both agree. onnx's inference multiplies Resize's scales exactly and rounds
down, ONNX Runtime multiplies in float32: 30 rows times 0.7 are 20 for one and 21 for the other; such a Resize gets the
sizes that the run shows in place of its scales. A pool in ceil mode loses its last window in ONNX Runtime where that
would start in the padding, not in inference; it is the pool that rounds down. What differs still, or elsewhere, is an
error that names the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx

from coachc.core.graph import Value
from coachc.errors import ModelError
from coachc.frontend import ort, walk
from coachc.frontend.opset import same, with_outputs
from coachc.frontend.order import fresh
from coachc.frontend.shapes import Shape

#: Values of one run together; beyond it, the model is run again for the others.
MAX_BYTES = 1 << 30


def hold_shapes(model: onnx.ModelProto, values: Mapping[str, Value]) -> onnx.ModelProto:
    """Compare the static shapes of a model's values with those of a run on seeded inputs.

    Parameters
    ----------
    model : ModelProto
        As `value_table.trace_values` leaves it.
    values : mapping of str to Value
        Its table.

    Returns
    -------
    ModelProto
        `model` itself where all agree; else a copy whose first contradicted Resize states its sizes, to be inferred
        anew and held again.

    Raises
    ------
    ModelError
        The shape of a value of another operator differs, or sizes compute something else; names the node.

    Notes
    -----
    Nothing is compared where the model cannot be run: without onnxruntime, or where it fails on seeded inputs, which
    it need not do on real ones.
    """
    if not ort.available():
        return model
    made = {name: node for node in model.graph.node for name in node.output if name}
    names = [name for name, value in values.items() if name in made and value.cuttable]
    try:
        runs = {name: shape for part in _parts(names, values) for name, shape in _shapes(model, part).items()}
    except ModelError:
        return model
    for name in names:  # in topological order: what is below the first is contradicted with it
        if runs[name] != values[name].shape:
            return _rewritten(model, made[name], values[name].shape, runs[name])
    return model


def _parts(names: list[str], values: Mapping[str, Value]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for name in names:
        if part and size + values[name].size_bytes > MAX_BYTES:
            yield part
            part, size = [], 0
        part.append(name)
        size += values[name].size_bytes
    if part:
        yield part


def _shapes(model: onnx.ModelProto, names: list[str]) -> dict[str, Shape]:
    loaded = ort.session(with_outputs(model, tuple(names)))
    return ort.shapes_of_run(loaded, ort.seeded_inputs(model, seed=0))


def _rewritten(model: onnx.ModelProto, node: onnx.NodeProto, inferred: Shape, found: Shape) -> onnx.ModelProto:
    """A copy in which the node is written so that inference tells what the run shows, checked by another run."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    changed = next(one for one in result.graph.node if one.name == node.name)
    rewrite = None if node.domain or len(inferred) != len(found) else _REWRITES.get(node.op_type)
    if rewrite is not None:
        rewrite(result, changed, found)
        _forget_shapes(result)
        name, feed = node.output[0], ort.seeded_inputs(model, seed=0)
        before, after = (ort.run(with_outputs(one, (name,)), feed, (name,))[name] for one in (model, result))
    if rewrite is None or changed == node or not same(before, after):
        raise ModelError(
            f"the output of {walk.label(node)} has another shape in a run than onnx infers",
            context=(f"inferred     {_times(inferred)}", f"a run gives  {_times(found)}"),
            hint="write the operator so that its output's shape is plain (Resize with sizes, pools without ceil_mode)",
        )
    return result


def _state_sizes(model: onnx.ModelProto, node: onnx.NodeProto, found: Shape) -> None:
    axes = walk.attribute(node, "axes") or range(len(found))
    name = fresh(f"{node.output[0]}_sizes", {name for inner in walk.graphs(model.graph) for name in walk.made(inner)})
    sizes = np.array([found[axis] for axis in axes], np.int64)
    model.graph.initializer.append(onnx.numpy_helper.from_array(sizes, name))
    node.input[:] = [*node.input[:2], "", name]


def _round_down(model: onnx.ModelProto, node: onnx.NodeProto, found: Shape) -> None:
    kept = [entry for entry in node.attribute if entry.name != "ceil_mode"]
    del node.attribute[:]
    node.attribute.extend(kept)


_REWRITES = {"Resize": _state_sizes, "MaxPool": _round_down, "AveragePool": _round_down, "LpPool": _round_down}


def _forget_shapes(model: onnx.ModelProto) -> None:
    """Drop what was inferred of values, graph outputs included: it follows from the shape that was wrong."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a scalar"
