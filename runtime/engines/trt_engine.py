"""TensorRT as an engine: a plan that was found or built here, run on the GPU.

Which plan that is, is `trt_factory`'s business. Engines are executable code, so there is one place where a plan becomes
one, `TrtEngine.__init__`; a bundle's signature was checked when it was opened, and its bytes when they were read.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..bundle.frame import Frame, Framing
from ..errors import EngineError
from .cuda import Buffer, Gpu
from .dialect import Dialect
from .engine import Engine
from .packer import Packer


class TrtEngine(Engine):
    """A plan in TensorRT.

    Parameters
    ----------
    plan : bytes
    dialect : Dialect
    gpu : Gpu
        Its context is current inside each call, and on no other thread meanwhile.
    origin : str
        Where it came from, for reports.

    Raises
    ------
    EngineError
        TensorRT does not take the plan, or memory is short.
    """

    def __init__(self, plan: bytes, dialect: Dialect, gpu: Gpu, origin: str = "") -> None:
        self._dialect, self._gpu = dialect, gpu
        self._log: List[str] = []
        with gpu.current():
            self._runtime, self._engine = dialect.deserialize(plan, self._keep)
            self._tensors = dialect.tensors(self._engine)
            self._context = dialect.context(self._engine, self._tensors)
            if self._context is None:
                raise self._failed("makes no execution context")
            try:
                self._buffers = {t.name: Buffer(gpu, t.shape, t.dtype) for t in self._tensors}
            except gpu.driver.Error as exc:
                raise EngineError(f"no memory on {gpu.name} for the engine's tensors: {exc}") from exc
        self._packers: Dict[str, Packer] = {}
        self._profiler: Any = None
        self.input_names = tuple(t.name for t in self._tensors if t.is_input)
        self.output_names = tuple(t.name for t in self._tensors if not t.is_input)
        self.description = f"{dialect.product} {dialect.version} on {gpu.name}" + (f" ({origin})" if origin else "")

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        return self.run_framed(feed, {})

    def run_framed(
        self, feed: Mapping[str, Any], framings: Mapping[str, Framing], wanted: Optional[Sequence[str]] = None
    ) -> Dict[str, Any]:
        """All outputs: of those in `framings` only the frame crosses to the host, and of what is not wanted nothing.

        Without kernels (`Gpu.lacks_kernels`) nothing is packed here: the codes are downloaded.
        """
        if framings and self._gpu.lacks_kernels():
            framings = {}
        packed = [name for name in self.output_names if name in framings]
        outputs = [name for name in self.output_names if name not in framings and (wanted is None or name in wanted)]
        with self._gpu.current():
            stream = self._gpu.stream
            try:
                addresses = {name: buffer.address for name, buffer in self._buffers.items()}
                addresses.update({name: self._fed(name, feed) for name in self.input_names})
                if not self._started(addresses, stream):
                    raise self._failed("did not run")
                sizes = {name: self._start(name, framings[name]) for name in packed}
                for name in outputs:
                    self._buffers[name].download(stream)
                if packed or outputs:
                    stream.synchronize()
                made: Dict[str, Any] = {name: self._buffers[name] for name in self.output_names}
                # Copies: the buffers are the next task's.
                made.update({name: self._buffers[name].host.copy() for name in outputs})
                for name in packed:
                    framing = framings[name]
                    data = self._packers[name].finish(sizes[name], framing.bits, framing.layout, name)
                    made[name] = Frame(data, framing.bits, self._buffers[name].host.shape)
            except self._gpu.driver.Error as exc:
                raise EngineError(f"{self.description} failed: {exc}", self._log[-5:]) from exc
        return made

    def watch_layers(self, report: Callable[[str, float], None]) -> bool:
        # Kept as long as the engine: TensorRT holds it too, and does not own it.
        self._profiler = self._dialect.profiler(report)
        self._context.profiler = self._profiler
        return True

    def _started(self, addresses: Mapping[str, int], stream: Any) -> bool:
        if self._profiler is None:
            return self._dialect.enqueue(self._context, self._tensors, addresses, int(stream.handle))
        stream.synchronize()
        return self._dialect.execute(self._context, self._tensors, addresses)

    def _start(self, name: str, framing: Framing) -> int:
        buffer = self._buffers[name]
        if name not in self._packers:
            self._packers[name] = Packer(self._gpu, buffer.host.shape, buffer.host.dtype.name)
        return self._packers[name].start(buffer.address, framing.bits, framing.layout)

    def _fed(self, name: str, feed: Mapping[str, Any]) -> int:
        """The address of an input: uploaded, or where an engine before this one left it."""
        wanted = self._buffers[name]
        if name not in feed:
            raise EngineError(f"the engine needs input '{name}'", ["found  " + (", ".join(sorted(feed)) or "nothing")])
        given = feed[name] if isinstance(feed[name], Buffer) else np.asarray(feed[name])
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            raise EngineError(
                f"input '{name}' does not suit the engine",
                [f"expected  {wanted.dtype} {list(wanted.shape)}", f"found     {given.dtype} {list(given.shape)}"],
            )
        if isinstance(given, Buffer):
            return given.address
        wanted.upload(given, self._gpu.stream)
        return wanted.address

    def _keep(self, severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR", "WARNING"):
            self._log = self._log[-50:] + [f"{severity.lower()}: {message}"]

    def _failed(self, what: str) -> EngineError:
        return EngineError(f"{self._dialect.product} {self._dialect.version} {what}", self._log[-5:])
