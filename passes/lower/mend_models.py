"""What is mended of a whole model: outputs that are left out, and how constants are stored.

Called for what a target refuses of it: limits of `coachc.targets` that are about no single operator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx
from onnx import TensorProto, numpy_helper

from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.frontend.order import fresh
from coachc.passes.lower.mend_names import trimmed
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.schema import schema_of


def mend(model: onnx.ModelProto, limits: Collection[str], tally: Tally) -> onnx.ModelProto:
    """A model without what breaks some limits; the very model given where nothing can be done about them.

    Parameters
    ----------
    model : onnx.ModelProto
        Every node named.
    limits : collection of str
        Of whole models, by their ids.
    tally : Tally
        Where what is rewritten is counted.
    """
    ways = dict.fromkeys(MODEL_MENDS[limit] for limit in sorted(limits) if limit in MODEL_MENDS)
    if not ways:
        return model
    work = onnx.ModelProto()
    work.CopyFrom(model)
    for way in ways:
        way(work, tally)
    return work


def name_outputs(work: onnx.ModelProto, tally: Tally) -> None:
    """Outputs spelled "" are dropped where they come last, and get a name that nobody reads elsewhere."""
    taken = {name for graph in walk.graphs(work.graph) for name in walk.made(graph)}
    opset = opset_of(work)
    for node in walk.nodes(work.graph):
        if "" not in node.output:
            continue
        schema = schema_of(node.op_type, opset) if not node.domain else None
        names = list(node.output)
        if schema is not None and not _variadic(schema):
            names = trimmed(names, schema.min_output)
        del node.output[:]
        node.output.extend(name or fresh(f"{node.name}/skipped", taken) for name in names)
        tally.node(node.name)


def _variadic(schema: onnx.defs.OpSchema) -> bool:
    options = onnx.defs.OpSchema.FormalParameterOption
    return bool(schema.outputs) and schema.outputs[-1].option == options.Variadic


def store_bytes(work: onnx.ModelProto, tally: Tally) -> None:
    """Constants of float16 as they lie in memory, not in words of 32 bits."""
    for graph in walk.graphs(work.graph):
        inside = [entry.t for node in graph.node for entry in node.attribute if entry.HasField("t")]
        for tensor in (*graph.initializer, *inside):
            if tensor.data_type == TensorProto.FLOAT16 and tensor.int32_data:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
                tally.other("float16 constants")


#: Limit of a whole model -> what mends it, in place.
MODEL_MENDS: dict[str, Callable[[onnx.ModelProto, Tally], None]] = {
    "empty-cycle": name_outputs,
    "empty-outputs": name_outputs,
    "float16-words": store_bytes,
}
