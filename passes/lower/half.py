"""float16 written into a model, for engines that compute in the types they are given (TensorRT 11, TensorRT-RTX).

Inputs and outputs stay float32, with a Cast behind and before them. What loses too much in half precision stays
float32: sums over many numbers, exponentials and roots, normalizations, and every node that reads a constant which
float16 does not hold. A node that only moves numbers takes them in the type they come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coachc.frontend import walk
from coachc.frontend.check_model import check
from coachc.frontend.opset import opset_of
from coachc.frontend.order import fresh, order, rename
from coachc.passes.lower.schema import schema_of
from coachc.passes.lower.scope import Scope

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT

#: Kept in float32. Reductions add up more numbers than 11 bits can tell apart; Exp, Pow, Softmax and the like leave the
#: range at 11 already; a normalization squares its input; a coordinate or a size in pixels is rounded to whole ones.
KEPT = frozenset(
    {
        "CumSum", "Exp", "GlobalAveragePool", "GlobalLpPool", "GridSample", "GroupNormalization",
        "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "LpNormalization", "LpPool",
        "MeanVarianceNormalization", "Mod", "NonMaxSuppression", "Pow", "RMSNormalization", "Range", "Reciprocal",
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "RoiAlign", "Softmax", "Softplus", "Sqrt", "TopK",
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    }
)  # fmt: skip

#: Move, compare or limit numbers: computed in whichever type their inputs have.
NEUTRAL = frozenset(
    {
        "Cast", "Clip", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
        "Identity", "MaxPool", "GlobalMaxPool", "Pad", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Slice",
        "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Halved:
    """A model in half precision, and what is not.

    Attributes
    ----------
    model : onnx.ModelProto
    halved : int
        Nodes that compute in float16.
    kept : tuple of (str, int)
        Operators that stay in float32 and how many nodes of each.
    too_large, too_small : tuple of str
        Constants that float16 does not hold: beyond 65504, or all zero although they are not. What reads them stays
        float32.
    """

    model: onnx.ModelProto
    halved: int
    kept: tuple[tuple[str, int], ...]
    too_large: tuple[str, ...]
    too_small: tuple[str, ...]


def to_fp16(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> Halved:
    """Write float16 into a model.

    Parameters
    ----------
    model : onnx.ModelProto
        Valid, static shapes, every node named.
    keep : collection of str
        Names of nodes that stay float32 besides.

    Returns
    -------
    Halved
        Its model has the inputs and outputs of `model`, float32 as before. Values that are computed in half keep their
        names. Checked by onnx and loaded by ONNX Runtime. float16 throughout loses 5e-4 of a number at each rounding;
        `passes.lower.agree` measures what that comes to.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    writer = _Writer(work, frozenset(keep))
    writer.write()
    result = order(work)
    scope = Scope(result)
    named = {value.name for value in (*result.graph.input, *result.graph.output)}
    made = [name for node in result.graph.node for name in node.output if name and name not in named]
    result.graph.value_info.extend(scope.values[name] for name in made if name in scope.values)
    result.producer_name = "coachc"
    check(result)
    return Halved(
        result,
        writer.halved,
        tuple(sorted(writer.kept.items())),
        tuple(sorted(writer.too_large)),
        tuple(sorted(writer.too_small)),
    )


