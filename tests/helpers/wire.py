"""Bytes of a request's header, written out by hand."""

from __future__ import annotations

import math

from coachc.core.graph import Value

#: Of everything that is of no tensor, where a test says nothing of the model.
REQUEST_BYTES = 330
RAW = {"float32": ("FP32", 4), "int64": ("INT64", 8), "bool": ("BOOL", 1), "uint8": ("UINT8", 1)}


def entry_bytes(value: Value, bits: int | None) -> int:
    """One tensor's part of the JSON header: codes of `bits` bits, or the value as it is."""
    if bits is None or value.dtype != "float32":
        datatype, width = RAW[value.dtype]
        shape = ",".join(map(str, value.shape))
        size = width * math.prod(value.shape)
        name = value.name
    else:
        size = math.ceil(math.prod(value.shape) * bits / 8)
        name, datatype, shape = f"{value.name}/codes", "UINT8", str(size)
    text = f'{{"name":"{name}","datatype":"{datatype}","shape":[{shape}],"parameters":{{"binary_data_size":{size}}}}},'
    return len(text)


def codes_for(total_bytes: int, name: str, *, first: bool = False) -> int:
    """Elements that take so many bytes at 8 bits with their header, and with the request's if they are `first`."""
    for count in range(total_bytes, 0, -1):
        header = entry_bytes(Value(name, "float32", (count,)), 8)
        if count + header + (REQUEST_BYTES if first else 0) == total_bytes:
            return count
    raise AssertionError(f"no number of elements takes {total_bytes} bytes")
