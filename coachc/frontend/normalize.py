"""One form for what ONNX lets a file say in several ways.

After it there are no model-local functions, sparse initializers, initializers that double as inputs, "ai.onnx"
spelled out, or training and quantization annotations. Order and names are `order`'s; opset, shapes and constants are
not touched.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference

from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.order import order

# A sparse tensor can state any dense size in a few bytes; this is above every vision model's largest weight.
MAX_DENSE_BYTES = 1 << 29


def normalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a model into the one form the rest of the compiler reads.

    Parameters
    ----------
    model : ModelProto
        Weights inline.

    Returns
    -------
    ModelProto
        A copy with the same inputs (but for defaults), outputs and results.

    Raises
    ------
    ModelError
        The model is inconsistent, or a sparse tensor too large; see also `order.order`.
    """
    result = inline_functions(model)
    unify_domains(result)
    for graph in walk.graphs(result.graph):
        _densify(graph)
        _drop_repeats(graph)
        _drop_empty_lists(graph)
        # Names of scales that no runtime reads; they would dangle once a value is renamed or removed.
        del graph.quantization_annotation[:]
    _drop_default_inputs(result.graph)
    del result.training_info[:]
    result = order(result)
    return _drop_unused_domains(result)


def _drop_default_inputs(graph: onnx.GraphProto) -> None:
    """From IR 4 on an initializer need not be an input, and as an input it is only a default."""
    defaults = {tensor.name for tensor in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in defaults:
            del graph.input[index]


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of model-local functions by their nodes; a copy in any case."""
    if not model.functions:
        result = onnx.ModelProto()
        result.CopyFrom(model)
        return result
    try:
        try:
            result = onnx.inliner.inline_local_functions(model, convert_version=True)
        except RuntimeError:
            # A function of another opset is converted first, and that needs the types of what it is called with.
            typed = onnx.shape_inference.infer_shapes(model)
            result = onnx.inliner.inline_local_functions(typed, convert_version=True)
    except Exception as exc:  # the C++ inliner raises RuntimeError and its own kinds
        raise ModelError(
            "the model's local functions cannot be inlined",
            context=(f"onnx says    {' '.join(str(exc).split())}",),
            hint="export without local functions (torch: export_modules_as_functions=False)",
        ) from exc
    local = {(function.domain, function.name) for function in model.functions}
    for node in walk.nodes(result.graph):
        if (node.domain, node.op_type) in local:
            raise ModelError(f"{walk.label(node)} calls a local function that could not be inlined")
    del result.functions[:]
    return result


def unify_domains(model: onnx.ModelProto) -> None:
    """Write the default domain as "", in place; one version for each domain."""
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(
                f"the model states two opsets for domain '{domain or 'ai.onnx'}'",
                context=(f"found        {versions[domain]} and {entry.version}",),
                hint="export the model again",
            )
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in versions.items())
    for node in walk.nodes(model.graph):
        if node.domain == "ai.onnx":
            node.domain = ""


def _drop_unused_domains(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {"", *(node.domain for node in walk.nodes(model.graph))}
    kept = [(entry.domain, entry.version) for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in kept)
    return model


def _drop_empty_lists(graph: onnx.GraphProto) -> None:
    """`axes` and `perm` that list nothing say what no list says; torch writes ``ReduceMax(axes=[])`` for ``amax()``.

    Of other operators' empty lists ONNX Runtime takes none. Tools that tell a list's type by its first item fail on it.
    """
    for node in graph.node:
        wanted = "axes" if node.op_type.startswith("Reduce") else "perm" if node.op_type == "Transpose" else ""
        for index, entry in enumerate(node.attribute):
            if not node.domain and entry.name == wanted and not entry.ints:
                del node.attribute[index]
                break


def _drop_repeats(graph: onnx.GraphProto) -> None:
    """Some exporters write a constant again for each of its readers, under one name: the first one stays.

    Constants of one name and different values are left for `order` to refuse; ONNX Runtime takes the last of them.
    """
    seen: dict[str, onnx.TensorProto] = {}
    for tensors in (graph.initializer, graph.node):
        repeated = []
        for index, item in enumerate(tensors):
            tensor = item if isinstance(item, onnx.TensorProto) else constant_of(item)
            if tensor is None:
                continue
            first = seen.setdefault(tensor.name, tensor)
            if first is not tensor and _equal(first, tensor):
                repeated.append(index)
        for index in reversed(repeated):
            del tensors[index]


def _equal(one: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    if one.data_type != other.data_type or one.dims != other.dims:
        return False
    if one.data_type == onnx.TensorProto.STRING:
        return list(one.string_data) == list(other.string_data)
    return onnx.numpy_helper.to_array(one).tobytes() == onnx.numpy_helper.to_array(other).tobytes()


def constant_of(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node; None for other nodes, and for texts."""
    if node.op_type != "Constant" or node.domain or not node.attribute:
        return None
    name, entry = node.output[0], node.attribute[0]
    if entry.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(entry.t)
        tensor.name = name
        return tensor
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if entry.name not in dtype:
        return None
    value = onnx.helper.get_attribute_value(entry)
    return onnx.numpy_helper.from_array(np.asarray(value, dtype[entry.name]), name)


def _densify(graph: onnx.GraphProto) -> None:
    for sparse in graph.sparse_initializer:
        graph.initializer.append(dense(sparse, sparse.values.name))
    del graph.sparse_initializer[:]
    for node in graph.node:
        if node.op_type != "Constant" or node.domain:
            continue
        for index, entry in enumerate(node.attribute):
            if entry.name == "sparse_value":
                tensor = dense(entry.sparse_tensor, node.output[0])
                del node.attribute[index]
                node.attribute.append(onnx.helper.make_attribute("value", tensor))
                break


def dense(sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    """The dense tensor a sparse one stands for.

    Parameters
    ----------
    sparse : SparseTensorProto
        Indices linear, shape (n,), or coordinates, shape (n, rank).
    name : str

    Returns
    -------
    TensorProto

    Raises
    ------
    ModelError
        More than `MAX_DENSE_BYTES`, or indices outside the shape.
    """
    values = onnx.numpy_helper.to_array(sparse.values)
    indices = onnx.numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    count = 1
    for dim in shape:
        count *= dim
    if count * values.itemsize > MAX_DENSE_BYTES:
        raise ModelError(
            f"sparse tensor '{name}' has {count * values.itemsize} bytes when dense",
            context=(f"supported    up to {MAX_DENSE_BYTES} bytes",),
            hint="export the weights dense, in parts",
        )
    result = np.zeros(count, values.dtype)
    try:
        if indices.ndim == 2:
            indices = np.ravel_multi_index(tuple(indices.T), shape)
        if indices.size and indices.min() < 0:
            raise IndexError("a negative index")
        result[indices] = values
    except (ValueError, IndexError) as exc:
        raise ModelError(
            f"sparse tensor '{name}' has indices outside its shape {list(shape)}", hint="export the model again"
        ) from exc
    return onnx.numpy_helper.from_array(result.reshape(shape), name)
