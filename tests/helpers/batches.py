"""Networks whose batch is open, as exporters write them: shapes computed from the input's, row by row."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.onnx_models import constant, info, net, op, random_weight

#: Name -> (operator at fault, what of the reason) of networks that take one task at a time.
FIXED = {
    "mean over the batch": ("ReduceMean", "depends on the others"),
    "maximum over the batch": ("ReduceMax", "depends on the others"),
    "softmax over the batch": ("Softmax", "depends on the others"),
    "running sum": ("CumSum", "depends on the others"),
    "turned round": ("Slice", "depends on the others"),
    "scaled by the batch": ("Mul", "constants follows from the number of tasks"),
    "each with each": ("MatMul", "is 1x1 and 3x3 for 1 and 3 tasks"),
    "numbered": ("Add", "constants follows from the number of tasks"),
    "one row": ("", "for 3 tasks, the model contradicts itself"),
    "first task's channels": ("Gather", "depends on the others"),
    "last task's channels": ("Gather", "depends on the others"),
    "whether all are large": ("ReduceMin", "depends on the others"),
    "summed output": ("ReduceSum", "does not grow with the number of tasks"),
    "second axis": ("Transpose", "along its first axis"),
}


def _computed(name: str, *parts: int | str) -> list[onnx.NodeProto]:
    """`name` = a shape of constants and of "n", the first axis of x."""
    nodes = [op("Shape", "x", f"{name}.s"), op("Gather", f"{name}.s zero", f"{name}.n")]
    return [*nodes, op("Concat", " ".join(f"{name}.n" if part == "n" else f"k{part}" for part in parts), name, axis=0)]


def _sizes(*numbers: int) -> list[onnx.TensorProto]:
    return [constant("zero", [0], np.int64), *(constant(f"k{number}", [number], np.int64) for number in numbers)]


_STEM = [op("Conv", "x w", "c", strides=[4, 4]), op("Relu", "c", "a")]
_HEAD = [op("Gemm", "f h", "y")]
_POOL = [op("GlobalAveragePool", "a", "p"), op("Flatten", "p", "f")]
_WEIGHTS = [random_weight("w", 8, 3, 4, 4), random_weight("h", 8, 5)]


def _net(nodes, weights=(), *, outputs=("y",), opset=13) -> onnx.ModelProto:
    return net(nodes, [info("x", ("n", 3, 16, 16))], list(outputs), [*_WEIGHTS, *weights], opset=opset)


def plain() -> onnx.ModelProto:
    """Nothing is computed from the shape."""
    return _net([*_STEM, *_POOL, *_HEAD])


def attention() -> onnx.ModelProto:
    """Tokens behind a class token, and heads of attention."""
    return _net(
        [
            *_STEM, *_computed("to.tokens", "n", 8, -1), op("Reshape", "a to.tokens", "t0"),
            op("Transpose", "t0", "t1", perm=[0, 2, 1]), *_computed("to.rows", "n", 1, 8),
            op("Expand", "token to.rows", "tk"), op("Concat", "tk t1", "t", axis=1),
            *_computed("to.heads", "n", -1, 2, 4), op("Reshape", "t to.heads", "t2"),
            op("Transpose", "t2", "q", perm=[0, 2, 1, 3]), op("Transpose", "t2", "k", perm=[0, 2, 3, 1]),
            op("MatMul", "q k", "s"), op("Softmax", "s", "m", axis=-1), op("MatMul", "m q", "v"),
            op("Transpose", "v", "v1", perm=[0, 2, 1, 3]), *_computed("back", "n", -1, 8),
            op("Reshape", "v1 back", "o"), op("Gather", "o at0", "f", axis=1), *_HEAD,
        ],
        [*_sizes(1, 2, 4, 8, -1), random_weight("token", 1, 1, 8), constant("at0", 0, np.int64)],
    )  # fmt: skip


def windows() -> onnx.ModelProto:
    """Windows become rows of the batch, and back."""
    return _net(
        [
            *_STEM, *_computed("cut", "n", 8, 2, 2, 2, 2), op("Reshape", "a cut", "w0"),
            op("Transpose", "w0", "w1", perm=[0, 2, 4, 3, 5, 1]), op("Reshape", "w1 rows", "w2"),
            op("Softmax", "w2", "w3", axis=1), *_computed("whole", "n", 2, 2, 2, 2, 8), op("Reshape", "w3 whole", "w4"),
            op("ReduceMean", "w4", "f", axes=[1, 2, 3, 4], keepdims=0), *_HEAD,
        ],
        [*_sizes(2, 8), constant("rows", [-1, 4, 8], np.int64)],
    )  # fmt: skip


def pyramid() -> onnx.ModelProto:
    """A map is resized to the size of another one, which takes all four sizes."""
    return _net(
        [
            *_STEM, op("Conv", "a w2", "b", strides=[2, 2]), *_computed("sizes", "n", 8, 4, 4),
            op("Resize", "b _ _ sizes", "u", mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor"),
            op("Add", "u a", "d"), op("GlobalAveragePool", "d", "p"), op("Flatten", "p", "f"), *_HEAD,
        ],
        [*_sizes(4, 8), random_weight("w2", 8, 8, 2, 2)],
    )  # fmt: skip


def recurrent() -> onnx.ModelProto:
    """Columns one after the other, from a state of ones made for each task."""
    return _net(
        [
            *_STEM, op("Transpose", "a", "t0", perm=[3, 0, 1, 2]), *_computed("flat", 4, "n", 32),
            op("Reshape", "t0 flat", "t"), *_computed("state", 1, "n", 6),
            op("ConstantOfShape", "state", "h0", value=constant("", [1.0], np.float32)),
            op("GRU", "t gw gr _ _ h0", "all last", hidden_size=6), op("Squeeze", "last zero", "s"),
            op("Gemm", "s h2", "y"),
        ],
        [
            *_sizes(1, 4, 6, 32), random_weight("gw", 1, 18, 32), random_weight("gr", 1, 18, 6),
            random_weight("h2", 6, 5),
        ],
    )  # fmt: skip


def masked() -> onnx.ModelProto:
    """A mask written once for each task, and a slice that ends at the last of them."""
    return _net(
        [
            *_STEM, *_computed("mask.to", "n", 8, 4, 4), op("Expand", "mask mask.to", "mask.all"),
            op("Where", "mask.all a low", "m"), *_computed("end", "n"), op("Slice", "m zero end zero", "part"),
            op("GlobalAveragePool", "part", "p"), op("Flatten", "p", "f"), *_HEAD,
        ],
        [*_sizes(4, 8), constant("mask", np.tri(4)[None, None] > 0), constant("low", np.float32(-1))],
    )  # fmt: skip


def tiled() -> onnx.ModelProto:
    """A value that depends on no input but a shape, repeated for each task by Tile."""
    return _net(
        [*_STEM, *_computed("times", "n", 1, 1, 1), op("Tile", "bias times", "rows"),
         op("Concat", "rows a", "d", axis=1), op("GlobalAveragePool", "d", "p"), op("Flatten", "p", "f"),
         op("Gemm", "f h2", "y")],
        [*_sizes(1), random_weight("bias", 1, 2, 4, 4), random_weight("h2", 10, 5)],
    )  # fmt: skip


def two_ends() -> onnx.ModelProto:
    """Two inputs and two outputs."""
    nodes = [*_STEM, *_POOL, op("Gemm", "z g", "b"), op("Add", "f b", "s"), op("Gemm", "s h", "y")]
    ends = [info("x", ("n", 3, 16, 16)), info("z", ("n", 6))]
    return net(nodes, ends, ["y", "a"], [*_WEIGHTS, random_weight("g", 6, 8)])


OPEN = {made.__name__: made for made in (plain, attention, windows, pyramid, recurrent, masked, tiled, two_ends)}


def fixed(name: str) -> onnx.ModelProto:
    """One of `FIXED`."""
    batch = [*_computed("n", "n")]
    nodes, weights, outputs = {
        "mean over the batch": (
            [*_STEM, op("ReduceMean", "a", "r", axes=[0], keepdims=1), op("Sub", "a r", "d")], [], ["d"],
        ),
        "maximum over the batch": (
            [*_STEM, op("ReduceMax", "a", "r", keepdims=1), op("Div", "a r", "d")], [], ["d"],
        ),
        "scaled by the batch": (
            [*_STEM, *_POOL, *batch, op("Cast", "n", "many", to=1), op("Mul", "f many", "g"), op("Gemm", "g h", "d")],
            [],
            ["d"],
        ),
        "each with each": (
            [*_STEM, *_POOL, op("Transpose", "f", "ft"), op("MatMul", "f ft", "g"), op("Gemm", "f h", "y0"),
             op("MatMul", "g y0", "d")], [], ["d"],
        ),
        "numbered": (
            [*_STEM, *_POOL, *batch, op("Squeeze", "n", "n0"), op("Range", "start n0 step", "r"),
             op("Cast", "r", "rf", to=1), op("Unsqueeze", "rf one", "rows"), op("Add", "f rows", "d")],
            [constant("start", 0, np.int64), constant("step", 1, np.int64), constant("one", [1], np.int64)], ["d"],
        ),
        "one row": (
            [*_STEM, op("Reshape", "a row", "r"), op("Gemm", "r big", "d")],
            [constant("row", [1, -1], np.int64), random_weight("big", 128, 5)], ["d"],
        ),
        "first task's channels": (
            [*_STEM, op("Gather", "a zero", "g", axis=0), op("Sub", "a g", "d")], [], ["d"],
        ),
        "last task's channels": (
            [*_STEM, op("Gather", "a last", "g", axis=0), op("Mul", "a g", "d")],
            [constant("last", [-1], np.int64)], ["d"],
        ),
        "whether all are large": (
            [*_STEM, op("ReduceMin", "a", "r", keepdims=0), op("Greater", "r low", "g"), op("Where", "g a high", "d")],
            [constant("low", np.float32(0.01)), constant("high", np.float32(1))], ["d"],
        ),
        "softmax over the batch": ([*_STEM, *_POOL, op("Softmax", "f", "d", axis=0)], [], ["d"]),
        "running sum": ([*_STEM, op("CumSum", "a at", "d")], [constant("at", 0, np.int64)], ["d"]),
        "turned round": (
            [*_STEM, op("Slice", "a last end zero last", "d")],
            [constant("last", [-1], np.int64), constant("end", [-(2**63)], np.int64)],
            ["d"],
        ),
        "summed output": ([*_STEM, *_POOL, op("ReduceSum", "f zero", "d", keepdims=1)], [], ["d"]),
        "second axis": ([*_STEM, *_POOL, op("Transpose", "f", "d")], [], ["d"]),
    }[name]  # fmt: skip
    return _net(nodes, [*weights, *_sizes()], outputs=outputs)
