"""Static input shapes, and what shape inference makes of them. What inference cannot tell is `value_table`'s."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

import onnx
import onnx.shape_inference

from coachc.errors import ModelError
from coachc.frontend import walk

Shape = tuple[int, ...]


def bind_inputs(
    model: onnx.ModelProto, *, batch: int | None = None, input_shapes: Mapping[str, Shape] | None = None
) -> onnx.ModelProto:
    """Give every graph input a static shape.

    What the file states is taken, whatever its first axis. An open first axis becomes `batch`; other open axes take the
    size that an equally named axis got elsewhere, else `input_shapes` must state the input.

    Parameters
    ----------
    model : ModelProto
    batch : int, optional
        1 where it is not given. Given, it must be what some input's first axis is or can be, vectors aside.
    input_shapes : mapping of str to tuple of int, optional

    Returns
    -------
    ModelProto
        A copy.

    Raises
    ------
    ModelError
        Shapes are missing (all of them in one message), contradict the model, or name no input.
    """
    stated = dict(input_shapes or {})
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _check_stated([value.name for value in result.graph.input], batch, stated)
    declared = {value.name: _declared(value) for value in result.graph.input}
    sizes = {name: _merge(name, axes, stated.get(name)) for name, axes in declared.items()}
    named_axes: dict[str, tuple[int, str]] = {}
    # What is stated names axes first: an open first axis of that name is the same one, whatever the default.
    for name in sorted(sizes, key=lambda name: name not in stated):
        axes, shape = declared[name], sizes[name]
        if axes is None or shape is None:
            continue
        if shape and not shape[0]:
            shape[0] = batch or named_axes.get(str(axes[0]), (1, ""))[0]
        for axis, (dim, size) in enumerate(zip(axes, shape, strict=True)):
            if isinstance(dim, str) and dim and size:
                _bind_axis(named_axes, dim, size, f"axis {axis} of '{name}'")
    for name, shape in sizes.items():
        for axis, dim in enumerate(declared[name] or ()):
            if shape is not None and not shape[axis]:
                shape[axis] = named_axes.get(str(dim), (0, ""))[0]
    _check_complete(declared, sizes, batch or 1)
    if batch is not None:
        _check_batch(batch, declared, stated)
    for value in result.graph.input:
        _set_shape(value, tuple(sizes[value.name] or ()))
    return result


def batched_shapes(path: str | os.PathLike[str], input_shapes: Mapping[str, Shape], batch: int) -> dict[str, Shape]:
    """Shapes stated for one task, for `batch` tasks: `batch` times as many rows where the file leaves them open."""
    graph = onnx.load(path, load_external_data=False).graph
    declared = {value.name: _declared(value) for value in graph.input}
    return {
        name: (batch * shape[0], *shape[1:]) if shape and isinstance((declared.get(name) or ("",))[0], str) else shape
        for name, shape in input_shapes.items()
    }


def _check_stated(names: Sequence[str], batch: int | None, stated: Mapping[str, Shape]) -> None:
    for name in stated:
        if name not in names:
            raise ModelError(
                f"--shape names '{name}', which is no input of the model",
                context=(f"inputs       {', '.join(names) or 'none'}",),
                hint="name one of the inputs, e.g. " + _flag(names[0] if names else "input", (1, 3, 224, 224)),
            )
    given = {f"the shape of '{name}'": shape for name, shape in stated.items()}
    for what, shape in {"batch": () if batch is None else (batch,), **given}.items():
        if any(size < 1 for size in shape):
            raise ModelError(f"{what} must be at least 1 in every axis", context=(f"found        {list(shape)}",))


def _check_complete(
    declared: Mapping[str, tuple[int | str, ...] | None], sizes: Mapping[str, list[int] | None], batch: int
) -> None:
    """Raise one error that names every input whose shape is still open, with flags to paste."""
    context, flags = [], []
    for name, axes in declared.items():
        shape = sizes[name]
        if shape is None:
            context.append(f"'{name}' states no shape, not even a rank")
            flags.append(_flag(name, (batch, 3, 224, 224)))
        elif not all(shape):
            described = " x ".join(str(size or dim or "?") for dim, size in zip(axes or (), shape, strict=True))
            unknown = ", ".join(str(axis) for axis, size in enumerate(shape) if not size)
            context.append(f"'{name}' is {described}: unknown in {'axes' if ',' in unknown else 'axis'} {unknown}")
            # An example of what such axes usually are: pixels in pictures, steps or features elsewhere.
            flags.append(_flag(name, [size or (224 if len(shape) == 4 else 16) for size in shape]))
    if context:
        what = "a graph input has" if len(context) == 1 else f"{len(context)} graph inputs have"
        raise ModelError(
            f"{what} sizes that the model leaves open",
            context=context,
            hint=f"state them, sizes here are examples: {' '.join(flags)}",
        )


def _check_batch(batch: int, declared: Mapping[str, tuple[int | str, ...] | None], stated: Mapping[str, Shape]) -> None:
    """Raise if --batch cannot be meant for any input."""
    fixed = {name: axes[0] for name, axes in declared.items() if axes and len(axes) > 1 and name not in stated}
    if not fixed or any(isinstance(size, str) or size == batch for size in fixed.values()):
        return
    if any(isinstance(axes[0], str) for axes in declared.values() if axes) or None in declared.values():
        return
    raise ModelError(
        "the batch is fixed in the model" if len(fixed) == 1 else "the first axis of every input is fixed in the model",
        context=(
            f"expected     {batch} (--batch)",
            f"found        {', '.join(f'{size} ({name!r})' for name, size in fixed.items())}",
        ),
        hint="leave --batch out to compile the model as it is, or re-export with a dynamic first axis",
    )


def _flag(name: str, sizes: Sequence[int]) -> str:
    flag = f"--shape {name}:{'x'.join(map(str, sizes))}"
    return flag if re.fullmatch(r"[\w.:/-]+", name) else f"--shape {shlex.quote(flag.removeprefix('--shape '))}"


def _declared(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    """Positive sizes, or the axis's name ("" when it has none); None without a rank."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param for dim in tensor.shape.dim
    )


def _merge(name: str, declared: tuple[int | str, ...] | None, stated: Shape | None) -> list[int] | None:
    """One size for each axis, 0 where it is still unknown; None where not even the rank is known."""
    if declared is None:
        return None if stated is None else list(stated)
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
    return [dim if isinstance(dim, int) else 0 for dim in declared]


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
    made = {name for node in bare.graph.node for name in node.output}
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
