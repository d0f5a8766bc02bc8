"""The table of values: dtype and shape of each, and whether a static half can take it as an input.

Shapes come from onnx's inference first, then from ONNX Runtime's own (it knows its com.microsoft operators), then from
two runs on different random inputs. A shape that only runs have shown is believed when both agree and no operator
upstream makes shapes out of data.
"""

from __future__ import annotations

import numpy as np
import onnx

from coachc.core.graph import ITEM_BYTES, Value
from coachc.frontend import ort, walk
from coachc.frontend.opset import with_outputs
from coachc.frontend.shapes import Shape, known_values, static_shape

# Operators whose output shape depends on the contents of their inputs. Two equal runs prove nothing below them.
_FROM_DATA = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress", "If", "Loop", "Scan", "SequenceMap"})
# These are shaped by an input that names sizes; fed by data, they are as unpredictable.
_SHAPE_INPUT = frozenset(
    {"Range", "ConstantOfShape", "Expand", "Reshape", "Resize", "Slice", "Tile", "TopK", "Pad", "OneHot"}
)
_UNKNOWN = "unknown"


def trace_values(model: onnx.ModelProto) -> tuple[dict[str, Value], onnx.ModelProto]:
    """Table of values, and the model with every static shape written down.

    Parameters
    ----------
    model : ModelProto
        Inferred, folded, static input shapes.

    Returns
    -------
    values : dict of str to Value
        Graph inputs, node outputs that depend on one, and graph outputs, in topological order.
    model : ModelProto
        A copy whose `value_info` holds the static values, and whose outputs all have a type and a rank where known.

    Raises
    ------
    ToolchainError
        A shape needs a run and onnxruntime is not installed.
    ModelError
        ONNX Runtime cannot load or run the model.
    """
    graph = model.graph
    known = known_values(model)
    listed = _dependent(graph)
    static = {name: shape for name, value in known.items() if (shape := static_shape(value)) is not None}
    missing = tuple(name for name in listed if name not in static and _may_be_tensor(known.get(name)))
    declared, first, second = _trace(model, missing) if missing else ({}, {}, {})
    types = {name: _dtype(value) for name, value in known.items()}
    for name, (dtype, shape) in declared.items():
        types[name] = dtype
        if shape is not None:
            static[name] = shape

    weights = {tensor.name for tensor in graph.initializer}
    tainted: set[str] = set()
    values: dict[str, Value] = {}
    for node in graph.node:
        from_data = (not node.domain and node.op_type in _FROM_DATA) or bool(tainted.intersection(walk.reads(node)))
        if not node.domain and node.op_type in _SHAPE_INPUT:
            from_data = from_data or any(name and name not in weights for name in node.input[1:])
        for name in node.output:
            if name and name not in static and name in missing:
                if not from_data and name in first and first[name] == second[name]:
                    static[name] = first[name]
                else:
                    tainted.add(name)
            elif name and name not in static:
                tainted.add(name)
    for name in listed:
        dtype = types.get(name, _UNKNOWN)
        shape = static.get(name, first.get(name, ()))
        # What NumPy has no type for cannot be sent.
        values[name] = Value(name, dtype, shape, cuttable=name in static and dtype in ITEM_BYTES.keys() - {"bfloat16"})
    return values, _write_shapes(model, values, static, frozenset(first))


def _dependent(graph: onnx.GraphProto) -> tuple[str, ...]:
    names = dict.fromkeys(value.name for value in graph.input)
    for node in graph.node:
        if any(name in names for name in walk.reads(node)):
            names.update(dict.fromkeys(name for name in node.output if name))
    names.update(dict.fromkeys(value.name for value in graph.output))
    return tuple(names)


def _may_be_tensor(value: onnx.ValueInfoProto | None) -> bool:
    return value is None or value.type.WhichOneof("value") in (None, "tensor_type")


def _dtype(value: onnx.ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return kind.removesuffix("_type") if kind else _UNKNOWN
    element = value.type.tensor_type.elem_type
    return onnx.helper.tensor_dtype_to_np_dtype(element).name if element else _UNKNOWN


_ORT_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    "tensor(bfloat16)": "bfloat16",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _trace(
    model: onnx.ModelProto, names: tuple[str, ...]
) -> tuple[dict[str, tuple[str, Shape | None]], dict[str, Shape], dict[str, Shape]]:
    """Type and shape as ONNX Runtime infers them, and the shapes that two runs show."""
    loaded = ort.session(with_outputs(model, names))
    declared: dict[str, tuple[str, Shape | None]] = {}
    for output in loaded.get_outputs():
        shape = output.shape
        whole = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
        # An unknown rank is reported as [], like a scalar: believe [] only after a run.
        declared[output.name] = (_ORT_TYPES.get(output.type, output.type), tuple(shape) if whole and shape else None)
    # NumPy has no bfloat16 of its own, so such results do not come back from a run.
    open_names = tuple(
        name for name, (dtype, shape) in declared.items() if shape is None and dtype in ITEM_BYTES.keys() - {"bfloat16"}
    )
    if not open_names:
        return declared, {}, {}
    shapes = []
    for seed in (0, 1):
        results = ort.run_session(loaded, ort.seeded_inputs(model, seed), open_names)
        shapes.append({name: array.shape for name, array in results.items() if isinstance(array, np.ndarray)})
    return declared, shapes[0], shapes[1]


def _write_shapes(
    model: onnx.ModelProto, values: dict[str, Value], static: dict[str, Shape], ran: frozenset[str]
) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    info = {value.name: value for value in model.graph.value_info}
    outputs = {value.name for value in graph.output} | {value.name for value in graph.input}
    kept = []
    for node in model.graph.node:
        for name in node.output:
            if name in outputs or name not in static:
                continue
            if name in info and static_shape(info[name]) is not None:
                kept.append(info[name])
            elif name in values and values[name].dtype in ITEM_BYTES:
                kept.append(tensor_info(values[name]))
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for output in graph.output:
        value = values[output.name]
        if static_shape(output) is None and value.dtype in ITEM_BYTES and (output.name in static or output.name in ran):
            output.type.CopyFrom(tensor_info(value, known=output.name in static).type)
    return result


def tensor_info(value: Value, *, known: bool = True) -> onnx.ValueInfoProto:
    """A value as a graph states it; without its sizes where they are not `known`."""
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype)) if value.dtype != "bfloat16" else 16
    return onnx.helper.make_tensor_value_info(value.name, element, value.shape if known else [None] * len(value.shape))
