"""A small vision transformer as a newer exporter writes it: LayerNormalization, Gelu, ReduceMean with axes as input."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.onnx_models import constant, info, net, op, random_weight


def transformer(*, blocks: int = 2, width: int = 16, heads: int = 2, opset: int = 20, seed: int = 0) -> onnx.ModelProto:
    """Pictures of 4x16x16 in patches of 4x4, `blocks` of attention and a feed-forward part, 5 classes."""
    tokens, deep = 16, width // heads
    weights, nodes = [], []

    def weight(name, *shape):
        weights.append(random_weight(f"{name}.{seed}", *shape, scale=shape[0] ** -0.5))
        weights[-1].name = name
        return name

    def norm(x, name):
        weights.extend([constant(f"{name}.s", np.linspace(0.5, 1.5, width, dtype=np.float32))])
        weight(f"{name}.b", width)
        nodes.append(op("LayerNormalization", f"{x} {name}.s {name}.b", name, axis=-1, epsilon=1e-6))
        return name

    def linear(x, name, read, made):
        weight(f"{name}.w", read, made)
        weight(f"{name}.b", made)
        nodes.extend([op("MatMul", f"{x} {name}.w", f"{name}.m"), op("Add", f"{name}.m {name}.b", name)])
        return name

    weights.append(random_weight("patch.w", width, 4, 4, 4, scale=0.1))
    weights += [
        constant("flat", [1, width, tokens], np.int64),
        constant("split", [1, tokens, heads, deep], np.int64),
        constant("join", [1, tokens, width], np.int64),
        constant("scale", np.float32(deep**-0.5)),
        constant("positions", [1], np.int64),
    ]
    nodes += [
        op("Conv", "x patch.w", "patches", strides=[4, 4]),
        op("Reshape", "patches flat", "rows"),
        op("Transpose", "rows", "x0", perm=[0, 2, 1]),
    ]
    x = "x0"
    for index in range(blocks):
        b = f"block{index}"
        normed = norm(x, f"{b}.norm1")
        for part, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            made = linear(normed, f"{b}.{part}", width, width)
            nodes.append(op("Reshape", f"{made} split", f"{made}.heads", allowzero=0))
            nodes.append(op("Transpose", f"{made}.heads", f"{made}.t", perm=perm))
        nodes += [
            op("MatMul", f"{b}.q.t {b}.k.t", f"{b}.scores"),
            op("Mul", f"{b}.scores scale", f"{b}.scaled"),
            op("Softmax", f"{b}.scaled", f"{b}.soft", axis=-1),
            op("MatMul", f"{b}.soft {b}.v.t", f"{b}.mixed"),
            op("Transpose", f"{b}.mixed", f"{b}.back", perm=[0, 2, 1, 3]),
            op("Reshape", f"{b}.back join", f"{b}.joined"),
        ]
        nodes.append(op("Add", f"{x} {linear(f'{b}.joined', f'{b}.out', width, width)}", f"{b}.sum1"))
        inner = linear(norm(f"{b}.sum1", f"{b}.norm2"), f"{b}.up", width, 2 * width)
        nodes.append(op("Gelu", inner, f"{b}.gelu"))
        nodes.append(op("Add", f"{b}.sum1 {linear(f'{b}.gelu', f'{b}.down', 2 * width, width)}", f"{b}.sum2"))
        x = f"{b}.sum2"
    nodes.append(op("ReduceMean", f"{norm(x, 'norm')} positions", "pooled", keepdims=0))
    linear("pooled", "y", width, 5)
    return net(nodes, [info("x", (1, 4, 16, 16))], [info("y", (1, 5))], weights, opset=opset)
