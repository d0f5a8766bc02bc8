import hashlib

import numpy as np
import pytest

from coachc.runtime.bundle.frame import FRAME_HEADER_BYTES, decode_frame, encode_frame, frame_size
from coachc.runtime.bundle.manifest_types import Layout
from coachc.runtime.bundle.numeric import dequantize, pack_bits, pack_whole, quantize

SHAPES = [
    (),
    (0,),
    (1,),
    (7,),
    (1, 1),
    (3, 2),
    (1, 0, 3),
    (2, 5, 0),
    (1, 5, 3),
    (2, 3, 5, 7),
    (1, 33, 3, 1),
    (2, 4, 3, 2, 3),
]
BITS = range(2, 9)
FORMS = ("dense", "bytes")


def orders(shape, random):
    """The natural order, and for shapes with channels every other kind of one."""
    yield ()
    if len(shape) > 1:
        channels = list(range(shape[1]))
        yield tuple(channels)
        yield tuple(reversed(channels))
        yield tuple(int(channel) for channel in random.permutation(shape[1]))


def contents(shape, bits, random):
    yield np.zeros(shape, np.uint8)
    yield np.full(shape, (1 << bits) - 1, np.uint8)
    yield np.asarray(random.randint(0, 1 << bits, shape)).astype(np.uint8)
    # Mostly zeros, as after a ReLU, and as targets without uint8 make them.
    yield np.asarray(random.randint(0, 1 << bits, shape) * random.randint(0, 2, shape)).astype(np.int32)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_frames_come_back(bits, shape):
    random = np.random.RandomState(bits)
    for form in FORMS:
        for order in orders(shape, random):
            for codes in contents(shape, bits, random):
                layout = Layout(form, order)
                data = encode_frame(codes, bits, layout)
                assert len(data) == frame_size(codes.size, bits, form)
                found, back = decode_frame(data, shape, (bits,), layout)
                assert (found, back.dtype, back.shape) == (bits, np.uint8, shape)
                assert np.array_equal(back, codes)
                arranged = codes if order == () else codes[:, list(order)]
                pack = pack_bits if form == "dense" else pack_whole
                assert data == bytes([0x10 + FORMS.index(form), bits]) + pack(arranged, bits)
                assert decode_frame(memoryview(data), shape, BITS, layout)[0] == bits
                assert np.array_equal(decode_frame(bytearray(data), shape, BITS, layout)[1], codes)


@pytest.mark.parametrize("form", FORMS)
def test_the_bytes_do_not_depend_on_how_codes_lie_in_memory(form):
    codes = np.arange(2 * 6 * 5).reshape(2, 6, 5) % 8
    expected = encode_frame(codes.astype(np.uint8), 3, Layout(form))
    padded = np.zeros((2, 6, 9), np.uint8)
    padded[:, :, 3:8] = codes
    for same in (
        codes.astype(">i4"),
        codes.astype("<i8"),
        np.asfortranarray(codes.astype(np.uint8)),
        padded[:, :, 3:8],
    ):
        assert encode_frame(same, 3, Layout(form)) == expected
    odd = np.frombuffer(b"x" + codes.astype(np.uint8).tobytes(), np.uint8)[1:].reshape(codes.shape)
    assert encode_frame(odd, 3, Layout(form)) == expected
    unaligned = memoryview(b"x" + expected)[1:]
    assert np.array_equal(decode_frame(unaligned, codes.shape, (3,), Layout(form))[1], codes)


def test_the_examples_of_the_format_description():
    assert encode_frame(np.array([5, 2, 7]), 3, Layout()) == b"\x10\x03\xab\x80"
    assert encode_frame(np.array([5, 2, 7]), 3, Layout("bytes")) == b"\x11\x03\x2a\x38"
    assert encode_frame(np.array([[3, 1, 2]]), 2, Layout("bytes", (2, 0, 1))) == b"\x11\x02\xb4"
    assert encode_frame(np.zeros((1, 0, 3), np.uint8), 5, Layout()) == b"\x10\x05"


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(), (0,), (9,), (2, 3), (1, 4, 5), (2, 3, 4, 5), (1, 2, 3, 2, 2)], ids=str)
def test_values_come_back_within_half_a_step(bits, shape):
    """From real values to the wire and back: the error is quantization's alone, whatever the values."""
    random = np.random.RandomState(bits)
    channels = shape[1] if len(shape) > 1 else 0
    for values in (
        np.asarray(random.standard_normal(shape)),
        np.full(shape, 0.7),
        np.zeros(shape),
        np.asarray(random.standard_normal(shape)) * 1e-41,  # denormal in float32
        np.asarray(random.standard_normal(shape)) * 1e37,
    ):
        x = values.astype(np.float32)
        for per_channel in (False, True) if channels else (False,):
            reach = np.abs(x).max(initial=0.0) or 1.0
            step = np.float32(2 * reach / ((1 << bits) - 1))
            scale = [float(step)] * (channels if per_channel else 1)
            zero_point = [1 << bits - 1] * len(scale)
            codes = quantize(x, scale, zero_point, bits)
            for form in FORMS:
                data = encode_frame(codes, bits, Layout(form))
                back = dequantize(decode_frame(data, shape, (bits,), Layout(form))[1], scale, zero_point)
                # Beside the half: rounding of the step itself, of as many of them, and of `x`.
                bound = 0.501 * float(step) + (1 << bits) * 1e-45
                assert np.all(np.abs(back.astype(np.float64) - x) <= bound), (values, per_channel)


