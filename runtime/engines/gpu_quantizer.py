"""The quantizers of a cut as CUDA kernels, in place of an engine of the artefact that holds them.

That artefact quantizes each packed value and pools its feature, nothing else (`Cut.quantizers`). The kernels do the
same in float32 with the codec's own rounding, whatever precision the engine before them has, and pack on the way, so
that only the frame and the feature cross to the host.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..bundle.frame import Frame, Framing
from ..bundle.manifest_types import Cut, CutValue, Manifest
from ..errors import EngineError
from .cuda import Buffer, Gpu
from .engine import Engine
from .kernels import BLOCK, PARTS, blocks_for, extent_of
from .packer import Packer


def quantizing_cut(manifest: Manifest, path: str) -> Optional[Cut]:
    """The cut whose device-side quantizers an artefact holds, where the kernels can stand in for all of it."""
    for cut in manifest.cuts:
        if path == cut.device and path in cut.quantizers and cut.device_parameters:
            packed = cut.packed_values
            # What else such an artefact may do: give an input of the model its name on the wire.
            other = [value for value in cut.values if not value.packed and value.codes != value.name]
            # At the inputs it also gives model outputs that no operator makes, unless they are inputs.
            inputs = [spec.name for spec in manifest.model.inputs]
            kept = [name for name in cut.device_outputs if name not in inputs]
            if not other and (cut.before or (len(packed) == len(cut.values) and not kept)):
                if all(value.dtype == "float32" and value.shape for value in packed):
                    return cut
    return None


class _Value(NamedTuple):
    """One packed value: its buffer where it comes from the host, its quantizer, codes, packer and feature."""

    entry: CutValue
    real: Buffer
    quantizer: Tuple[Buffer, Buffer]
    codes: Buffer
    packer: Packer
    feature: str
    parts: Buffer
    means: Buffer


class GpuQuantizer(Engine):
    """Quantizes, packs and pools the packed values of a cut.

    Parameters
    ----------
    cut : Cut
        One that `quantizing_cut` gave.
    gpu : Gpu
        Which has kernels.

    Raises
    ------
    EngineError
        Memory is short.
    """

    def __init__(self, cut: Cut, gpu: Gpu) -> None:
        self._gpu = gpu
        packed = cut.packed_values
        inputs: List[str] = []
        for value in packed:
            inputs += [value.name] + [value.name + "/" + parameter for parameter in ("scale", "zero_point", "qmax")]
        self.input_names = tuple(inputs)
        self.output_names = tuple(value.codes for value in packed) + cut.features
        self.description = f"CUDA kernels on {gpu.name}"
        with gpu.current():
            try:
                self._values = [self._buffers(value, cut) for value in packed]
            except gpu.driver.Error as exc:
                raise EngineError(f"no memory on {gpu.name} to quantize: {exc}") from exc

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Codes, uint8, and features."""
        return self.run_framed(feed, {})

    def run_framed(
        self, feed: Mapping[str, Any], framings: Mapping[str, Framing], wanted: Optional[Sequence[str]] = None
    ) -> Dict[str, Any]:
        """Frames of what `framings` names, codes of the rest, and features; `feed` may hold buffers of this GPU."""
        finish: List[Tuple[str, Callable[[], Any]]] = []
        with self._gpu.current():
            try:
                for value in self._values:
                    finish += self._start(value, feed, framings.get(value.entry.codes))
                self._gpu.stream.synchronize()
            except self._gpu.driver.Error as exc:
                raise EngineError(f"{self.description} failed: {exc}") from exc
            return {name: made() for name, made in finish}

    def _buffers(self, value: CutValue, cut: Cut) -> _Value:
        shape, gpu = value.shape, self._gpu
        channels = max(len(level.scale) for level in value.levels)
        quantizer = Buffer(gpu, (channels,), "float32"), Buffer(gpu, (channels,), "float32")
        feature = value.name + "/feature"
        rows = extent_of(shape[:2]).elements if feature in cut.features else 0
        return _Value(
            entry=value,
            real=Buffer(gpu, shape, "float32"),
            quantizer=quantizer,
            codes=Buffer(gpu, shape, "uint8"),
            packer=Packer(gpu, shape, "float32"),
            feature=feature if rows else "",
            parts=Buffer(gpu, (rows * PARTS,), "float32"),
            means=Buffer(gpu, shape[:2] if rows else (0,), "float32"),
        )

    def _start(
        self, value: _Value, feed: Mapping[str, Any], framing: Optional[Framing]
    ) -> List[Tuple[str, Callable[[], Any]]]:
        """Put the work of one value on the stream; how its outputs are got afterwards."""
        name, codes, stream = value.entry.name, value.entry.codes, self._gpu.stream
        address = self._address(feed, value)
        for buffer, parameter in zip(value.quantizer, ("scale", "zero_point")):
            buffer.upload(np.asarray(_of(feed, name + "/" + parameter), np.float32).reshape(-1), stream)
        finish: List[Tuple[str, Callable[[], Any]]] = []
        if framing is not None:
            bits, layout = framing
            size = value.packer.start(address, bits, layout, value.quantizer)
            finish.append(
                (codes, lambda: Frame(value.packer.finish(size, bits, layout, codes), bits, value.real.shape))
            )
        else:
            bits = int(np.asarray(_of(feed, name + "/qmax")).reshape(-1)[0]).bit_length()
            self._quantize(value, address, bits)
            finish.append((codes, value.codes.host.copy))
        if value.feature:
            self._pool(value, address)
            finish.append((value.feature, value.means.host.copy))
        return finish

    def _address(self, feed: Mapping[str, Any], value: _Value) -> int:
        given: Union[Buffer, np.ndarray] = _of(feed, value.entry.name)
        if given.shape != value.real.shape or given.dtype != np.float32:
            raise EngineError(
                f"input '{value.entry.name}' does not suit the quantizer",
                [f"expected  float32 {list(value.real.shape)}", f"found     {given.dtype} {list(given.shape)}"],
            )
        if isinstance(given, Buffer):
            return given.address
        value.real.upload(given, self._gpu.stream)
        return value.real.address

    def _quantize(self, value: _Value, address: int, bits: int) -> None:
        extent, (scale, zero_point) = extent_of(value.entry.shape), value.quantizer
        self._launch(
            "quantize_codes",
            extent.elements,
            np.uint64(address),
            np.int64(extent.elements),
            np.int32(extent.channels),
            np.int64(extent.inner),
            np.int32(bits),
            np.uint64(value.codes.address),
            np.uint64(scale.address),
            np.uint64(zero_point.address),
            np.int32(scale.host.size),
        )
        value.codes.download(self._gpu.stream)

    def _pool(self, value: _Value, address: int) -> None:
        inner, sums, means = np.int64(extent_of(value.entry.shape).inner), value.parts, value.means
        for kernel, read, count, written in (
            ("pool_parts", address, sums.host.size, sums.address),
            ("pool_mean", sums.address, means.host.size, means.address),
        ):
            self._launch(kernel, count, np.uint64(read), np.int64(count), inner, np.uint64(written))
        means.download(self._gpu.stream)

    def _launch(self, kernel: str, threads: int, *arguments: Any) -> None:
        grid = (blocks_for(threads), 1)
        self._gpu.kernel(kernel)(*arguments, block=(BLOCK, 1, 1), grid=grid, stream=self._gpu.stream)


def _of(feed: Mapping[str, Any], name: str) -> Any:
    if name not in feed:
        raise EngineError(f"the quantizer needs input '{name}'", ["found  " + (", ".join(sorted(feed)) or "nothing")])
    return feed[name]
