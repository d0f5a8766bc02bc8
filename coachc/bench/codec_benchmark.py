"""What coding a boundary value takes and saves: `python -m coachc.bench.codec_benchmark [--features FILE.npy ...]`.

One core, median of many repeats, every step beside a plain copy of the bytes it handles, which nothing can undercut.
Real features are arrays of shape (channels, height, width), or (1, ...). Without any they are drawn: smooth noise, its
mean and strength drawn per channel, after a ReLU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coachc.runtime.bundle.deflate import deflate, inflate, segments
from coachc.runtime.bundle.frame import FRAME_HEADER_BYTES, decode_frame, encode_frame
from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.link import protocol
from coachc.runtime.link.values import encode_values

SHAPES = ((64, 56, 56), (512, 28, 28), (256, 14, 14))
BITS = (2, 3, 4, 8)
CODINGS = ("huffman", "rle", "filtered")
MEMORY_LEVEL = 9
#: Coding of a whole encode.
CODING = "huffman"
LINK_BYTES_PER_S = 100e6 / 8
#: Share of the values that the quantizer's range covers.
COVERED = 0.9999
NAME = "/layer2/layer2.3/relu/Relu_output_0"


@dataclass(frozen=True)
class Step:
    """One step of the codec.

    Attributes
    ----------
    seconds : float
        Median.
    size_bytes : int
        What it reads or makes, whichever is larger.
    copy_s : float
        A copy of as many bytes.
    """

    seconds: float
    size_bytes: int
    copy_s: float


@dataclass(frozen=True)
class Result:
    """One value at one precision.

    Attributes
    ----------
    bits : int
    steps : dict of str to Step
        "encode" is all that the device does between its half's codes and the socket: order, pack, JSON header, coding.
    packed_bytes : int
        Of the codes alone.
    entropy_bytes : float
        Zero-order, of the codes.
    coded_bytes : dict of str to int
        By coding.
    """

    bits: int
    steps: dict[str, Step]
    packed_bytes: int
    entropy_bytes: float
    coded_bytes: dict[str, int]

    @property
    def share_of_packed(self) -> float:
        """Time of a whole encode over that of sending the packed bytes."""
        return self.steps["encode"].seconds * LINK_BYTES_PER_S / self.packed_bytes

    @property
    def share_of_coded(self) -> float:
        """Time of a whole encode over that of sending the coded bytes."""
        return self.steps["encode"].seconds * LINK_BYTES_PER_S / self.coded_bytes[CODING]


def synthetic(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Features as after a convolution and a ReLU, float32, shape (1, C, H, W)."""
    channels, height, width = shape
    noise = rng.standard_normal(shape)
    # Neighbours alike over about two pixels. Shares of zeros and bytes over entropy come out much as on SqueezeNet's.
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * np.exp(-((frequency / 0.3) ** 2)), s=(height, width))
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    mean = rng.normal(-0.3, 0.5, (channels, 1, 1))
    strength = rng.lognormal(0.0, 0.35, (channels, 1, 1))
    return np.asarray(np.maximum((smooth + mean) * strength, 0)[None], dtype=np.float32)


def entropy_bytes(codes: np.ndarray) -> float:
    """Zero-order entropy of all codes together, in bytes."""
    share = np.bincount(codes.ravel()) / codes.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum() * codes.size / 8)


def median_s(function: Callable[[], object], seconds: float) -> float:
    """Median time of a call, repeated for about so long."""
    function()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 20 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(x: np.ndarray, bits: int, *, per_channel: bool, seconds: float) -> Result:
    """All steps for one value at one precision, each repeated for so long."""
    axes = (0, 2, 3) if per_channel else None
    top = np.quantile(x, COVERED, axis=axes).astype(np.float64)
    scale = tuple(float(s) for s in np.atleast_1d(np.where(top > 0, top, 1.0) / (2**bits - 1)))
    zero_point = (0,) * len(scale)
    codes = quantize(x, scale, zero_point, bits)
    order = tuple(int(c) for c in np.argsort([entropy_bytes(codes[:, c]) for c in range(x.shape[1])], kind="stable"))

    def cut_with(coding: str) -> Cut:
        layout = Layout("bytes", order, coding, MEMORY_LEVEL)
        value = CutValue(NAME, "float32", x.shape, "packed", bits, (Level(bits, scale, zero_point),), "codes", layout)
        return Cut("split", "split", "device.onnx", "cloud.onnx", (value,), (), ("logits",))

    cut = cut_with(CODING)
    layout = cut.values[0].layout
    frame = encode_frame(codes, bits, layout)
    request = protocol.encode_request(encode_values(cut, {"codes": codes}), ["logits"])
    limit = protocol.request_limit_bytes(cut)
    plain = protocol.encode_request(encode_values(cut_with("none"), {"codes": codes}), ["logits"]).body
    coded = {coding: deflate([(frame, coding, MEMORY_LEVEL)]) for coding in CODINGS}

    def encode() -> object:
        return protocol.encode_request(encode_values(cut, {"codes": codes}), ["logits"])

    def step(function: Callable[[], object], size_bytes: int) -> Step:
        source = np.zeros(size_bytes, np.uint8)
        target = np.empty_like(source)
        return Step(median_s(function, seconds), size_bytes, median_s(lambda: np.copyto(target, source), seconds / 4))

    steps = {"quantize": step(lambda: quantize(x, scale, zero_point, bits), x.nbytes)}
    steps["pack"] = step(lambda: encode_frame(codes, bits, layout), codes.size)
    steps["dense"] = step(lambda: encode_frame(codes, bits, layout._replace(form="dense")), codes.size)
    for coding in CODINGS:
        part = (frame, coding, MEMORY_LEVEL)
        steps[coding] = step(lambda part=part: deflate([part]), len(frame))  # type: ignore[misc]
    steps["encode"] = step(encode, codes.size)
    steps["inflate"] = step(lambda: inflate(coded[CODING], limit), len(plain))
    steps["unpack"] = step(lambda: decode_frame(frame, x.shape, (bits,), layout), codes.size)
    steps["dequantize"] = step(lambda: dequantize(codes, scale, zero_point), x.nbytes)
    assert inflate(request.body, limit) == plain or request.body == plain
    sizes = {coding: len(segments([(frame, coding, MEMORY_LEVEL)])[0]) for coding in CODINGS}
    packed = len(encode_frame(codes, bits, Layout())) - FRAME_HEADER_BYTES
    return Result(bits, steps, packed, entropy_bytes(codes), sizes)


