"""How far apart two right ways to compute the same may be: as far as the coarsest floats on the way round.

ONNX Runtime computes float16 and bfloat16 in float32 on a CPU and rounds what it has to store; from one operator to the
next it need not store anything. So a model in half precision has not one result but several, and where it is cut
decides which. Where every value is stored there is one, and halves give it to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from coachc.frontend import walk
from coachc.frontend.order import order

#: Half the distance between 1 and the next number (unit roundoff) by element type; float32 has no entry below it.
UNIT_ROUNDOFF = {onnx.TensorProto.FLOAT16: 2.0**-11, onnx.TensorProto.BFLOAT16: 2.0**-8}
#: Roundings, each in another place, that two right results may be apart, relative to an output's largest magnitude.
ROUNDINGS = 8


def narrow_unit(model: onnx.ModelProto) -> float:
    """Unit roundoff of the coarsest floats below float32 that a model stores; 0 if it has none."""
    elements = set(_elements(model))
    return max((unit for element, unit in UNIT_ROUNDOFF.items() if element in elements), default=0.0)


def admissible(model: onnx.ModelProto, of_float32: float) -> float:
    """Largest admissible relative difference: `of_float32` where nothing is coarser, else `ROUNDINGS` roundings."""
    return max(of_float32, ROUNDINGS * narrow_unit(model))


def storing(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every value of narrow floats stored before it is read.

    Each is copied, and the copy is an output behind the model's own: ONNX Runtime would read what was computed in
    float32 instead of anything less. The model itself where it has no floats below float32.
    """
    if not narrow_unit(model):
        return model
    result = onnx.shape_inference.infer_shapes(model)
    graph = result.graph
    kinds = {value.name: value for value in (*graph.value_info, *graph.output)}
    outputs = {value.name for value in graph.output}
    copies = []
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name in kinds and kinds[name].type.tensor_type.elem_type in UNIT_ROUNDOFF:
                node.output[place] = f"{name}/computed"
                copies.append(onnx.helper.make_node("Identity", [node.output[place]], [name], name=f"{name}/stored"))
                if name not in outputs:
                    graph.output.append(kinds[name])
    del graph.value_info[:]
    graph.node.extend(copies)
    return order(result)


def _elements(model: onnx.ModelProto) -> Iterable[int]:
    for graph in walk.graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.type.tensor_type.elem_type
        for tensor in graph.initializer:
            yield tensor.data_type
        for node in graph.node:
            if node.op_type == "Cast" and not node.domain:
                yield walk.attribute(node, "to", 0)
