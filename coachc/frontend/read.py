"""Files to a ModelProto with its weights inline. Trusts nothing the file says about other files.

External data is resolved here rather than by `onnx.load`, whose own checks were circumvented more than once
(CVE-2022-25882, CVE-2024-27318, CVE-2026-34446): a location must be a plain relative path to a regular file inside the
model's folder, reached through no symbolic link and having no second hard link. The file is checked again after it is
opened, so that it cannot be exchanged in between.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from coachc.errors import ModelError
from coachc.frontend import walk

# Protobuf cannot serialize more than this into one message, and onnx's checker and shape inference serialize.
MAX_BYTES = 2**31 - 1

_SUB_BYTE_BITS = {
    onnx.TensorProto.INT4: 4, onnx.TensorProto.UINT4: 4, onnx.TensorProto.FLOAT4E2M1: 4,
    **{getattr(onnx.TensorProto, name): 2 for name in ("INT2", "UINT2") if hasattr(onnx.TensorProto, name)},
}  # fmt: skip

_EXPORT_HINT = "export again, e.g. coachc export, or torch.onnx.export"
_ONE_FOLDER = "put the data file beside the model as a plain file (cp -L) and name it by its relative path"


@dataclass(frozen=True)
class Source:
    """A model as read.

    Attributes
    ----------
    proto : ModelProto
        External data loaded.
    sha256 : str
        Over the file's bytes, then those of its external data files by name.
    name : str
        File stem.
    """

    proto: onnx.ModelProto
    sha256: str
    name: str


def read_model(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Source:
    """Read an ONNX file and its external data.

    Parameters
    ----------
    path : path
    max_bytes : int
        Limit on the model file and all its external data files together.

    Returns
    -------
    Source

    Raises
    ------
    ModelError
        No such file, not ONNX, too large, or external data that is missing or unsafe.
    """
    file = Path(path)
    data = _read_file(file, max_bytes)
    proto = _parse(data, file)
    digest = hashlib.sha256(data)
    for content in _load_external(proto, file, max_bytes - len(data)):
        digest.update(content)
    return Source(proto, digest.hexdigest(), file.stem)


def _read_file(file: Path, max_bytes: int) -> bytes:
    try:
        if file.is_dir():
            raise ModelError(f"{file} is a directory, not an ONNX file", hint="name the .onnx file inside it")
        size = file.stat().st_size
        if size > max_bytes:
            raise _too_large(f"{file} is", size, max_bytes)
        data = file.read_bytes()
    except FileNotFoundError as exc:
        raise ModelError(f"no such file: {file}", hint="check the path") from exc
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror}") from exc
    if not data:
        raise ModelError(f"{file} is empty", hint=_EXPORT_HINT)
    return data


def _too_large(what: str, size: int, limit: int) -> ModelError:
    return ModelError(
        f"{what} too large: {size} bytes",
        context=(f"supported    up to {limit} bytes, model and external data together",),
        hint="store the weights as float16, or export the vision part of the model alone",
    )


def _parse(data: bytes, file: Path) -> onnx.ModelProto:
    if data.startswith(b"version https://git-lfs"):
        raise ModelError(f"{file} is a Git LFS pointer, not the model itself", hint="git lfs pull")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as exc:
        raise ModelError(f"{file} is not an ONNX model: it does not parse", hint=_EXPORT_HINT) from exc
    # Almost any short text parses as a message of unknown fields, so parsing alone proves little.
    if not proto.HasField("graph"):
        raise ModelError(f"{file} is not an ONNX model: it has no graph", hint=_EXPORT_HINT)
    if not proto.opset_import:
        raise ModelError(f"{file} is not a usable ONNX model: it states no opset", hint=_EXPORT_HINT)
    if not proto.graph.node:
        raise ModelError(f"{file} has a graph without nodes", hint=_EXPORT_HINT)
    if not proto.graph.output:
        raise ModelError(f"{file} has a graph without outputs", hint=_EXPORT_HINT)
    # ONNX is a proto2 format: protobuf hands over text that is no UTF-8 as bytes, which nothing later expects.
    if (broken := next((text for text in _texts(proto) if isinstance(text, bytes)), None)) is not None:
        raise ModelError(
            f"{file} is damaged: a name in it is not UTF-8 text",
            context=(f"found        {broken!r}",),
            hint=_EXPORT_HINT,
        )
    return proto


def _texts(proto: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every name that later steps handle."""
    yield from (entry.domain for entry in proto.opset_import)
    for function in proto.functions:
        yield from (function.name, function.domain, *function.input, *function.output)
    lists = [graph.node for graph in walk.graphs(proto.graph)] + [function.node for function in proto.functions]
    for nodes in lists:
        for node in nodes:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            yield from (attribute.name for attribute in node.attribute)
    for graph in walk.graphs(proto.graph):
        yield graph.name
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for tensor in tensors(proto):
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)