class _Writer:
    """Decides node by node, in order, and rewrites the main graph; bodies of If, Loop and Scan stay float32."""

    def __init__(self, work: onnx.ModelProto, keep: frozenset[str]) -> None:
        self.graph = work.graph
        self.scope = Scope(work)
        self.keep = keep
        self.opset = opset_of(work)
        self.constants = {tensor.name: tensor for tensor in work.graph.initializer}
        self.homes: dict[str, int] = {}  # float32 values of the model -> the type they are in now
        self.casts: dict[tuple[str, int], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.made: list[onnx.TensorProto] = []
        self.halved = 0
        self.kept: Counter[str] = Counter()
        self.too_large: set[str] = set()
        self.too_small: set[str] = set()

    def write(self) -> None:
        outputs = {value.name for value in self.graph.output}
        for source in self.graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(source)
            slots = self._half_inputs(node)
            wanted = HALF if slots is not None and self._computes_in_half(node, slots) else FLOAT
            for index, name in enumerate(node.input):
                if self._is_float(name):
                    half = wanted == HALF and slots is not None and index in slots
                    node.input[index] = self._as(name, HALF if half else FLOAT, node)
            if any(True for _ in walk.bodies(node)):
                self._feed_bodies(node)
            self.nodes.append(node)
            self._outputs(node, wanted, outputs)
            if wanted == HALF:
                self.halved += 1
            elif any(self._is_float(name) for name in source.output):
                self.kept[node.op_type] += 1
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(self.made)
        del self.graph.value_info[:]

    def _is_float(self, name: str) -> bool:
        return bool(name) and self.scope.element(name) == FLOAT

    def _half_inputs(self, node: onnx.NodeProto) -> frozenset[int] | None:
        """Inputs that can be float16 together with the first output; None if the node has to stay as it is."""
        schema = None if node.domain else schema_of(node.op_type, self.opset)
        if schema is None or node.op_type in KEPT or node.name in self.keep or any(True for _ in walk.bodies(node)):
            return None
        allowed = {item.type_param_str: frozenset(item.allowed_type_strs) for item in schema.type_constraints}
        variable = schema.outputs[0].type_str
        if "tensor(float16)" not in allowed.get(variable, ()) or not self._is_float(node.output[0]):
            return None
        slots = []
        for index, name in enumerate(node.input):
            formal = schema.inputs[min(index, len(schema.inputs) - 1)]
            if self._is_float(name) and formal.type_str == variable:
                slots.append(index)
        # Outputs of the same variable change with it, others could not.
        same = all(
            schema.outputs[min(index, len(schema.outputs) - 1)].type_str == variable
            for index, name in enumerate(node.output)
            if self._is_float(name)
        )
        return frozenset(slots) if slots and same else None

    def _computes_in_half(self, node: onnx.NodeProto, slots: frozenset[int]) -> bool:
        for index in slots:
            if node.input[index] in self.constants and not self._holds(node.input[index]):
                return False
        if node.op_type not in NEUTRAL:
            return True
        moved = [node.input[i] for i in slots if node.input[i] not in self.constants]
        return any(self.homes.get(name, FLOAT) == HALF for name in moved)

    def _holds(self, name: str) -> bool:
        """Whether float16 holds a constant: no number beyond its range, and not all of them rounded to nothing."""
        array = numpy_helper.to_array(self.constants[name])
        finite = np.abs(array[np.isfinite(array)])
        if not finite.size:
            return True
        if float(finite.max()) > float(np.finfo(np.float16).max):
            self.too_large.add(name)
            return False
        if finite.max() and not finite.max().astype(np.float16):
            self.too_small.add(name)
            return False
        return True

    def _as(self, name: str, element: int, node: onnx.NodeProto) -> str:
        """The value in a type: itself, a constant rounded once, or a Cast that all readers share."""
        if name in self.constants:
            if element == FLOAT:
                return name
            if (name, HALF) not in self.casts:
                stem = f"{name}/fp16"
                made = stem if stem not in self.scope.taken else fresh(stem, self.scope.taken)
                array = numpy_helper.to_array(self.constants[name]).astype(np.float16)
                self.made.append(numpy_helper.from_array(array, made))
                self.casts[name, HALF] = made
            return self.casts[name, HALF]
        if self.homes.get(name, FLOAT) == element:
            return self._current(name)
        if (name, element) not in self.casts:
            stem = f"{name}/{'fp16' if element == HALF else 'fp32'}"
            made = stem if stem not in self.scope.taken else fresh(stem, self.scope.taken)
            self.nodes.append(helper.make_node("Cast", [self._current(name)], [made], name=made, to=element))
            self.casts[name, element] = made
        return self.casts[name, element]

    def _current(self, name: str) -> str:
        """A graph output computed in half has its own name only behind the Cast."""
        return self.casts.get((name, -1), name)

    def _feed_bodies(self, node: onnx.NodeProto) -> None:
        for body in walk.bodies(node):
            captured = {name: self._as(name, FLOAT, node) for name in walk.captured(body) if self._is_float(name)}
            rename(body, {old: new for old, new in captured.items() if old != new})

    def _outputs(self, node: onnx.NodeProto, wanted: int, outputs: set[str]) -> None:
        for index, name in enumerate(node.output):
            if not self._is_float(name) or wanted == FLOAT:
                continue
            self.homes[name] = HALF
            if name in outputs:
                inner = f"{name}/fp16"
                inner = inner if inner not in self.scope.taken else fresh(inner, self.scope.taken)
                node.output[index] = inner
                self.casts[name, -1] = inner
                self.casts[name, FLOAT] = name
                self.nodes.append(helper.make_node("Cast", [inner], [name], name=f"{inner}/out", to=FLOAT))