def table(results: Sequence[Result]) -> str:
    """Microseconds, MB/s, multiples of a copy, then bytes and shares."""
    names = list(results[0].steps)
    lines = [" " * 12 + "".join(f"{name:>11}" for name in names)]
    for unit, show in (
        ("us", lambda s: f"{s.seconds * 1e6:.1f}"),
        ("MB/s", lambda s: f"{s.size_bytes / s.seconds / 1e6:,.0f}"),
        ("x copy", lambda s: f"{s.seconds / s.copy_s:.1f}"),
    ):
        lines += [f"{r.bits} bits {unit:<6}" + "".join(f"{show(r.steps[name]):>11}" for name in names) for r in results]
    headings = ["packed", "entropy", *CODINGS, "encode: of packed link", "of coded link"]
    lines.append("  ".join(["bytes ", *(f"{heading:>15}" for heading in headings)]))
    for r in results:
        coded = [f"{size:,} ({size / r.entropy_bytes:.3f})" for size in r.coded_bytes.values()]
        cells = [f"{r.packed_bytes:,}", f"{r.entropy_bytes:,.0f}", *coded]
        cells += [f"{r.share_of_packed:.1%}", f"{r.share_of_coded:.1%}"]
        widths = [max(15, len(heading)) for heading in headings]
        lines.append("  ".join([f"{r.bits} bits", *(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))]))
    return "\n".join(lines)


def as_json(name: str, x: np.ndarray, results: Sequence[Result]) -> dict[str, object]:
    """One value's results for a script."""
    return {
        "features": name,
        "shape": list(x.shape),
        "results": [
            {
                "bits": r.bits,
                "seconds": {step: r.steps[step].seconds for step in r.steps},
                "bytes_per_s": {step: r.steps[step].size_bytes / r.steps[step].seconds for step in r.steps},
                "copies": {step: r.steps[step].seconds / r.steps[step].copy_s for step in r.steps},
                "packed_bytes": r.packed_bytes,
                "entropy_bytes": r.entropy_bytes,
                "coded_bytes": r.coded_bytes,
                "encode_share_of_packed_link": r.share_of_packed,
                "encode_share_of_coded_link": r.share_of_coded,
            }
            for r in results
        ],
    }


def load(path: Path) -> np.ndarray:
    """Real features as float32, shape (1, C, H, W)."""
    x = np.load(path)
    if x.ndim == 3:
        x = x[None]
    if x.ndim != 4 or x.shape[0] != 1 or x.size == 0:
        raise SystemExit(f"{path}: expected (channels, height, width) or (1, ...), found shape {x.shape}")
    return np.ascontiguousarray(x, dtype=np.float32)


def main() -> None:
    """Print the table of every value."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--features", nargs="+", metavar="FILE.npy", type=Path, default=[], help="instead of drawn ones"
    )
    parser.add_argument("--bits", nargs="+", type=int, default=BITS, metavar="N")
    parser.add_argument("--per-channel", action="store_true", help="a scale per channel, not per tensor")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each step; default %(default)s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    values = [(str(path), load(path)) for path in options.features]
    if not values:
        rng = np.random.default_rng(options.seed)
        values = [("synthetic", synthetic(shape, rng)) for shape in SHAPES]
    collected = []
    for name, x in values:
        results = [measure(x, bits, per_channel=options.per_channel, seconds=options.seconds) for bits in options.bits]
        collected.append(as_json(name, x, results))
        if not options.json:
            scales = "per channel" if options.per_channel else "per tensor"
            shape = "x".join(str(length) for length in x.shape[1:])
            print(f"\n{shape}, {name}: {x.size:,} values, {np.mean(x == 0):.0%} zeros, scales {scales}")
            print(table(results))
    if options.json:
        print(json.dumps(collected, indent=1))
    else:
        print(
            f"""
Each step: median time, bytes it handles per second, multiples of a copy of them. pack: channels put in order, whole
codes in bytes; dense: in order, without gaps; {", ".join(CODINGS)}: coding of what pack made, memLevel {MEMORY_LEVEL};
encode: from codes to the body of a request, {CODING}. Bytes: in brackets over the zero-order entropy of the codes.
Link: {LINK_BYTES_PER_S * 8 / 1e6:g} Mbit/s."""
        )


if __name__ == "__main__":
    main()