def _load_external(proto: onnx.ModelProto, file: Path, budget: int) -> Iterator[bytes]:
    """Make external tensors inline; yield each data file's content, by name."""
    by_location: dict[str, list[onnx.TensorProto]] = {}
    for tensor in tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            by_location.setdefault(_location(tensor), []).append(tensor)
    for location in sorted(by_location):
        content = _read_external(file.parent, location, by_location[location][0], budget)
        budget -= len(content)
        for tensor in by_location[location]:
            _inline(tensor, location, content)
        yield content
    for tensor in tensors(proto):
        _check_size(tensor)


def _check_size(tensor: onnx.TensorProto) -> None:
    """Raw data as long as type and shape say; later readers would fail in their own, unhelpful ways."""
    if not tensor.HasField("raw_data"):
        return
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError as exc:
        raise ModelError(f"tensor '{tensor.name}' has unknown type {tensor.data_type}", hint=_EXPORT_HINT) from exc
    expected = (math.prod(tensor.dims) * _SUB_BYTE_BITS.get(tensor.data_type, dtype.itemsize * 8) + 7) // 8
    if min(tensor.dims, default=0) < 0 or expected != len(tensor.raw_data):
        raise ModelError(
            f"tensor '{tensor.name}' of {dtype.name}{list(tensor.dims)} has data of the wrong size",
            context=(f"expected     {expected} bytes", f"found        {len(tensor.raw_data)} bytes"),
            hint="the model or its data file is damaged: copy or export it again",
        )


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers, and those among the attributes of nodes, wherever these are."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)
    for training in proto.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (
            *((attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()),
            *attribute.sparse_tensors,
        ):
            yield from (sparse.values, sparse.indices)
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def _refused(tensor: onnx.TensorProto, location: str, why: str, hint: str = _ONE_FOLDER) -> ModelError:
    return ModelError(
        f"external data of tensor '{tensor.name}' refused: {why}", context=(f"location     {location!r}",), hint=hint
    )


def _location(tensor: onnx.TensorProto) -> str:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    parts = location.split("/")
    if not location:
        raise _refused(tensor, location, "it states no location")
    if "\0" in location or "\\" in location or (len(location) > 1 and location[1] == ":"):
        raise _refused(tensor, location, "the location has a backslash, a drive letter or a NUL")
    if location.startswith("/"):
        raise _refused(tensor, location, "the location is absolute")
    if ".." in parts:
        raise _refused(tensor, location, "the location contains '..'")
    plain = "/".join(part for part in parts if part not in ("", "."))
    if not plain:
        raise _refused(tensor, location, "the model's folder is not a regular file")
    return plain


def _read_external(folder: Path, location: str, tensor: onnx.TensorProto, budget: int) -> bytes:
    step = folder
    for part in location.split("/"):
        step = step / part
        try:
            mode = step.lstat().st_mode
        except FileNotFoundError as exc:
            raise _refused(tensor, location, f"there is no file {step}") from exc
        except OSError as exc:
            raise _refused(tensor, location, f"{step}: {exc.strerror}") from exc
        if stat.S_ISLNK(mode):
            raise _refused(tensor, location, f"{step} is a symbolic link")
    if not step.resolve().is_relative_to(folder.resolve()):
        raise _refused(tensor, location, "it lies outside the model's folder")
    if not stat.S_ISREG(mode):
        raise _refused(tensor, location, f"{step} is not a regular file")
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hang the compiler.
        descriptor = os.open(step, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(tensor, location, f"{step} is not a regular file")
            if status.st_nlink != 1:
                raise _refused(
                    tensor, location, f"{step} has {status.st_nlink} hard links, so other names can change it"
                )
            if status.st_size > budget:
                raise _too_large(f"{step} makes the model", status.st_size, budget)
            return stream.read(budget + 1)
    except OSError as exc:
        raise _refused(tensor, location, f"cannot read {step}: {exc.strerror}") from exc


def _inline(tensor: onnx.TensorProto, location: str, content: bytes) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries["length"]) if entries.get("length") else len(content) - offset
    except ValueError as exc:
        raise _refused(tensor, location, "its offset or length is not a number", _EXPORT_HINT) from exc
    if offset < 0 or length < 0 or offset + length > len(content):
        raise _refused(
            tensor,
            location,
            f"offset {offset} + length {length} exceeds the file's {len(content)} bytes",
            "the data file is cut short or belongs to another model: copy both again",
        )
    tensor.raw_data = content[offset : offset + length]
    del tensor.external_data[:]
    tensor.ClearField("data_location")
