"""What may hold of a model between the passes of import and of lowering, each with what a model itself says of it."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.check_model import check
from coachc.frontend.opset import LIFTED_OPSET, check_opset, lowest_ir, opset_of
from coachc.frontend.pass_driver import Condition
from coachc.frontend.read import tensors
from coachc.frontend.refuse import refuse_non_tensors, refuse_random, refuse_unknown
from coachc.frontend.shapes import static_shape


def not_refused(function: Callable[[onnx.ModelProto], None]) -> Callable[[onnx.ModelProto], str]:
    """What a function that refuses models says of one."""

    def against(model: onnx.ModelProto) -> str:
        try:
            function(model)
        except ModelError as exc:
            return exc.message
        return ""

    return against


def _external(model: onnx.ModelProto) -> str:
    elsewhere = (t.name for t in tensors(model) if t.data_location == onnx.TensorProto.EXTERNAL)
    return next((f"the data of '{name}' is in another file" for name in elsewhere), "")


def _functions(model: onnx.ModelProto) -> str:
    return f"it has local functions, such as {model.functions[0].name}" if model.functions else ""


def _spelled_otherwise(model: onnx.ModelProto) -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    if any(value.name in weights for value in model.graph.input):
        return "an initializer is an input too"
    if any(entry.domain == "ai.onnx" for entry in (*model.opset_import, *walk.nodes(model.graph))):
        return "the default domain is spelt out"
    if any(inner.sparse_initializer or inner.quantization_annotation for inner in walk.graphs(model.graph)):
        return "it has sparse initializers or annotations"
    return "it has training information" if model.training_info else ""


def _unsorted(model: onnx.ModelProto) -> str:
    def within(graph: onnx.GraphProto, outer: frozenset[str]) -> str:
        made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            unknown = [name for name in walk.reads(node) if name not in made and name not in outer]
            if unknown:
                return f"{walk.label(node)} reads '{unknown[0]}', which nothing before it makes"
            for body in walk.bodies(node):
                if found := within(body, outer | made):
                    return found
            again = [name for name in node.output if name in made]
            if again:
                return f"{walk.label(node)} makes '{again[0]}' once more"
            made.update(name for name in node.output if name)
        return next((f"nothing makes output '{v.name}'" for v in graph.output if v.name not in made | outer), "")

    return within(model.graph, frozenset())


def _unnamed(model: onnx.ModelProto) -> str:
    seen: set[str] = set()
    for node in walk.nodes(model.graph):
        if not node.name or node.name in seen:
            return f"{walk.label(node)} has no name of its own"
        seen.add(node.name)
    return ""


def _open_inputs(model: onnx.ModelProto) -> str:
    return next((f"'{value.name}' has open axes" for value in model.graph.input if static_shape(value) is None), "")


def _too_old(model: onnx.ModelProto) -> str:
    found = opset_of(model)
    return "" if found >= LIFTED_OPSET else f"it has opset {found}"


def _later_ir(model: onnx.ModelProto) -> str:
    lowest = lowest_ir(model)
    return "" if model.ir_version == lowest else f"it states IR {model.ir_version}, and {lowest} would do"


def _constant_nodes(model: onnx.ModelProto) -> str:
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Constant" and not node.domain and not outputs.intersection(node.output):
            return f"{walk.label(node)} is left"
    return ""


def _open_values(model: onnx.ModelProto) -> str:
    made = {name for node in model.graph.node for name in node.output}
    for value in model.graph.value_info:
        if static_shape(value) is None or value.name not in made:
            return f"what is stated of '{value.name}' is not the shape of a value"
    return ""


#: External data is read, from files that are safe to read.
WEIGHTS_INLINE = Condition("weights inline", _external)
SUPPORTED_OPSET = Condition("a supported opset", not_refused(check_opset))
NO_FUNCTIONS = Condition("no local functions", _functions)
#: One spelling for what ONNX lets a file say in several ways, see `frontend.normalize`.
ONE_FORM = Condition("one form", _spelled_otherwise)
#: Nodes in topological order, in bodies too, and every value made once.
SORTED = Condition("nodes sorted", _unsorted)
NAMED = Condition("nodes named", _unnamed)
KNOWN_OPERATORS = Condition("known operators", not_refused(refuse_unknown))
#: Nothing random, and nothing in training mode.
REPEATABLE = Condition("results repeatable", not_refused(refuse_random))
TENSORS = Condition("tensors alone", not_refused(refuse_non_tensors))
STATIC_INPUTS = Condition("input shapes static", _open_inputs)
OPSET_13 = Condition(f"opset at least {LIFTED_OPSET}", _too_old)
LOWEST_IR = Condition("lowest IR version", _later_ir)
FOLDED = Condition("no constant nodes", _constant_nodes)
STATIC_VALUES = Condition("value shapes static", _open_values)
#: As dear as the pass that ensures it: a look at the whole model by onnx and by ONNX Runtime.
CHECKED = Condition("checked", not_refused(check))

#: What import ensures, and lowering is given.
IMPORTED = (
    WEIGHTS_INLINE, SUPPORTED_OPSET, NO_FUNCTIONS, ONE_FORM, SORTED, NAMED, KNOWN_OPERATORS, REPEATABLE, TENSORS,
    STATIC_INPUTS, OPSET_13, LOWEST_IR, FOLDED, STATIC_VALUES, CHECKED,
)  # fmt: skip
