"""Models as bytes with nothing but their nodes and inputs, written without onnx. Python 3.6-clean."""


def model_of(*nodes, inputs=None, constants=()):
    """A model of nodes given as (name, output, operator), in protobuf's bytes.

    `inputs` has shapes by name, -1 along open axes; `constants` are initializers of these names.
    """
    graph = b"".join(
        field(1, field(1, b"x") + field(2, o.encode()) + (field(3, n.encode()) if n else b"") + field(4, k.encode()))
        for n, o, k in nodes
    )
    graph += field(2, b"graph") + b"".join(field(5, field(8, name.encode())) for name in constants)
    for name, shape in (inputs or {}).items():
        dims = b"".join(field(1, field(2, b"n") if size < 0 else b"\x08" + varint(size)) for size in shape)
        graph += field(11, field(1, name.encode()) + field(2, field(1, b"\x08\x01" + field(2, dims))))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x0d")


def field(number, data):
    """A field of bytes."""
    return bytes((number << 3 | 2,)) + varint(len(data)) + data


def varint(value):
    """A number, seven bits a byte."""
    made = []
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes(made + [value])
