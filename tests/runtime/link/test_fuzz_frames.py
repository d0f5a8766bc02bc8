"""Random and mutated frames and requests: a correct answer or an error of the runtime's, within the memory allowed.

20,000 of them in every run of the tests; COACHC_FUZZ_FRAMES=1000000 makes a million, and COACHC_FUZZ_SEED others.
`pytest -s` shows what became of them.
"""

import json
import os
import random
import time
import tracemalloc
import zlib
from collections import Counter

import numpy as np
import pytest

from coachc.runtime.bundle.deflate import deflate
from coachc.runtime.bundle.frame import decode_frame, encode_frame
from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level
from coachc.runtime.errors import RemoteProtocolError
from coachc.runtime.link.protocol import HEADER_LENGTH, decode_request, encode_request, request_limits
from coachc.runtime.link.values import decode_values, encode_values

COUNT = int(os.environ.get("COACHC_FUZZ_FRAMES", "20000"))
SEED = int(os.environ.get("COACHC_FUZZ_SEED", "20240607"))
# One case in so many is run under tracemalloc, which makes it ten times as slow.
TRACED = 40
# Beside what the limit allows: one error message, one header's JSON objects, zlib's window and the slices it works on.
MEMORY_SLACK_BYTES = 256 * 1024
# Far above the slowest case of a million: this is about hanging.
HANG_S = 10.0


def some_bytes(source, size):
    return source.getrandbits(8 * size).to_bytes(size, "big") if size else b""


def mutated(source, data):
    """`data` after one to four changes: a byte, a bit, an insertion, a deletion, a copy, the end cut off."""
    data = bytearray(data)
    for _ in range(source.randint(1, 4)):
        position = source.randrange(len(data) + 1)
        kind = source.randrange(6)
        if kind == 0 and position < len(data):
            data[position] = source.randrange(256)
        elif kind == 1 and position < len(data):
            data[position] ^= 1 << source.randrange(8)
        elif kind == 2:
            data[position:position] = some_bytes(source, source.randint(1, 8))
        elif kind == 3:
            del data[position : position + source.randint(1, 8)]
        elif kind == 4:
            data[position:position] = data[position : position + source.randint(1, 16)]
        elif kind == 5 and source.randrange(4) == 0:
            del data[position:]
    return bytes(data)


class Tally:
    """Outcomes, the slowest case, and the most memory a traced one took beyond its allowance."""

    def __init__(self, what):
        self.what, self.outcomes, self.slowest_s, self.excess_bytes = what, Counter(), 0.0, 0

    def run(self, number, allowed_bytes, case, *arguments):
        """`case(*arguments)` -> name of its outcome, which is returned."""
        traced = number % TRACED == 0
        if traced:
            tracemalloc.start()
        start_s = time.perf_counter()
        try:
            outcome = case(*arguments)
        finally:
            elapsed_s = time.perf_counter() - start_s
            if traced:
                self.excess_bytes = max(self.excess_bytes, tracemalloc.get_traced_memory()[1] - allowed_bytes)
                tracemalloc.stop()
        if not traced:
            self.slowest_s = max(self.slowest_s, elapsed_s)
        assert elapsed_s < HANG_S
        self.outcomes[outcome] += 1
        return outcome

    def finish(self):
        print(
            "\n{}: {} cases, {}; slowest {:.1f} ms; at most {:.0f} KiB beyond the limit".format(
                self.what,
                sum(self.outcomes.values()),
                ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items())),
                1e3 * self.slowest_s,
                self.excess_bytes / 1024,
            )
        )
        assert self.excess_bytes < MEMORY_SLACK_BYTES


# Frames.

SHAPES = [(), (0,), (1,), (13,), (2, 3), (1, 6, 5, 3), (1, 0, 4), (2, 3, 2, 2, 3), (1, 48, 7, 7)]


