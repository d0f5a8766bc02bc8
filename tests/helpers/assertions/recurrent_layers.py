"""GRU, LSTM and RNN on both sides of what is asserted of them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, whole
from tests.helpers.onnx_models import constant, info, op, random_weight

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
#: Lengths of sequences, and what is left out where there are none.
LENGTHS = "x w r _ lengths"


def layer(
    op_type: str,
    inputs: str = "x w r",
    *,
    kind: str = "float32",
    both: bool = False,
    opset: int = 13,
    size: int = 3,
    shape: tuple[int, ...] = (5, 2, 4),
    **attributes: object,
) -> onnx.ModelProto:
    """A layer "n" of `size` numbers; `both` for two directions."""
    ways, rows = 2 if both else 1, GATES[op_type] * size
    weights = [random_weight("w", ways, rows, 4), random_weight("r", ways, rows, size)]
    weights += [constant(name, np.zeros((ways, 2, size))) for name in ("h", "c")]
    weights = [constant(one.name, onnx.numpy_helper.to_array(one).astype(kind)) for one in weights]
    weights.append(constant("lengths", np.array([5, 3], np.int32)))
    if both:
        attributes["direction"] = "bidirectional"
    node = op(op_type, inputs, "y", name="n", hidden_size=size, **attributes)
    used = [one for one in weights if one.name in inputs.split()]
    return whole([node], [info("x", shape, kind)], ["y"], used, opset=opset)


def same(op_type: str, *names: str, **attributes: object) -> onnx.ModelProto:
    return layer(
        op_type, both=len(names) > 3 or (op_type == "RNN" and len(names) == 2), activations=names, **attributes
    )


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "activation-names": Sides(
        taken=(layer("GRU"), layer("GRU", activations=["Sigmoid", "Tanh"]), layer("RNN", activations=["Relu"])),
        refused=(
            layer("GRU", activations=["sigmoid", "TANH"]),
            layer("LSTM", activations=["Sigmoid", "tanh", "Tanh"]),
            layer("GRU", both=True, activations=["Sigmoid", "Tanh", "sigmoid", "tanh"]),
        ),
    ),
    "bidirectional": Sides(
        taken=(layer("GRU", both=True), same("RNN", "Relu", "Relu")),
        refused=(
            same("RNN", "Relu", "Tanh"),
            same("GRU", "Sigmoid", "Tanh", "Tanh", "Tanh"),
            same("LSTM", "Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"),
        ),
    ),
    "bidirectional-numbers": Sides(
        taken=(layer("GRU", both=True), same("RNN", "LeakyRelu", "LeakyRelu", activation_alpha=[0.1, 0.1])),
        refused=(
            same("RNN", "LeakyRelu", "LeakyRelu", activation_alpha=[0.1, 0.2]),
            same("RNN", "LeakyRelu", "LeakyRelu", activation_alpha=[0.1]),
            same(
                "LSTM", "HardSigmoid", "Tanh", "Tanh", "HardSigmoid", "Tanh", "Tanh",
                activation_alpha=[0.2, 0.2], activation_beta=[0.5, 0.4],
            ),
        ),
    ),
    "activation-numbers": Sides(
        taken=(
            layer("GRU"),
            layer("RNN", activations=["LeakyRelu"], activation_alpha=[0.3]),
            layer("GRU", activations=["LeakyRelu", "Tanh"], activation_alpha=[0.3]),
        ),
        refused=(
            layer("GRU", activations=["Sigmoid", "LeakyRelu"], activation_alpha=[0.3]),
            layer("GRU", activations=["Sigmoid", "HardSigmoid"], activation_alpha=[0.3], activation_beta=[0.4]),
        ),
    ),
    "scaled-tanh": Sides(
        taken=(layer("LSTM"), layer("LSTM", activations=["Sigmoid", "Tanh", "Relu"])),
        refused=(
            layer(
                "LSTM", activations=["Sigmoid", "ScaledTanh", "Tanh"], activation_alpha=[1.5], activation_beta=[0.5]
            ),
        ),
    ),
    "input-forget": Sides(
        taken=(layer("LSTM"), layer("LSTM", input_forget=0)),
        refused=(layer("LSTM", input_forget=1),),
    ),
    "layout": Sides(
        taken=(layer("GRU", opset=14), layer("LSTM", opset=14, layout=0)),
        refused=tuple(layer(op_type, opset=14, layout=1) for op_type in GATES),
        runs=False,
    ),
    "float16-lengths": Sides(
        taken=(layer("GRU", LENGTHS), layer("RNN", kind="float16")),
        refused=tuple(layer(op_type, LENGTHS, kind="float16") for op_type in GATES),
    ),
    "float16-lengths-mixed": Sides(
        taken=(layer("GRU", LENGTHS), layer("GRU", kind="float16")),
        refused=tuple(layer(op_type, LENGTHS, kind="float16") for op_type in GATES),
    ),
    "float16-state-mixed": Sides(
        taken=(layer("GRU"), layer("GRU", "x w r _ _ h", kind="float16")),
        refused=tuple(layer(op_type, kind="float16") for op_type in GATES),
    ),
    "float16-gate": Sides(
        taken=(layer("GRU"), layer("LSTM", kind="float16")),
        refused=(layer("GRU", kind="float16"), layer("GRU", "x w r _ _ h", kind="float16")),
    ),
    "float16-gate-mixed": Sides(
        taken=(layer("GRU"), layer("LSTM", kind="float16")),
        refused=(layer("GRU", kind="float16"), layer("GRU", "x w r _ _ h", kind="float16")),
    ),
}  # fmt: skip
