"""The part of a model that makes some of its values out of others, as a model of its own.

Which operators that is follows from the values: whatever leads to those that leave and does not lie behind those that
enter, and the constants that these read. Where a model is cut, and what happens to the values there, is the caller's.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx
import onnx_graphsurgeon as gs

from coachc.errors import InternalError, ModelError
from coachc.frontend import walk
from coachc.frontend.model import Model
from coachc.passes.surgery import Tensors, export, import_graph, typed_variable

#: What a value is called in the model, and where it enters a part or leaves it.
Crossing = tuple[str, str]


def extract(model: Model, inputs: Sequence[Crossing], outputs: Sequence[Crossing]) -> onnx.ModelProto:
    """What a model does between some of its values.

    Parameters
    ----------
    model : Model
    inputs : sequence of Crossing
        Values that depend on the model's inputs. All become inputs, needed or not, in this order.
    outputs : sequence of Crossing
        Values that depend on the model's inputs, those that enter among them, and outputs of the model, even constant
        ones. One that leaves under another name is copied.

    Returns
    -------
    onnx.ModelProto
        Its nodes and values have the names and the order that they have in the model. Values that enter or leave have
        the types and shapes that import found, outputs of the model those that the model states.

    Raises
    ------
    coachc.errors.InternalError
        The values that enter are not all that is needed; or one is made inside as well, or is none.
    coachc.errors.ModelError
        The model has something else of a name that a value has only at the border.

    Examples
    --------
    The middle of x -> Conv -> a -> Relu -> b -> Conv -> y: ``extract(model, [("a", "a")], [("b", "b")])``
    """
    entering = [name for name, _ in inputs]
    _check_crossings(model, inputs, outputs)
    between = _between(model.proto.graph, entering, [name for name, _ in outputs])
    _check_names([model.proto.graph.node[index] for index in between], [*inputs, *outputs])

    part = import_graph(model.proto)
    tensors = Tensors(part)
    nodes, leaving = [part.nodes[index] for index in between], []
    for name, border in outputs:
        tensor = tensors[name]
        if name not in model.outputs:
            tensor = typed_variable(tensor, model.values[name])
        if border != name:
            source, tensor = tensor, gs.Variable(border, tensor.dtype, tensor.shape)
            nodes.append(gs.Node("Identity", name=border, inputs=[source], outputs=[tensor]))
        leaving.append(tensor)
    for name, border in inputs:
        tensor = typed_variable(tensors[name], model.values[name])
        tensor.inputs.clear()
        tensor.name = border
    part.nodes, part.inputs, part.outputs = nodes, [tensors[name] for name in entering], leaving
    return export(part, model)


def as_they_are(names: Iterable[str]) -> list[Crossing]:
    """Values that cross under the names they have."""
    return [(name, name) for name in names]


def _between(graph: onnx.GraphProto, entering: Sequence[str], leaving: Sequence[str]) -> list[int]:
    """Positions of the nodes that lead from some values to others, found backwards."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    known = {*entering, *_constants(graph)}
    found: set[int] = set()
    orphans: dict[str, str] = {}
    asked = [(name, "the part gives it") for name in reversed(leaving)]
    while asked:
        name, why = asked.pop()
        if name in known:
            continue
        known.add(name)
        if name not in maker:
            orphans[name] = why
        elif maker[name] not in found:
            found.add(maker[name])
            node = graph.node[maker[name]]
            asked += [(read, f"{walk.label(node)} reads it") for read in reversed(walk.reads(node))]
    if orphans:
        listed = ", ".join(f"'{name}' ({why})" for name, why in orphans.items())
        raise InternalError(f"values are left without a source: {listed}")
    for name in entering:
        if maker.get(name) in found:
            node = graph.node[maker[name]]
            raise InternalError(f"'{name}' enters, but {walk.label(node)}, which makes it, is inside")
    return sorted(found)


def _constants(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)


def _check_crossings(model: Model, inputs: Sequence[Crossing], outputs: Sequence[Crossing]) -> None:
    constants = set(_constants(model.proto.graph))
    for name, _ in inputs:
        if name not in model.values or name in constants:
            raise InternalError(f"'{name}' enters, but depends on no input of the model")
    for name, _ in outputs:
        if name not in model.values:
            raise InternalError(f"'{name}' leaves, but neither depends on an input nor is an output of the model")
    for way, crossings in (("enters", inputs), ("leaves", outputs)):
        twice = next((one for one, count in Counter(crossings).items() if count > 1), None)
        if twice is not None:
            raise InternalError(f"'{twice[0]}' {way} twice as '{twice[1]}'")


def _check_names(nodes: Iterable[onnx.NodeProto], crossings: Sequence[Crossing]) -> None:
    """Refuse a name that a value has at the border only, where something else in the part has it."""
    renamed = {border: name for name, border in crossings if border != name}
    others = ((border, "the border") for name, border in crossings if renamed.get(border, name) != name)
    inside = ((name, walk.label(node)) for node in (nodes if renamed else ()) for name in _names(node))
    for name, where in itertools.chain(inside, others):
        if name in renamed:
            raise ModelError(
                f"'{renamed[name]}' cannot cross as '{name}': that name is taken at {where}",
                hint=f"rename '{name}' in the model, or cut it elsewhere",
            )


def _names(node: onnx.NodeProto) -> Iterator[str]:
    """Of a node, of what it reads and makes, and of what its bodies make."""
    yield from (node.name, *walk.reads(node), *node.output)
    for body in walk.bodies(node):
        for inner in walk.graphs(body):
            yield from walk.made(inner)
