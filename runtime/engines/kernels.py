"""CUDA kernels that quantize, pack and pool on the GPU, so that only packed bytes cross to the host.

The source is C that nvcc and a host compiler both take: the tests compile it with gcc, loop over blocks and threads,
and compare every byte with `runtime.bundle.numeric`. The arithmetic is spelt with the round-to-nearest intrinsics, so
no compiler flag makes a multiplication by 1/scale or a fused multiply-add of it.

``python3 -m runtime.engines.kernels > kernels.cu`` prints it for nvcc; `load_kernels` says what becomes of that.
"""

import sys
from typing import NamedTuple, Tuple

#: Threads of a block.
BLOCK = 256

#: Partial sums of a mean: the threads of a warp, which so read neighbouring elements.
PARTS = 32

#: Kernels that read codes, by numpy's dtype of the codes; and the one that quantizes first.
PACKERS = {"uint8": "pack_uint8", "int32": "pack_int32", "float32": "quantize_and_pack"}

SOURCE = (
    f"#define PARTS {PARTS}\n"
    + r"""
/* q = clip(rint(x / scale) + zero_point, 0, qmax), halves to even, NaN to 0: numeric.quantize. */
__device__ static unsigned code_of(float x, float scale, float zero_point, float qmax)
{
    float q = __fadd_rn(rintf(__fdiv_rn(x, scale)), zero_point);
    if (!(q > 0.0f)) return 0u;  /* NaN too */
    return (unsigned)(q < qmax ? q : qmax);
}

/* Where code k of the packed order lies: channels (axis 1, `inner` elements each) are sent in the order given. */
__device__ static long long place_of(long long k, const int *order, int channels, long long inner)
{
    if (order == 0) return k;
    long long row = k / inner;
    return (row - row % channels + order[row % channels]) * inner + k % inner;
}

/* One byte of the result. dense: codes without gaps, most significant bit first. Otherwise 8 / bits whole codes, the
   first highest, at the bottom of the byte. CODE(i) is the code of element i. */
#define PACKED_BYTE(CODE) \
    unsigned byte = 0u; \
    long long whole = 8 / bits; \
    long long first = dense ? out * 8 / bits : out * whole; \
    long long last = dense ? (out * 8 + 7) / bits : first + whole - 1; \
    for (long long k = first; k <= last && k < count; ++k) { \
        unsigned code = CODE(place_of(k, order, channels, inner)); \
        if (code >> bits) *refused = 1; \
        long long low = dense ? (out + 1) * 8 - (k + 1) * bits : (last - k) * bits; \
        byte |= low >= 0 ? code << low : code >> -low; \
    } \
    packed[out] = (unsigned char)byte;

#define OUT_OF(total) \
    long long out = (long long)blockIdx.x * blockDim.x + threadIdx.x; \
    if (out >= total) return;

__global__ void pack_uint8(const unsigned char *codes, long long count, const int *order, int channels,
                           long long inner, int bits, int dense, long long size, unsigned char *packed, int *refused)
{
    OUT_OF(size)
#define CODE(i) ((unsigned)codes[i])
    PACKED_BYTE(CODE)
#undef CODE
}

__global__ void pack_int32(const int *codes, long long count, const int *order, int channels,
                           long long inner, int bits, int dense, long long size, unsigned char *packed, int *refused)
{
    OUT_OF(size)
#define CODE(i) ((unsigned)codes[i])
    PACKED_BYTE(CODE)
#undef CODE
}

/* `scales` and `zero_points` have one number, or `channels`. */
__global__ void quantize_and_pack(const float *x, long long count, const int *order, int channels, long long inner,
                                  int bits, int dense, long long size, unsigned char *packed, int *refused,
                                  const float *scales, const float *zero_points, int parameters)
{
    OUT_OF(size)
    float qmax = (float)((1 << bits) - 1);
#define CHANNEL(i) (parameters == 1 ? 0 : (int)((i) / inner % channels))
#define CODE(i) code_of(x[i], scales[CHANNEL(i)], zero_points[CHANNEL(i)], qmax)
    PACKED_BYTE(CODE)
#undef CODE
#undef CHANNEL
}

/* Codes alone, one byte each. */
__global__ void quantize_codes(const float *x, long long count, int channels, long long inner, int bits,
                               unsigned char *codes, const float *scales, const float *zero_points, int parameters)
{
    OUT_OF(count)
    int channel = parameters == 1 ? 0 : (int)(out / inner % channels);
    codes[out] = (unsigned char)code_of(x[out], scales[channel], zero_points[channel], (float)((1 << bits) - 1));
}

/* The mean of each channel of each row, in two steps: partial sums of every 32nd element, then their sum. */
__global__ void pool_parts(const float *x, long long total, long long inner, float *parts)
{
    OUT_OF(total)
    float sum = 0.0f;
    for (long long i = out % PARTS; i < inner; i += PARTS) sum += x[out / PARTS * inner + i];
    parts[out] = sum;
}

__global__ void pool_mean(const float *parts, long long total, long long inner, float *means)
{
    OUT_OF(total)
    float sum = 0.0f;
    for (int i = 0; i < PARTS; ++i) sum += parts[out * PARTS + i];
    means[out] = __fdiv_rn(sum, (float)inner);
}
"""
)


def translation_unit() -> str:
    """The source as nvcc takes it; kernels keep their names in the binary."""
    return 'extern "C" {\n' + SOURCE + "\n}\n"


class Extent(NamedTuple):
    """A value's shape as the kernels see it: elements, channels (axis 1), elements of one channel of one row."""

    elements: int
    channels: int
    inner: int


def extent_of(shape: Tuple[int, ...]) -> Extent:
    """Of a value of any rank; below 2 it has one channel."""
    count = 1
    for length in shape:
        count *= length
    if len(shape) < 2:
        return Extent(count, 1, max(count, 1))
    inner = 1
    for length in shape[2:]:
        inner *= length
    return Extent(count, max(shape[1], 1), max(inner, 1))


def blocks_for(threads: int) -> int:
    """Blocks of `BLOCK` threads that make at least `threads`, and at least one."""
    return max(1, -(-threads // BLOCK))


if __name__ == "__main__":
    sys.stdout.write(translation_unit())
