"""Names of a model's nodes and shapes of its inputs, read from its bytes without the onnx package.

A parser that refuses a node may say no more of it than its number; a person needs its name and operator. An input whose
first axis is open needs a range of sizes. This reads just those from the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) with the field numbers of onnx.proto.
"""

from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

#: ModelProto.graph; GraphProto.node, initializer and input; NodeProto.output, name and op_type.
_GRAPH, _NODE, _INITIALIZER, _INPUT, _OUTPUT, _NAME, _OPERATOR = 7, 1, 5, 11, 2, 3, 4
#: ValueInfoProto.name; TensorProto.name; from ValueInfoProto to each dimension; its dim_value.
_VALUE_NAME, _TENSOR_NAME, _TO_DIMS, _SIZE = 1, 8, (2, 1, 2, 1), 1


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


def open_inputs(model: bytes) -> Dict[str, Tuple[int, ...]]:
    """By input with an open axis: its shape, -1 along open axes; what is damaged is left out."""
    shapes, constants = {}, set()
    try:
        for number, graph in _fields(memoryview(model)):
            if number == _GRAPH and not isinstance(graph, int):
                for inner, item in _fields(graph):
                    if inner == _INPUT and not isinstance(item, int):
                        shapes[_text(item, _VALUE_NAME)] = _shape_of(item)
                    elif inner == _INITIALIZER and not isinstance(item, int):
                        constants.add(_text(item, _TENSOR_NAME))
    except (IndexError, ValueError):
        pass
    return {name: shape for name, shape in shapes.items() if -1 in shape and name not in constants}


def _shape_of(value: memoryview) -> Tuple[int, ...]:
    dims = [value]
    for wanted in _TO_DIMS:
        dims = [
            field for dim in dims for number, field in _fields(dim) if number == wanted and not isinstance(field, int)
        ]
    return tuple(
        next((size for number, size in _fields(dim) if number == _SIZE and isinstance(size, int)), -1) for dim in dims
    )


def _text(message: memoryview, wanted: int) -> str:
    fields = [value for number, value in _fields(message) if number == wanted and not isinstance(value, int)]
    return bytes(fields[0]).decode("utf-8", "replace") if fields else ""


def _name_of(node: memoryview) -> NodeName:
    texts = {_OUTPUT: "", _NAME: "", _OPERATOR: ""}
    for number, value in _fields(node):
        if number in texts and not texts[number] and not isinstance(value, int):
            texts[number] = bytes(value).decode("utf-8", "replace")
    return NodeName(texts[_NAME] or texts[_OUTPUT], texts[_OPERATOR])


def _fields(data: memoryview) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """Field number and value: a number for varints; 0 for fixed-width numbers, which nobody here asks for."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            number, place = _varint(data, place)
            yield key >> 3, number
            continue
        if kind in (1, 5):
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
