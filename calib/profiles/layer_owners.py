"""Which fused operator a layer of an engine is, by the name the engine gives it.

Engines fuse too, and join names: TensorRT writes "Conv_0 + Relu_1" and "PWN(Sigmoid_3, Mul_4)". ONNX Runtime names a
kernel in its blocked layout after the value it makes, and a fusion after one of its nodes with words around it ("fused
fc1", "q/MatMulAddFusion"), or after nothing but its kind ("Gelu", "Transpose"). A layer that is told by its kind only
is of operators that no other layer spoke of; what belongs to no operator (a copy between layouts) is spread over all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coachc.core.graph import GraphView, Work
from coachc.frontend.model import Model

#: What ONNX Runtime's blocked layout appends to a value's name; the second is a batch normalization made a convolution.
BLOCKED_SUFFIXES = ("_nchwc", "_bn_nchwc")
#: Layers that only move data between layouts and precisions.
_COPIES = re.compile(
    r"Reformatting CopyNode|Reorder(In|Out)put|^Reformat|copy of|^Memcpy|^gemm_(in|out)put_reshape|_new_reshape$",
    re.IGNORECASE,
)
#: Around the name of a node in the name of a fusion.
_BEFORE, _AFTER = re.compile(r"^fused "), re.compile(r"(/\w+Fusion.*|_token_\d+.*|/duplicated.*)$")
#: Between the names that TensorRT joins, and around them.
_JOINTS = re.compile(r"\s\+\s|\s\|\|\s|,\s*|PWN\(|\)|\[|\]|fusedActivation|\{ForeignNode|\.\.\.|\}")


@dataclass(frozen=True)
class Mapped:
    """Layers given to operators.

    Attributes
    ----------
    seconds : tuple of float
        By operator.
    named_s, copies_s : float
        Of the layers whose names are of operators, and of layers between operators.
    unknown : tuple of str
        Layers whose names say nothing; the operators that no layer spoke of have their time.
    unknown_s : float
        Of those layers, where every operator was spoken of: then nobody has it.
    """

    seconds: tuple[float, ...]
    named_s: float
    copies_s: float
    unknown: tuple[str, ...]
    unknown_s: float = 0.0


def map_layers(layers: Iterable[tuple[str, float]], model: Model, graph: GraphView) -> Mapped:
    """Give each layer's seconds to the operators it is of, in equal parts where it is of several.

    Parameters
    ----------
    layers : iterable of (str, float)
        Name and seconds.
    model : Model
    graph : GraphView
        Of the same model.
    """
    owners = layer_owners(model, graph)
    seconds = [0.0] * len(graph.nodes)
    copies_s, unknown, unknown_s = 0.0, [], 0.0
    for name, spent_s in layers:
        found = owners_of(name, owners)
        if _COPIES.search(name):
            copies_s += spent_s
        elif not found:
            unknown.append(name)
            unknown_s += spent_s
        for owner in found if not _COPIES.search(name) else ():
            seconds[owner] += spent_s / len(found)
    named_s = sum(seconds)
    silent = {index: _moved(node.work) for index, node in enumerate(graph.nodes) if not seconds[index]}
    total = sum(silent.values())
    if not unknown_s or not total:
        return Mapped(tuple(seconds), named_s, copies_s, tuple(unknown), unknown_s)
    for index, moved in silent.items():
        seconds[index] = unknown_s * moved / total
    return Mapped(tuple(seconds), named_s, copies_s, tuple(unknown))


def _moved(work: Work) -> int:
    """How much of the time of layers without a name is an operator's: by the elements that it reads and writes."""
    return 0 if work.free else work.input_elements + work.weight_elements + work.output_elements


def layer_owners(model: Model, graph: GraphView) -> dict[str, int]:
    """Index of the fused operator behind each name that an engine may use: its nodes', and the values' they make."""
    index_of = {member: index for index, node in enumerate(graph.nodes) for member in node.members}
    nodes = [node for node in model.proto.graph.node if node.name in index_of]
    by_value = {
        f"{output}{suffix}": index_of[node.name]
        for node in nodes
        for output in node.output
        for suffix in ("", *BLOCKED_SUFFIXES)
    }
    return by_value | {node.name: index_of[node.name] for node in nodes}


def owners_of(name: str, owners: Mapping[str, int]) -> tuple[int, ...]:
    """The operators a layer's name speaks of, each once; none where it speaks of none."""
    if name in owners:
        return (owners[name],)
    bare = _AFTER.sub("", _BEFORE.sub("", name))
    if bare in owners:
        return (owners[bare],)
    parts = [part.strip().strip("()") for part in _JOINTS.split(name)]
    return tuple(dict.fromkeys(owners[part] for part in parts if part in owners))
