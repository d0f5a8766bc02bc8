"""Arrays at the edges of the quantizer's and the packer's arithmetic. Python 3.6-clean."""

import numpy as np

from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level

PER_CHANNEL = Level(5, (0.1, 0.2, 0.3), (3, 0, 16))
COARSE = Level(2, (0.9,), (1,))
PLAIN = Layout()
SHAPES = ((), (1,), (7,), (8,), (9,), (0,), (2, 0, 4), (1, 3), (2, 3, 5), (1, 3, 4, 4), (1, 17, 7, 7), (3, 2, 129))
ORDERS = ((0,), (1, 0), (2, 0, 1), (4, 2, 0, 3, 1))


def codes_for(shape, bits):
    """Random codes, the least and the greatest among them."""
    random = np.random.RandomState(bits + 31 * len(shape))
    codes = random.randint(0, 1 << bits, size=shape).astype(np.uint8)
    if codes.size > 2:
        codes.reshape(-1)[:2] = (1 << bits) - 1, 0
    return codes


def quantizers(channels, bits):
    """Scales and zero points: ordinary, not representable, tiny, huge, subnormal."""
    top = (1 << bits) - 1
    for scale in (1.0, 0.1, 1 / 3.0, 3.7e-12, 2.5e20, 1e-40):
        scales = [scale * (1 + 0.37 * channel) for channel in range(channels)]
        for zero_point in (0, top // 2, top):
            yield scales, [(zero_point + channel) % (top + 1) for channel in range(channels)]


def hard_floats(shape, scale, bits):
    """Ties and their neighbours in float32, limits, infinities, NaN, zeros of both signs, subnormals."""
    random = np.random.RandomState(bits)
    x = (random.randn(*shape) * (1 << bits)).astype(np.float32)
    scales = np.array(scale, np.float32).reshape(-1)
    with np.errstate(over="ignore"):
        x *= scales.reshape((1, -1) + (1,) * (len(shape) - 2)) if scales.size > 1 else scales[0]
        halves = (np.arange(-300, 300, 1, dtype=np.float32) + np.float32(0.5)) * scales[0]
        ties = np.concatenate([halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, -halves)])
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 1e-39], np.float32)
    flat = x.reshape(-1)
    flat[: special.size] = special
    room = flat.size - special.size
    flat[special.size :: 2] = random.permutation(ties)[: (room + 1) // 2]
    return x


def quantizing_cut_of(shape=(2, 3, 7, 9), layout=PLAIN, form="arithmetic", levels=(COARSE, PER_CHANNEL)):
    """A cut that sends "v", quantized by an artefact of its own."""
    value = CutValue("v", "float32", shape, "packed", levels[-1].bits, levels, "v/codes", layout)
    features = ("v/feature",) if len(shape) > 1 else ()
    return Cut("a", "split", "edge", "cloud", (value,), (), ("y",), form, form, features, ("body",))


def values_for(shape, seed=0):
    """Ordinary floats."""
    return (2 * np.random.RandomState(seed).randn(*shape)).astype(np.float32)
