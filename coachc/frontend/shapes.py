"""Static input shapes, and what shape inference makes of them. What inference cannot tell is `value_table`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx.shape_inference

from coachc.errors import ModelError
from coachc.frontend import walk

Shape = tuple[int, ...]


def bind_inputs(
    model: onnx.ModelProto, *, batch: int = 1, input_shapes: Mapping[str, Shape] | None = None
) -> onnx.ModelProto:
    """Give every graph input a static shape.

    An unknown first axis becomes `batch`. Other unknown axes take the size that an equally named axis got elsewhere,
    else `input_shapes` must state the input. A fixed first axis must equal `batch`, except for vectors and scalars,
    which have no batch axis, and for inputs that `input_shapes` states.

    Parameters
    ----------
    model : ModelProto
    batch : int
    input_shapes : mapping of str to tuple of int, optional

    Returns
    -------
    ModelProto
        A copy.

    Raises
    ------
    ModelError
        A shape is missing, contradicts the model, or names no input.
    """
    stated = dict(input_shapes or {})
    result = onnx.ModelProto()
    result.CopyFrom(model)
    names = [value.name for value in result.graph.input]
    for name in stated:
        if name not in names:
            raise ModelError(
                f"--shape names '{name}', which is no input of the model",
                context=(f"inputs       {', '.join(names) or 'none'}",),
                hint="name one of the inputs, e.g. " + _flag(names[0] if names else "input", ("1", "3", "224", "224")),
            )
    for what, sizes in (("batch", (batch,)), *((f"the shape of '{name}'", shape) for name, shape in stated.items())):
        if any(size < 1 for size in sizes):
            raise ModelError(f"{what} must be at least 1 in every axis", context=(f"found        {list(sizes)}",))

    named_axes: dict[str, tuple[int, str]] = {}
    open_inputs = []
    for value in result.graph.input:
        declared = _declared(value)
        shape = _merge(value.name, declared, stated.get(value.name), batch)
        if declared is not None:
            for axis, (dim, size) in enumerate(zip(declared, shape, strict=True)):
                if isinstance(dim, str) and dim and size:
                    _bind_axis(named_axes, dim, size, f"axis {axis} of '{value.name}'")
        open_inputs.append((value, declared, shape))
    for value, declared, shape in open_inputs:
        found = [
            size or (named_axes.get(dim, (0, ""))[0] if isinstance(dim, str) else 0)
            for dim, size in zip(declared or (), shape, strict=declared is not None)
        ] or list(shape)
        missing = [axis for axis, size in enumerate(found) if not size]
        if declared is None and value.name not in stated:
            raise ModelError(
                f"graph input '{value.name}' states no shape, not even a rank",
                hint=f"state it: {_flag(value.name, (str(batch), '3', '224', '224'))}",
            )
        if missing:
            described = [str(size or (dim or "?")) for dim, size in zip(declared or (), found, strict=True)]
            raise ModelError(
                f"graph input '{value.name}' has unknown sizes in axes {', '.join(map(str, missing))}",
                context=(f"found        {' x '.join(described)}",),
                hint=f"state them: {_flag(value.name, tuple(str(size) if size else '224' for size in found))}",
            )
        _set_shape(value, tuple(found))
    return result


def _flag(name: str, sizes: tuple[str, ...]) -> str:
    return f"--shape {name}:{'x'.join(sizes)}"


def _declared(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    """Positive sizes, or the axis's name ("" when it has none); None without a rank."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param for dim in tensor.shape.dim
    )


def _merge(name: str, declared: tuple[int | str, ...] | None, stated: Shape | None, batch: int) -> list[int]:
    """One size for each axis; 0 where it is still unknown."""
    if declared is None:
        return list(stated or ())
    if stated is not None:
        fits = len(stated) == len(declared) and all(
            isinstance(dim, str) or dim == size for dim, size in zip(declared, stated, strict=True)
        )
        if not fits:
            raise ModelError(
                f"--shape of input '{name}' contradicts the model",
                context=(
                    f"expected     {' x '.join(str(dim or '?') for dim in declared) or 'a scalar'}",
                    f"found        {' x '.join(map(str, stated)) or 'a scalar'}",
                ),
                hint="state sizes only for the axes that the model leaves open, and repeat the others",
            )
        return list(stated)
    shape = [dim if isinstance(dim, int) else 0 for dim in declared]
    if shape and not shape[0]:
        shape[0] = batch
    if len(shape) > 1 and shape[0] != batch:
        raise ModelError(
            f"the batch of input '{name}' is fixed in the model",
            context=(f"expected     {batch} (--batch)", f"found        {shape[0]}"),
            hint=f"use --batch {shape[0]}, state --shape {name}:{'x'.join(str(s or '?') for s in shape)}, "
            "or re-export with a dynamic first axis",
        )
    return shape


def _bind_axis(named: dict[str, tuple[int, str]], axis: str, size: int, where: str) -> None:
    known, first = named.setdefault(axis, (size, where))
    if known != size:
        raise ModelError(
            f"axis '{axis}' has two sizes",
            context=(f"expected     {known} ({first})", f"found        {size} ({where})"),
            hint="state the same size for both with --shape",
        )


def _set_shape(value: onnx.ValueInfoProto, shape: Shape) -> None:
    dims = value.type.tensor_type.shape
    dims.Clear()
    dims.SetInParent()
    for size in shape:
        dims.dim.add().dim_value = size


def infer(model: onnx.ModelProto, hints: Sequence[onnx.ValueInfoProto] = ()) -> onnx.ModelProto:
    """Infer types and shapes anew from the graph inputs; what the file declared about other values is discarded.

    Parameters
    ----------
    model : ModelProto
        Sorted, with static input shapes.
    hints : sequence of ValueInfoProto
        Shapes of main-graph values that are known from elsewhere; names that are gone are ignored.

    Returns
    -------
    ModelProto
        A copy, with `value_info` for every value of which anything is known.

    Raises
    ------
    ModelError
        The model contradicts itself; the context names the node.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for graph in walk.graphs(bare.graph):
        del graph.value_info[:]
        for value in graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
    for node in walk.nodes(bare.graph):
        for body in walk.bodies(node):
            for position, value in enumerate(body.input):
                if not value.type.HasField("tensor_type"):
                    continue
                if node.op_type == "Loop" and position < 2:
                    # Counter and condition: inference does not fill them in, and ONNX Runtime wants them stated.
                    value.type.tensor_type.shape.SetInParent()
                else:
                    value.type.tensor_type.ClearField("shape")
    made = set(walk.made(bare.graph))
    bare.graph.value_info.extend(hint for hint in hints if hint.name in made)
    try:
        return onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True, check_type=True)
    except onnx.shape_inference.InferenceError as exc:
        first = exc
    try:
        # Propagated values are a bonus: where they alone lead to the complaint, the model is not at fault.
        return onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=False, check_type=True)
    except onnx.shape_inference.InferenceError:
        raise ModelError(
            "the model contradicts itself: shape inference fails",
            context=(f"onnx says    {' '.join(str(first).split())}",),
            hint="mend the named node and export again; shapes follow from the inputs' (--batch, --shape)",
        ) from first


def static_shape(value: onnx.ValueInfoProto) -> Shape | None:
    """The value's shape, or None unless it is a tensor all of whose sizes are known."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def known_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """What the main graph states about inputs, intermediate values and outputs."""
    graph = model.graph
    return {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