def golden_codes(shape, bits):
    """The same numbers on every platform: whole-number arithmetic, more small codes than large ones."""
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    mixed = index * 2654435761 % 4294967296
    return np.minimum(mixed // 65536 % (1 << bits), mixed // 16 % (1 << bits)).astype(np.uint8).reshape(shape)


GOLDEN = {
    2: "3880e05396e6775e",
    3: "65a4fbd5615889b5",
    4: "3959d86bbb83a05e",
    5: "7644451ec6aa19d6",
    6: "22fbe3204e4d4946",
    7: "5e49f078b8229566",
    8: "a43d1de9756d0aa0",
}


@pytest.mark.parametrize("bits", BITS)
def test_the_bytes_are_the_same_everywhere(bits):
    """Under every Python, numpy and byte order; changed only together with the frame's version."""
    digest = hashlib.sha256()
    for shape in ((), (0,), (13,), (1, 16, 7, 5), (2, 3, 9)):
        for form in FORMS:
            codes = golden_codes(shape, bits)
            digest.update(encode_frame(codes, bits, Layout(form)))
            if len(shape) > 1:
                digest.update(encode_frame(codes, bits, Layout(form, tuple(range(1, shape[1])) + (0,))))
    assert digest.hexdigest()[:16] == GOLDEN[bits]


GOOD = encode_frame(np.array([[5, 2, 7]]), 3, Layout())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a frame of at least 2 bytes, found 0"),
        (b"\x10", "expected a frame of at least 2 bytes, found 1"),
        (b"\x00\x03\xab\x80", "expected frame version 1, found 0"),
        (b"\x20\x03\xab\x80", "expected frame version 1, found 2"),
        (b"\x11\x03\xab\x80", "expected a frame of form dense, found bytes"),
        (b"\x12\x03\xab\x80", "expected a frame of form dense, found form 2, which is unknown"),
        (b"\x10\x02\xab\x80", "expected a frame of 3, 4 bits, found 2"),
        (b"\x10\xff\xab\x80", "expected a frame of 3, 4 bits, found 255"),
        (b"\x10\x03\xab", r"expected a frame of 4 bytes \(3 codes of 3 bits\), found 3"),
        (b"\x10\x04\xab", r"expected a frame of 4 bytes \(3 codes of 4 bits\), found 3"),
        (b"\x10\x03\xab\x80\x00", r"expected a frame of 4 bytes \(3 codes of 3 bits\), found 5"),
        (b"\x10\x03\xab\x81", "the 7 unused bits of the last byte are not zero"),
        (b"\x10\x04\xab\x81", "the 4 unused bits of the last byte are not zero"),
    ],
)
def test_what_is_no_frame_of_the_value_is_refused(data, message):
    assert decode_frame(GOOD, (1, 3), (3, 4), Layout())[1].tolist() == [[5, 2, 7]]
    with pytest.raises(ValueError, match=message):
        decode_frame(data, (1, 3), (3, 4), Layout())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x10\x03\x2a\x38", "expected a frame of form bytes, found dense"),
        (b"\x11\x03\x2a", r"expected a frame of 4 bytes \(3 codes of 3 bits\), found 3"),
        (b"\x11\x03\x6a\x38", "the 2 unused high bits of a byte are not zero"),
        (b"\x11\x03\x2a\xb8", "the 2 unused high bits of a byte are not zero"),
        (b"\x11\x03\x2a\x39", "the 3 unused bits of the last byte are not zero"),
        (b"\x11\x05\x20\x00\x00", "the 3 unused high bits of a byte are not zero"),
        (b"\x11\x02\xb5", "the 2 unused bits of the last byte are not zero"),
    ],
)
def test_what_is_no_frame_of_whole_codes_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        decode_frame(data, (1, 3), (2, 3, 5), Layout("bytes"))


def test_nothing_is_made_for_a_frame_of_the_wrong_length():
    """A shape too large for any memory: refused by its length."""
    for form in FORMS:
        with pytest.raises(ValueError, match=r"expected a frame of \d+ bytes"):
            decode_frame(encode_frame(np.zeros(3, np.uint8), 3, Layout(form)), (1 << 30, 1 << 30), (3,), Layout(form))


def test_our_own_mistakes_are_refused():
    codes = np.zeros((1, 3), np.uint8)
    for bits in (0, 1, 9):
        with pytest.raises(ValueError, match=f"a frame has codes of 2 to 8 bits, not {bits}"):
            encode_frame(codes, bits, Layout())
        with pytest.raises(ValueError, match=f"a frame has codes of 2 to 8 bits, not {bits}"):
            decode_frame(bytes([0x10, bits, 0]), (1, 3), range(10), Layout())
    for form in FORMS:
        with pytest.raises(ValueError, match="code 4 does not fit in 2 bits"):
            encode_frame(codes + 4, 2, Layout(form))
        with pytest.raises(ValueError, match="code -1 does not fit in 2 bits"):
            encode_frame(codes.astype(np.int32) - 1, 2, Layout(form))
        with pytest.raises(ValueError, match="codes are integers, not float32"):
            encode_frame(codes.astype(np.float32), 2, Layout(form))
        for order, array in (((0, 1), codes), ((0, 1, 1), codes), ((0, 1, 2), codes[0])):
            with pytest.raises(ValueError, match=f"an order of {len(order)} channels does not suit codes of shape"):
                encode_frame(array, 2, Layout(form, order))


def test_sizes_by_hand():
    assert FRAME_HEADER_BYTES == 2
    assert [frame_size(5, bits, "dense") - 2 for bits in BITS] == [2, 2, 3, 4, 4, 5, 5]
    assert [frame_size(5, bits, "bytes") - 2 for bits in BITS] == [2, 3, 3, 5, 5, 5, 5]
    assert frame_size(0, 3, "dense") == frame_size(0, 3, "bytes") == 2