def frame_cases():
    """(shape, bits accepted, layout, a good frame)."""
    numbers = np.random.RandomState(SEED % 2**32)
    for shape in SHAPES:
        for form in ("dense", "bytes"):
            for order in ((), tuple(int(i) for i in numbers.permutation(shape[1])) if len(shape) > 1 else ()):
                for bits in range(2, 9):
                    codes = np.asarray(numbers.randint(0, 1 << bits, shape)).astype(np.uint8)
                    layout = Layout(form, order)
                    accepted = (bits,) if bits % 2 else (2, 3, bits, 8)
                    yield shape, accepted, layout, encode_frame(codes, bits, layout)


def spoiled_frame(source, good):
    kind = source.randrange(8)
    if kind < 4:
        return mutated(source, good)
    if kind == 4:  # every code another, the header right
        return good[:2] + some_bytes(source, len(good) - 2)
    if kind == 5:  # a right length for other bits, perhaps
        return bytes([good[0], source.randrange(12)]) + some_bytes(source, source.randrange(2 * len(good)))
    return some_bytes(source, source.randrange(2 * len(good) + 4)) if kind == 6 else good


def decode_a_frame(data, good, shape, accepted, layout):
    try:
        bits, codes = decode_frame(data, shape, accepted, layout)
    except ValueError:
        assert data != good
        return "refused"
    # There is one frame for these codes, and this is it.
    assert bits in accepted
    assert (codes.dtype, codes.shape) == (np.uint8, shape)
    assert encode_frame(codes, bits, layout) == data
    return "good" if data == good else "decoded"


