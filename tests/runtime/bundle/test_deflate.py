import hashlib
import re
import tracemalloc
import zlib

import numpy as np
import pytest

from coachc.runtime.bundle.deflate import WRAPPER_BYTES, coded_size, deflate, inflate, segments
from coachc.runtime.bundle.frame import encode_frame
from coachc.runtime.bundle.manifest_types import CODINGS, Cut, CutValue, Layout, Level
from coachc.runtime.link import protocol
from coachc.runtime.link.values import encode_values

WAYS = CODINGS + ("default",)


def sparse(random, size):
    """Bytes like packed features: many zeros, some neighbours alike."""
    return np.repeat(random.randint(0, 256, size) * random.randint(0, 2, size), 2)[:size].astype(np.uint8).tobytes()


def test_any_zlib_undoes_it():
    random = np.random.RandomState(1)
    for _ in range(60):
        parts = []
        for _ in range(random.randint(1, 5)):
            size = int(random.choice([0, 1, 2, 300, 5000, 70000]))
            parts.append((sparse(random, size), WAYS[random.randint(len(WAYS))], int(random.randint(1, 10))))
        whole = b"".join(data for data, _, _ in parts)
        stream = deflate(parts)
        assert zlib.decompress(stream) == whole
        assert inflate(stream, len(whole)) == whole
        assert inflate(memoryview(stream), len(whole) + 999) == whole
        assert sum(len(segment) for segment in segments(parts)) + WRAPPER_BYTES == len(stream)
        if whole:
            with pytest.raises(ValueError, match=f"a zlib stream of more than {len(whole) - 1} bytes"):
                inflate(stream, len(whole) - 1)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_streams_of_others_are_undone(level):
    """Sizes about those of the slices in which input is looked at and output made."""
    random = np.random.RandomState(2)
    for size in (0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 131072, 300000):
        for data in (bytes(size), sparse(random, size), random.randint(0, 256, size).astype(np.uint8).tobytes()):
            stream = zlib.compress(data, level)
            assert inflate(stream, size) == data
            assert inflate(stream, size + 1) == data


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 20, 16384, 16385, 20000])
def test_truncated_streams_and_trailing_bytes_are_refused(cut):
    data = np.random.RandomState(3).randint(0, 256, 40000).astype(np.uint8).tobytes()
    stream = deflate([(data, "huffman", 9), (b"{}", "default", 8)])
    message = f"a zlib stream that does not end within its {len(stream) - cut} bytes"
    with pytest.raises(ValueError, match=message):
        inflate(stream[:-cut], 50000)
    with pytest.raises(ValueError, match=f"a zlib stream with {cut} bytes after it"):
        inflate(stream + b"\0" * cut, 50000)
    with pytest.raises(ValueError, match=f"a zlib stream with {len(stream)} bytes after it"):
        inflate(stream + stream, 100000)


@pytest.mark.parametrize(
    "data", [b"\0\0", b"\x78\x01\7", b"hello, world", zlib.compress(b"abc")[:-1] + b"\0", b"\x78\xbbabcd"]
)
def test_garbage_is_refused(data):
    with pytest.raises(ValueError, match="not a zlib stream: Error"):
        inflate(data, 1000)
    with pytest.raises(ValueError, match="a zlib stream that does not end within its 0 bytes"):
        inflate(b"", 1000)


@pytest.mark.parametrize("limit", [0, 1, 5000, 1 << 20])
def test_no_more_than_the_limit_is_made(limit):
    bombs = [zlib.compress(bytes(50 << 20), 9), deflate([(bytes(9 << 20), "rle", 9), (bytes(9 << 20), "huffman", 9)])]
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=f"a zlib stream of more than {limit} bytes"):
                inflate(bomb, limit)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < limit + 200 * 1024


def features(seed, shape=(1, 24, 11, 13), bits=3):
    random = np.random.RandomState(seed)
    return np.minimum(np.abs(random.standard_normal(shape) * 1.2).astype(np.uint8), (1 << bits) - 1)


