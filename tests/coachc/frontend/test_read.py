"""Files: what is read, what is refused, and external data that tries to reach elsewhere."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from coachc.errors import ModelError
from coachc.frontend.read import read_model


def external(tensor, location, **entries):
    """Turn an inline tensor into one whose data lies elsewhere; return the data."""
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(text))
    return data


@pytest.fixture
def outside(onnxes):
    """Save a convnet whose weight 'w' states `location`; the good data goes to `file`."""

    def save(location, file="weights.bin", **entries):
        net = onnxes.convnet()
        data = external(net.graph.initializer[0], location, **entries)
        target = onnxes.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return onnxes.save(net), data

    return save


def test_reads_bytes_hash_and_stem(onnxes):
    path = onnxes.save(onnxes.convnet(), "tiny.v1.onnx")
    source = read_model(path)
    assert source.name == "tiny.v1"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.proto == onnxes.convnet()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x08", "is not an ONNX model: it does not parse"),
        (b"\x89PNG\r\n\x1a\n not a model", "is not an ONNX model: it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "is not an ONNX model: it has no graph"),
    ],
)
def test_refuses_what_is_not_onnx(tmp_path, content, message):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_model(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_refuses_missing_file_and_directory(tmp_path):
    with pytest.raises(ModelError, match=r"no such file: .*absent\.onnx"):
        read_model(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory, not an ONNX file"):
        read_model(tmp_path)


def test_refuses_a_graph_without_opset_nodes_or_outputs(onnxes):
    net = onnxes.convnet()
    del net.opset_import[:]
    with pytest.raises(ModelError, match="states no opset"):
        read_model(onnxes.save(net))
    net = onnxes.convnet()
    del net.graph.node[:]
    with pytest.raises(ModelError, match="graph without nodes"):
        read_model(onnxes.save(net))
    net = onnxes.convnet()
    del net.graph.output[:]
    with pytest.raises(ModelError, match="graph without outputs"):
        read_model(onnxes.save(net))


def test_refuses_a_file_above_the_limit(onnxes):
    path = onnxes.save(onnxes.convnet())
    with pytest.raises(ModelError, match="is too large") as caught:
        read_model(path, max_bytes=100)
    assert caught.value.context == ("supported    up to 100 bytes, model and external data together",)


def test_refuses_more_than_two_gib_without_reading_it(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as stream:
        stream.truncate(2**31)  # sparse: takes no disk
    with pytest.raises(ModelError, match="is too large: 2147483648 bytes"):
        read_model(path)


def test_refuses_inline_data_of_the_wrong_size(onnxes):
    net = onnxes.convnet()
    net.graph.initializer[0].raw_data = b"1234"
    with pytest.raises(ModelError, match=r"tensor 'w' of float32\[4, 3, 3, 3\] has data of the wrong size") as caught:
        read_model(onnxes.save(net))
    assert caught.value.context == ("expected     432 bytes", "found        4 bytes")


def test_refuses_an_unknown_tensor_type(onnxes):
    net = onnxes.convnet()
    net.graph.initializer[0].data_type = 99
    with pytest.raises(ModelError, match="tensor 'w' has unknown type 99"):
        read_model(onnxes.save(net))


def test_refuses_names_that_are_not_text(onnxes):
    path = onnxes.save(onnxes.convnet())
    path.write_bytes(path.read_bytes().replace(b"MaxPool", b"Max\xf8ool"))
    with pytest.raises(ModelError, match="is damaged: a name in it is not UTF-8 text") as caught:
        read_model(path)
    assert caught.value.context == (r"found        b'Max\xf8ool'",)


def test_sub_byte_tensors_are_packed(onnxes):
    net = onnxes.convnet(opset=21)
    net.graph.initializer.append(helper.make_tensor("packed", TensorProto.INT4, [3], [1, -2, 3]))
    assert len(read_model(onnxes.save(net)).proto.graph.initializer[-1].raw_data or b"12") == 2


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "parts/w/weights.bin"])
def test_loads_external_data(outside, onnxes, location):
    path, data = outside(location, location)
    source = read_model(path)
    assert source.proto == onnxes.convnet()
    assert source.sha256 == hashlib.sha256(path.read_bytes() + data).hexdigest()


def test_loads_parts_of_one_file(onnxes):
    net = onnxes.convnet()
    first = external(net.graph.initializer[0], "all.bin", offset=0, length=432)
    second = external(net.graph.initializer[1], "all.bin", offset=432, length=16)
    (onnxes.folder / "all.bin").write_bytes(first + second)
    assert read_model(onnxes.save(net)).proto == onnxes.convnet()


def test_loads_external_data_of_constants_and_bodies(onnxes):
    tensor = onnxes.weight("k", np.arange(3))
    data = external(tensor, "k.bin")
    (onnxes.folder / "k.bin").write_bytes(data)
    body = [onnxes.graph([onnxes.node("Constant", [], [n], value=tensor)], n, [], [onnxes.value(n, [3])]) for n in "ab"]
    branch = onnxes.node("If", ["c"], ["y"], then_branch=body[0], else_branch=body[1])
    net = onnxes.model([branch], [onnxes.value("c", [], TensorProto.BOOL)], ["y"])
    proto = read_model(onnxes.save(net)).proto
    loaded = [attribute.g.node[0].attribute[0].t for attribute in proto.graph.node[0].attribute]
    assert [numpy_helper.to_array(tensor).tolist() for tensor in loaded] == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("../weights.bin", r"the location contains '\.\.'"),
        ("parts/../../weights.bin", r"the location contains '\.\.'"),
        ("/etc/passwd", "the location is absolute"),
        ("parts\\weights.bin", "a backslash, a drive letter or a NUL"),
        ("C:weights.bin", "a backslash, a drive letter or a NUL"),
        ("weights\0.bin", "a backslash, a drive letter or a NUL"),
        ("", "it states no location"),
        ("absent.bin", "there is no file"),
        (".", "is not a regular file"),
    ],
)
def test_refuses_bad_locations(outside, location, why):
    path, _ = outside(location)
    with pytest.raises(ModelError, match=f"external data of tensor 'w' refused: .*{why}") as caught:
        read_model(path)
    assert caught.value.context == (f"location     {location!r}",)


def test_refuses_bad_locations_in_functions_and_sparse_tensors(onnxes):
    net = onnxes.convnet()
    node = onnxes.node("Constant", [], ["k"], value=onnxes.weight("k", [1.0]))
    external(node.attribute[0].t, "../k.bin")
    net.functions.append(helper.make_function("local", "f", [], ["k"], [node], [helper.make_opsetid("", 13)]))
    with pytest.raises(ModelError, match="external data of tensor 'k' refused"):
        read_model(onnxes.save(net))
    net = onnxes.convnet()
    sparse = helper.make_sparse_tensor(onnxes.weight("s", [1.0]), onnxes.weight("i", [0], np.int64), [4])
    external(sparse.indices, "../i.bin")
    net.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelError, match="external data of tensor 'i' refused"):
        read_model(onnxes.save(net))


def test_refuses_symbolic_links(outside, onnxes):
    path, _ = outside("link.bin", "weights.bin")
    (onnxes.folder / "link.bin").symlink_to(onnxes.folder / "weights.bin")
    with pytest.raises(ModelError, match=r"refused: .*link\.bin is a symbolic link"):
        read_model(path)


def test_refuses_a_symbolic_link_to_a_folder(outside, onnxes):
    path, _ = outside("linked/weights.bin", "real/weights.bin")
    (onnxes.folder / "linked").symlink_to(onnxes.folder / "real", target_is_directory=True)
    with pytest.raises(ModelError, match=r"refused: .*linked is a symbolic link"):
        read_model(path)


def test_refuses_hard_links(outside, onnxes):
    path, _ = outside("weights.bin")
    os.link(onnxes.folder / "weights.bin", onnxes.folder / "second.bin")
    with pytest.raises(ModelError, match=r"weights\.bin has 2 hard links"):
        read_model(path)


def test_refuses_pipes_and_folders(outside, onnxes):
    path, _ = outside("pipe")
    os.mkfifo(onnxes.folder / "pipe")
    with pytest.raises(ModelError, match="pipe is not a regular file"):
        read_model(path)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"offset": 8}, "has data of the wrong size"),
        ({"offset": 8, "length": 432}, r"offset 8 \+ length 432 exceeds the file's 432 bytes"),
        ({"offset": -8, "length": 432}, r"offset -8 \+ length 432 exceeds"),
        ({"offset": "far"}, "its offset or length is not a number"),
    ],
)
def test_refuses_bad_offsets(outside, entries, why):
    path, _ = outside("weights.bin", **entries)
    with pytest.raises(ModelError, match=f"tensor 'w'.*{why}"):
        read_model(path)


def test_external_data_counts_towards_the_limit(outside):
    path, data = outside("weights.bin")
    total = path.stat().st_size + len(data)
    assert read_model(path, max_bytes=total)
    with pytest.raises(ModelError, match=r"weights\.bin makes the model too large"):
        read_model(path, max_bytes=total - 1)
