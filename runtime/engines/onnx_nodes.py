"""Names of a model's nodes, read from its bytes without the onnx package.

A parser that refuses a node may say no more of it than its number; a person needs its name and operator. This reads
just those from the protobuf wire format (https://protobuf.dev/programming-guides/encoding) with the field numbers of
onnx.proto: ModelProto.graph 7, GraphProto.node 1, NodeProto.output 2, name 3, op_type 4.
"""

from typing import Iterator, List, NamedTuple, Tuple, Union

_GRAPH, _NODE, _OUTPUT, _NAME, _OPERATOR = 7, 1, 2, 3, 4


class NodeName(NamedTuple):
    """A node's name (its first output's where it has none) and operator."""

    name: str
    operator: str


def node_names(model: bytes) -> List[NodeName]:
    """Of a serialized ONNX model's nodes, in order; those before the damage where the bytes are no model."""
    found = []
    try:
        for number, graph in _fields(memoryview(model)):
            if number == _GRAPH and not isinstance(graph, int):
                for inner, node in _fields(graph):
                    if inner == _NODE and not isinstance(node, int):
                        found.append(_name_of(node))
    except (IndexError, ValueError):
        pass
    return found


def _name_of(node: memoryview) -> NodeName:
    texts = {_OUTPUT: "", _NAME: "", _OPERATOR: ""}
    for number, value in _fields(node):
        if number in texts and not texts[number] and not isinstance(value, int):
            texts[number] = bytes(value).decode("utf-8", "replace")
    return NodeName(texts[_NAME] or texts[_OUTPUT], texts[_OPERATOR])


def _fields(data: memoryview) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """Field number and value; 0 for the numbers, which nobody here asks for."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            place = _varint(data, place)[1]
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise ValueError("a field is longer than the message")
            yield key >> 3, data[place : place + length]
            place += length
            continue
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, 0


def _varint(data: memoryview, place: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