LAYOUTS = [
    Layout(form, order, coding, memory_level)
    for form in ("dense", "bytes")
    for order in ((), tuple(reversed(range(24))))
    for coding in CODINGS
    for memory_level in ((9,) if coding == "none" else (9, 6, 1))
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.form}-{layout.order[:1]}-{layout[2:]}")
def test_the_size_is_what_travels(layout):
    shape = (1, 24, 11, 13)
    values = tuple(
        CutValue(name, "float32", shape, "packed", bits, (Level(bits, (1.0,), (0,)),), name, layout)
        for name, bits in (("a", 3), ("b", 5))
    )
    codes = {"a": features(1), "b": features(2, bits=5)}
    for crossing in (values[:1], values):
        cut = Cut("c", "split", "d", "c", crossing, (), ("y",))
        message = protocol.encode_request(encode_values(cut, codes), ["y"])
        assert ("Content-Encoding" in message.headers) == (layout.coding != "none")
        last = len(crossing) - 1
        sizes = [coded_size(codes[v.name], v.bits, layout, last=i == last) for i, v in enumerate(crossing)]
        assert sum(sizes) == message.payload_bytes
        if layout.coding == "none":
            assert sizes == [len(encode_frame(codes[v.name], v.bits, layout)) for v in crossing]
        plain = zlib.decompress(message.body) if layout.coding != "none" else message.body
        json_bytes = int(message.headers[protocol.HEADER_LENGTH])
        overhead = len(message.body) - message.payload_bytes
        assert overhead <= json_bytes
        assert plain[json_bytes:] == b"".join(encode_frame(codes[v.name], v.bits, layout) for v in crossing)


def test_coding_pays_where_codes_are_few():
    codes = features(4, bits=2)
    packed = coded_size(codes, 2, Layout("bytes"))
    for coding in ("huffman", "rle", "filtered"):
        assert coded_size(codes, 2, Layout("bytes", (), coding)) < 0.95 * packed
        noise = np.random.RandomState(5).randint(0, 256, (1, 300000)).astype(np.uint8)
        # Stored, at five bytes a block, where there is nothing to gain.
        assert coded_size(noise, 8, Layout("bytes", (), coding)) < 1.002 * noise.size


def test_the_size_refuses_what_a_frame_refuses():
    with pytest.raises(ValueError, match="code 4 does not fit in 2 bits"):
        coded_size(np.array([4]), 2, Layout())


GOLDEN = {
    "none": "f7bf06b265c95fec",
    "huffman": "27a1e5761845f997",
    "rle": "4d7136e1f0461402",
    "filtered": "8bfc92713dcace5f",
    "default": "adb30a1ee2c0d6f6",
}
# Another implementation, such as zlib-ng, may choose other bytes that mean the same.
ORIGINAL = re.match(r"1\.[23](\.\d+)*\Z", zlib.ZLIB_RUNTIME_VERSION)


@pytest.mark.skipif(not ORIGINAL, reason="the bytes are those of the original zlib")
@pytest.mark.parametrize("coding", WAYS)
def test_the_bytes_are_the_same_everywhere(coding):
    index = np.arange(20000, dtype=np.int64)
    mixed = index * 2654435761 % 4294967296
    codes = np.minimum(mixed // 65536 % 256, mixed // 16 % 256)
    # Runs, neighbours alike, and at the end noise, which all ways store.
    codes = np.concatenate(
        [codes, np.repeat(codes[:2000] % 7, index[:2000] % 9), codes[:500], mixed[:20000] // 256 % 256]
    )
    data = codes.astype(np.uint8).tobytes()
    digest = hashlib.sha256()
    for memory_level in range(1, 10):
        digest.update(deflate([(b'{"inputs":[]}', "default", 8), (data, coding, memory_level), (b"", "none", 9)]))
    assert digest.hexdigest()[:16] == GOLDEN[coding]
