"""Random models of one operator each, for rewrites that must not change what an operator computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from tests.helpers.onnx_models import constant, info, op

Case = Callable[[np.random.Generator], "onnx.ModelProto"]


def model(nodes, inputs, weights=(), *, outputs: tuple = ("y",), opset: int = 27) -> onnx.ModelProto:
    """Nodes from `inputs`, a list of (name, shape, dtype), to outputs whose types inference finds."""
    nodes = [nodes] if isinstance(nodes, onnx.NodeProto) else nodes
    imports = [helper.make_opsetid("", opset)]
    graph = helper.make_graph(
        nodes,
        "one",
        [info(name, shape, dtype) for name, shape, dtype in inputs],
        [onnx.ValueInfoProto(name=item) if isinstance(item, str) else item for item in outputs],
        list(weights),
    )
    made = helper.make_model(graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports))
    return onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)


def shape(rng, low=2, high=4, most=6) -> tuple[int, ...]:
    return tuple(int(size) for size in rng.integers(1, most, int(rng.integers(low, high, endpoint=True))))


def pick(rng, *choices):
    return choices[int(rng.integers(len(choices)))]


def axes_of(rng, rank) -> list[int]:
    chosen = rng.permutation(rank)[: int(rng.integers(1, rank, endpoint=True))]
    return [int(axis) - (rank if rng.random() < 0.5 else 0) for axis in chosen]


def reduction(name, *, noop=True) -> Case:
    def make(rng):
        sizes = shape(rng)
        kept = {"keepdims": int(rng.integers(2))}
        x = ("x", sizes, "float32")
        positive = [op("Abs", "x", "a"), op("Add", "a one", "p")]
        one = constant("one", np.float32(0.5))
        kind = pick(rng, "axes", "axes", "all", "noop") if noop else pick(rng, "axes", "all")
        if kind == "axes":
            weights = [one, constant("axes", axes_of(rng, len(sizes)), np.int64)]
            return model([*positive, op(name, "p axes", "y", name="n", **kept)], [x], weights)
        if kind == "noop":
            kept["noop_with_empty_axes"] = 1
        return model([*positive, op(name, "p", "y", name="n", **kept)], [x], [one])

    return make


def reads_x(name, inputs="x", *, low=2, high=4, batch=(), dtype="float32", weights=(), **attributes) -> Case:
    """A node with a random shape for `x` behind the sizes in `batch`."""

    def make(rng):
        x = ("x", (*batch, *shape(rng, low, high)), dtype)
        return model(op(name, inputs, "y", name="n", **attributes), [x], weights)

    return make


def elementwise(name, *, dtypes=("float32",), **choices) -> Case:
    def make(rng):
        attributes = {key: pick(rng, *values) for key, values in choices.items()}
        return model(op(name, "x", "y", name="n", **attributes), [("x", shape(rng), pick(rng, *dtypes))])

    return make


def arithmetic(name) -> Case:
    def make(rng):
        dtype = pick(rng, "int8", "uint8", "int16", "uint16", "float32")
        sizes = shape(rng)
        low = 1 if name == "Div" else -5
        other = constant("b", np.abs(rng.integers(low, 9, sizes)) if dtype[0] == "u" else rng.integers(low, 9, sizes))
        other = constant("b", np.clip(onnx.numpy_helper.to_array(other), low, None).astype(dtype))
        return model(op(name, "x b", "y", name="n"), [("x", sizes, dtype)], [other])

    return make


def split(rng):
    sizes = shape(rng, most=9)
    axis = int(rng.integers(len(sizes)))
    count = int(rng.integers(1, sizes[axis], endpoint=True))
    part = -(-sizes[axis] // count)
    while part * (count - 1) >= sizes[axis] and count > 1:
        count -= 1
        part = -(-sizes[axis] // count)
    names = [f"y{index}" for index in range(count)]
    return model(
        op("Split", "x", " ".join(names), name="n", axis=axis, num_outputs=count),
        [("x", sizes, "float32")],
        outputs=names,
    )


def pad(rng):
    sizes = tuple(size + 1 for size in shape(rng))
    mode = pick(rng, "constant", "reflect", "edge", "wrap")
    axes = axes_of(rng, len(sizes))
    pads = [int(rng.integers(0, sizes[axis])) for _ in range(2) for axis in axes]
    weights = [constant("pads", pads, np.int64), constant("value", np.float32(1.5)), constant("axes", axes, np.int64)]
    value = "value" if mode == "constant" else "_"
    return model(op("Pad", f"x pads {value} axes", "y", name="n", mode=mode), [("x", sizes, "float32")], weights)


def resize(rng):
    sizes = (1, 2, *shape(rng, 2, 2, 8))
    sizes = tuple(max(size, 2) if index > 1 else size for index, size in enumerate(sizes))
    mode = pick(rng, "nearest", "linear", "cubic")
    named = pick(rng, [2, 3], [3, 2], [3], [])
    if mode == "cubic" and named == [3]:
        named = [2, 3]
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": pick(rng, "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"),
    }
    if named:
        attributes["axes"] = named
    factors = rng.choice([1.0, 1.5, 2.0, 3.0], len(named) or 4)
    if not named:
        factors[:2] = 1
    if rng.random() < 0.3 and factors.min() >= 1 and mode != "nearest":
        attributes["antialias"] = 1
    x = ("x", sizes, "float32")
    if rng.random() < 0.5:
        return model(op("Resize", "x _ s", "y", name="n", **attributes), [x], [constant("s", factors, np.float32)])
    new = [int(sizes[axis] * factor) for axis, factor in zip(named or range(4), factors, strict=True)]
    if named and len(named) == 2 and rng.random() < 0.3:
        attributes["keep_aspect_ratio_policy"] = pick(rng, "not_larger", "not_smaller")
        new = [sizes[axis] * 2 for axis in named]
    return model(op("Resize", "x _ _ s", "y", name="n", **attributes), [x], [constant("s", new, np.int64)])


def layer_norm(rng):
    sizes = tuple(size + 1 for size in shape(rng))
    dtype = pick(rng, "float32", "float32", "float16")
    axis = int(rng.integers(len(sizes)))
    scale, bias = (rng.standard_normal(sizes[axis:]).astype(dtype) for _ in range(2))
    names = "x s b" if rng.random() < 0.7 else "x s"
    return model(
        op("LayerNormalization", names, "y", name="n", axis=axis - (len(sizes) if rng.random() < 0.5 else 0)),
        [("x", sizes, dtype)],
        [constant("s", scale), constant("b", bias)],
    )


def rms_norm(rng):
    sizes = tuple(size + 1 for size in shape(rng))
    scale = rng.standard_normal(sizes[-1:]).astype(np.float32)
    return model(op("RMSNormalization", "x s", "y", name="n"), [("x", sizes, "float32")], [constant("s", scale)])


def group_norm(opset):
    def make(rng):
        groups, width = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        sizes = (
            int(rng.integers(1, 3)),
            groups * width,
            *(int(i) for i in rng.integers(2, 5, int(rng.integers(1, 3)))),
        )
        count = groups if opset < 21 else groups * width
        parts = [constant(name, rng.standard_normal(count).astype(np.float32)) for name in "sb"]
        return model(
            op("GroupNormalization", "x s b", "y", name="n", num_groups=groups, epsilon=1e-3),
            [("x", sizes, "float32")],
            parts,
            outputs=[info("y", sizes)],
            opset=opset,
        )

    return make


def batch_norm(rng):
    sizes = shape(rng)
    low = pick(rng, "float32", "float16")
    parts = [rng.standard_normal(sizes[1]) for _ in "sbm"]
    weights = [constant(name, part.astype(low)) for name, part in zip("sbm", parts, strict=True)]
    weights[2:] = [
        constant("m", parts[2].astype(np.float32)),
        constant("v", rng.uniform(0.5, 2, sizes[1]).astype(np.float32)),
    ]
    return model(op("BatchNormalization", "x s b m v", "y", name="n"), [("x", sizes, low)], weights)


def average_pool(*, rounded_up: bool = False) -> Case:
    def make(rng):
        kernel = [int(rng.integers(1, 4)) for _ in range(2)]
        sizes = (1, 2, *(int(rng.integers(side + 2, 9)) for side in kernel))
        attributes = {
            "kernel_shape": kernel,
            "strides": [int(rng.integers(1, 3)) for _ in range(2)],
            "pads": [int(rng.integers(0, side // 2 + 1)) for side in kernel] * 2,
            "dilations": [1, 1],
            "ceil_mode": int(rounded_up),
            "count_include_pad": 0 if rounded_up else int(rng.integers(2)),
        }
        return model(op("AveragePool", "x", "y", name="n", **attributes), [("x", sizes, "float32")])

    return make


def mod(rng):
    sizes = shape(rng)
    dtype = pick(rng, "int32", "int64")
    divisor = rng.integers(1, 9, sizes) * (rng.choice([-1, 1], sizes) if rng.random() < 0.5 else pick(rng, -1, 1))
    nodes = [
        op("Cast", "f", "i", to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))),
        op("Mod", "i b", "y", name="n", fmod=int(rng.integers(2))),
    ]
    scaled = op("Mul", "x ten", "f")
    weights = [constant("b", divisor.astype(dtype)), constant("ten", np.float32(10))]
    return model([scaled, *nodes], [("x", sizes, "float32")], weights)


def reshape(rng):
    sizes = shape(rng)
    target = [int(size) for size in rng.permutation(sizes)]
    allow = int(rng.integers(2))
    if not allow and sizes[0] == target[0]:
        target[0] = 0
    return model(
        op("Reshape", "x s", "y", name="n", allowzero=allow),
        [("x", sizes, "float32")],
        [constant("s", target, np.int64)],
    )


def shape_window(rng):
    sizes = shape(rng, 3, 4)
    start, end = int(rng.integers(-3, 3)), int(rng.integers(-3, 4))
    ends = {"end": end} if rng.random() < 0.6 else {}
    nodes = [op("Shape", "x", "y", name="n", start=start, **ends)]
    return model(nodes, [("x", sizes, "float32")])


def trilu(rng):
    k = constant("k", np.int64(rng.integers(-2, 3)))
    return model(
        op("Trilu", "x k", "y", name="n", upper=int(rng.integers(2))),
        [("x", shape(rng), pick(rng, "float32", "int64"))],
        [k],
    )


def cast_like(rng):
    like = constant("like", np.zeros(1, pick(rng, "float16", "int32", "uint8", "float64")))
    return model([op("Abs", "x", "a"), op("CastLike", "a like", "y", name="n")], [("x", shape(rng), "float32")], [like])


def dequantize(rng):
    sizes = shape(rng)
    axis = int(rng.integers(len(sizes)))
    per_channel = rng.random() < 0.5
    real = pick(rng, "float32", "float16")
    codes = pick(rng, "int8", "uint8", "int16", "uint16", "int32")
    count = (sizes[axis],) if per_channel else ()
    scale = constant("s", rng.uniform(0.01, 0.2, count).astype(real))
    zero = constant("z", rng.integers(0, 100, count).astype(codes))
    names = "x s z" if rng.random() < 0.6 and codes != "int32" else "x s"
    return model(op("DequantizeLinear", names, "y", name="n", axis=axis), [("x", sizes, codes)], [scale, zero])


def dequantize_weight(rng):
    sizes = (4, 8)
    kind = pick(rng, onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    low = -8 if kind == onnx.TensorProto.INT4 else 0
    numbers = rng.integers(low, low + 16, sizes).flatten()
    codes = helper.make_tensor("c", kind, sizes, numbers.tolist())
    block = pick(rng, 0, 2, 4)
    scales = (4, 8 // block) if block else (8,)
    scale = constant("s", rng.uniform(0.01, 0.2, scales).astype(np.float32))
    zero = helper.make_tensor("z", kind, scales, [1] * int(np.prod(scales)))
    names = "c s z" if rng.random() < 0.6 else "c s"
    more = {"block_size": block} if block else {}
    nodes = [op("DequantizeLinear", names, "w", name="n", axis=1, **more), op("Add", "x w", "y")]
    return model(nodes, [("x", sizes, "float32")], [codes, scale, zero])


def quantize(rng):
    sizes = shape(rng)
    axis = int(rng.integers(len(sizes)))
    real = pick(rng, "float32", "float16")
    codes = pick(rng, "int8", "uint8", "int16", "uint16")
    count = (sizes[axis],) if rng.random() < 0.5 else ()
    scale = constant("s", rng.uniform(0.01, 0.2, count).astype(real))
    zero = constant("z", rng.integers(0, 100, count).astype(codes))
    if rng.random() < 0.3:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(codes))
        node = op("QuantizeLinear", "x s", "y", name="n", axis=axis, output_dtype=kind)
    else:
        node = op("QuantizeLinear", "x s z", "y", name="n", axis=axis)
    return model(node, [("x", sizes, real)], [scale, zero])


def einsum(rng):
    equation = pick(
        rng, "bij,bjk->bik", "bhid,bhjd->bhij", "ij,jk", "bchw,dc->bdhw", "ij->ji", "bij->b", "bi,bi->b", "ijk,jl->kil"
    )
    letters = {letter: int(rng.integers(2, 5)) for letter in "bcdhijklw"}
    terms = equation.split("->")[0].split(",")
    inputs = [(f"x{n}", tuple(letters[letter] for letter in term), "float32") for n, term in enumerate(terms)]
    names = " ".join(name for name, _, _ in inputs)
    return model(op("Einsum", names, "y", name="n", equation=equation), inputs)


def attention(rng):
    heads, width = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    length = int(rng.integers(2, 6))
    inputs = [(name, (1, heads, length, width), "float32") for name in "qkv"]
    return model(op("Attention", "q k v", "y", name="n", is_causal=int(rng.integers(2))), inputs, opset=24)


def crop_or_pad(rng):
    sizes = shape(rng, 3, 3)
    new = constant("s", rng.integers(1, 8, 2), np.int64)
    return model(op("CenterCropPad", "x s", "y", name="n", axes=[1, 2]), [("x", sizes, "float32")], [new])


def bool_reduction(rng):
    sizes = shape(rng)
    nodes = [
        op("Greater", "x zero", "g"),
        op(pick(rng, "ReduceMax", "ReduceMin"), "g axes", "y", name="n", keepdims=int(rng.integers(2))),
    ]
    weights = [constant("zero", np.float32(0)), constant("axes", axes_of(rng, len(sizes)), np.int64)]
    return model(nodes, [("x", sizes, "float32")], weights)


def conv(rng):
    weight = constant("w", rng.standard_normal((3, 2, 3, 3)).astype(np.float32))
    return model(op("Conv", "x w", "y", name="n", pads=[1] * 4), [("x", (1, 2, 5, 6), "float32")], [weight])


def grid_sample_names(rng):
    mode = pick(rng, "linear", "cubic", "nearest")
    inputs = [("x", (1, 2, 5, 6), "float32"), ("g", (1, 3, 4, 2), "float32")]
    nodes = [op("Tanh", "g", "t"), op("GridSample", "x t", "y", name="n", mode=mode)]
    return model(nodes, inputs)


#: Written at the newest opset, expressible at 13.
TO_13: dict[str, Case] = {
    **{
        name: reduction(name)
        for name in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL1", "ReduceL2",
                     "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
    },
    **{name: arithmetic(name) for name in ("Add", "Sub", "Mul", "Div")},
    "Gelu": elementwise("Gelu", approximate=("none", "tanh")),
    "HardSwish": elementwise("HardSwish"),
    "Mish": elementwise("Mish"),
    "Swish": elementwise("Swish", alpha=(1.0, 1.5)),
    "Relu": elementwise("Relu", dtypes=("int8", "int32", "float32")),
    "HardSigmoid": elementwise("HardSigmoid", alpha=(0.2, 1 / 6)),
    "LeakyRelu": elementwise("LeakyRelu", alpha=(0.1,)),
    "Softplus": elementwise("Softplus"),
    "Elu": elementwise("Elu"),
    "Selu": elementwise("Selu"),
    "Round": elementwise("Round"),
    "Identity": elementwise("Identity"),
    "Cast": elementwise("Cast", to=(1, 6, 7, 10)),
    "Flatten": elementwise("Flatten", axis=(0, 1, 2)),
    "Transpose": elementwise("Transpose"),
    "GlobalAveragePool": reads_x("GlobalAveragePool", batch=(1,), high=3),
    "AffineGrid": lambda rng: model(
        op("AffineGrid", "x s", "y", name="n", align_corners=int(rng.integers(2))),
        [("x", (1, 2, 3), "float32")],
        [constant("s", [1, 3, 4, 5], np.int64)],
    ),
    "Attention": attention,
    "AveragePool": average_pool(),
    "AveragePool, rounded up": average_pool(rounded_up=True),
    "BatchNormalization": batch_norm,
    "CastLike": cast_like,
    "CenterCropPad": crop_or_pad,
    "Conv": conv,
    "DequantizeLinear": dequantize,
    "DequantizeLinear of a weight": dequantize_weight,
    "GroupNormalization": group_norm(27),
    "GroupNormalization of groups": group_norm(18),
    "LayerNormalization": layer_norm,
    "Pad": pad,
    "QuantizeLinear": quantize,
    "RMSNormalization": rms_norm,
    "ReduceMax of bool": bool_reduction,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape_window,
    "Split": split,
    "Trilu": trilu,
}  # fmt: skip

#: Operators taken apart although the opset has them.
PARTS: dict[str, Case] = {
    "Celu": elementwise("Celu", alpha=(1.0, 0.5)),
    "Einsum": einsum,
    "GlobalAveragePool": TO_13["GlobalAveragePool"],
    "GlobalMaxPool": reads_x("GlobalMaxPool", batch=(1,), high=3),
    "GreaterOrEqual": reads_x("GreaterOrEqual", "x z", weights=[constant("z", np.float32(0))]),
    "HardSigmoid": TO_13["HardSigmoid"],
    "InstanceNormalization": lambda rng: model(
        op("InstanceNormalization", "x s b", "y", name="n"),
        [("x", (2, 3, 2, *shape(rng, 1, 1)), "float32")],
        [constant(name, rng.standard_normal(3).astype(np.float32)) for name in "sb"],
    ),
    "IsNaN": lambda rng: model([op("Log", "x", "l"), op("IsNaN", "l", "y", name="n")], [("x", shape(rng), "float32")]),
    "Mod": mod,
    "OneHot": lambda rng: model(
        op("OneHot", "x d v", "y", name="n", axis=pick(rng, -1, 0, 1)),
        [("x", shape(rng, 1, 3), "int64")],
        [constant("d", np.int64(4)), constant("v", np.array([-1, 2], np.float32))],
    ),
    "CumSum": lambda rng: model(
        op("CumSum", "x a", "y", name="n", exclusive=int(rng.integers(2)), reverse=int(rng.integers(2))),
        [("x", shape(rng), "float32")],
        [constant("a", np.int64(pick(rng, 0, 1, -1)))],
    ),
    "IsInf": lambda rng: model(
        [
            op("Relu", "x", "r"),
            op("Log", "r", "l"),
            op("IsInf", "l", "y", name="n", detect_positive=int(rng.integers(2))),
        ],
        [("x", shape(rng), "float32")],
    ),
    "Reciprocal": elementwise("Reciprocal"),
    "Shrink": elementwise("Shrink", lambd=(0.5,), bias=(0.0, 0.2)),
    "Xor": lambda rng: model(op("Xor", "x z", "y", name="n"), [(name, (3, 4), "bool") for name in "xz"]),
}  # fmt: skip