def test_frames():
    source, tally = random.Random(SEED), Tally("frames")
    cases = list(frame_cases())
    for number in range(COUNT // 2):
        shape, accepted, layout, good = source.choice(cases)
        data = spoiled_frame(source, good)
        tally.run(number, 8 * int(np.prod(shape)), decode_a_frame, data, good, shape, accepted, layout)
    tally.finish()
    assert tally.outcomes["refused"] > COUNT // 8
    assert tally.outcomes["decoded"] > COUNT // 100


# Requests.


def cuts():
    def packed(name, shape, layout):
        levels = tuple(Level(bits, (0.5,), (0,)) for bits in (2, 3, 5, 8))
        return CutValue(name, "float32", shape, "packed", 3, levels, name + "_codes", layout)

    raw = CutValue("k", "int64", (1, 3), "raw", 64, (), "k")
    order = tuple(reversed(range(24)))
    for values in (
        (packed("f", (1, 24, 6, 5), Layout("bytes", order, "huffman", 6)),),
        (packed("f", (1, 24, 6, 5), Layout("dense", (), "rle", 9)), raw, packed("g", (1, 7), Layout())),
        (packed("f", (1, 24, 6, 5), Layout("bytes", (), "filtered", 1)), packed("g", (0,), Layout("bytes"))),
        (packed("f", (1, 24, 6, 5), Layout("dense", order)), raw),
    ):
        yield Cut("c", "split", "d", "c", values, (), ("y",), "", "qdq")


def request_cases():
    """(cut, limits, headers, good body before coding, good body as sent)."""
    numbers = np.random.RandomState(SEED % 2**32)
    for cut in cuts():
        limits = request_limits(cut)
        for bits in (2, 3, 5, 8):
            made = {"k": np.array([[1, -2, 3]], np.int64)}
            for value in cut.values:
                if value.codec == "packed":
                    low = numbers.randint(0, 1 << bits, value.shape) * numbers.randint(0, 2, value.shape)
                    made[value.codes] = np.asarray(low).astype(np.uint8)
            headers, sent, _ = encode_request(encode_values(cut, made, bits), ["y"], "17")
            plain = zlib.decompress(sent) if "Content-Encoding" in headers else sent
            yield cut, limits, headers, plain, sent


def spoiled_request(source, limits, headers, plain, sent):
    """(headers, body): spoiled before coding, after it, both or neither; or made up."""
    headers = dict(headers)
    headers.pop("Content-Encoding", None)
    length = int(headers[HEADER_LENGTH])
    kind = source.randrange(10)
    if kind == 0:
        body = mutated(source, plain)
    elif kind == 1:  # only the payload
        body = plain[:length] + mutated(source, plain[length:])
    elif kind == 2:  # the lengths that the header states
        text = json.loads(plain[:length].decode())
        entry = source.choice(text["inputs"])
        entry["shape"] = [source.choice([0, 1, 5, 1 << 20, -1, 1 << 62])] * source.choice([0, 1, 1, 2, 40])
        entry["parameters"]["binary_data_size"] = source.choice([0, 1, 17, len(plain) - length, 1 << 40, -3])
        text = json.dumps(text).encode()
        body, headers[HEADER_LENGTH] = text + plain[length:], str(len(text))
    elif kind == 3:
        body = some_bytes(source, source.randrange(400))
    else:
        body = plain
    if source.randrange(8) == 0:
        headers[HEADER_LENGTH] = str(source.randint(-2, len(body) + 3))
    if kind >= 4 and kind < 8 or source.randrange(2):
        headers["Content-Encoding"] = "deflate"
        if kind == 4:  # more than the limit, of any size
            body = zlib.compress(body + bytes(source.choice([1, 4096, limits.body_bytes, 1 << 20])), 9)
        elif kind == 5:
            body = some_bytes(source, source.randrange(300))
        elif body is plain and source.randrange(2):
            body = zlib.compress(plain, source.randrange(10))
        else:
            body = deflate([(body, source.choice(["none", "default", "huffman", "rle", "filtered"]), 5)])
        if kind in (6, 7):
            body = mutated(source, body)
        elif source.randrange(20) == 0:
            body += some_bytes(source, source.choice([1, 2000, limits.received_bytes]))
    elif source.randrange(4) == 0:  # what says nothing about coding, and is coded
        body = sent
    return headers, body


def check_decoded(cut, headers, body, request):
    """Compare what was decoded with a reading that shares no code with it but the frames'."""
    plain = zlib.decompress(body) if "Content-Encoding" in headers else body
    length = int(headers[HEADER_LENGTH])
    entries = json.loads(plain[:length].decode())["inputs"]
    arrays, found_bits = decode_values(cut, request.tensors)
    values = {value.codes: value for value in cut.values}
    assert sorted(arrays) == sorted(entry["name"] for entry in entries)
    start = length
    for entry in entries:
        size, value = entry["parameters"]["binary_data_size"], values[entry["name"]]
        data = plain[start : start + size]
        start += size
        array = arrays[value.codes]
        assert array.shape == value.shape
        if value.codec == "raw":
            assert array.astype("<i8").tobytes() == data
        else:
            assert encode_frame(array, found_bits[value.codes], value.layout) == data
    assert start == len(plain)


def decode_a_request(cut, limits, headers, body):
    try:
        request = decode_request(headers, body, limits)
        decode_values(cut, request.tensors)
    except RemoteProtocolError as exc:
        assert exc.message
        return "refused"
    return "decoded"


def test_requests():
    source, tally = random.Random(SEED + 1), Tally("requests")
    cases = list(request_cases())
    for number in range(COUNT - COUNT // 2):
        cut, limits, good_headers, plain, sent = source.choice(cases)
        headers, body = spoiled_request(source, limits, good_headers, plain, sent)
        # The body before coding; the codes, a byte each, and what they pass through when unpacked.
        allowed_bytes = limits.body_bytes + 8 * sum(int(np.prod(value.shape)) for value in cut.values)
        if tally.run(number, allowed_bytes, decode_a_request, cut, limits, headers, body) == "decoded":
            check_decoded(cut, headers, body, decode_request(headers, body, limits))
    tally.finish()
    assert tally.outcomes["refused"] > COUNT // 8
    assert tally.outcomes["decoded"] > COUNT // 100


@pytest.mark.parametrize("index", range(16))
def test_the_requests_that_are_spoiled_were_good(index):
    cut, limits, headers, plain, sent = list(request_cases())[index]
    check_decoded(cut, headers, sent, decode_request(headers, sent, limits))
    assert len(plain) <= limits.body_bytes
