"""TensorRT as an engine: a plan that was found or built here, run on the GPU.

An engine is loaded only where its key fits: model, TensorRT, GPU and flags (`engine_cache`), or the facts a bundle
states about an engine it carries. Engines are executable code, so there is one place where a plan becomes one,
`TrtEngine.__init__`, and whoever trusts only signed bundles is asked right before it, by `verify`.
"""

import hashlib
import sys
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from runtime.build_engine import Say, available_bytes, find_or_build, workspace_bytes
from runtime.bundle.frame import Frame, Framing
from runtime.bundle.manifest_types import EngineFacts
from runtime.bundle.store import Bundle
from runtime.engines.base import Engine
from runtime.engines.cuda import Buffer, Gpu, Packer, shared_gpu
from runtime.engines.dialect import Dialect, Settings, load_dialect
from runtime.engines.engine_cache import EngineCache
from runtime.errors import EngineError


class TrtEngine(Engine):
    """A plan in TensorRT.

    Parameters
    ----------
    plan : bytes
    dialect : Dialect
    gpu : Gpu
        Its context is current inside each call, and on no other thread meanwhile.
    verify : callable, optional
        Called before the plan is deserialized; raises if it is not to be trusted.
    origin : str
        Where it came from, for reports.

    Raises
    ------
    EngineError
        TensorRT does not take the plan, or memory is short.
    """

    def __init__(
        self,
        plan: bytes,
        dialect: Dialect,
        gpu: Gpu,
        verify: Optional[Callable[[], None]] = None,
        origin: str = "",
    ) -> None:
        self._dialect, self._gpu = dialect, gpu
        self._log: List[str] = []
        with gpu.current():
            if verify is not None:
                verify()
            self._runtime, self._engine = dialect.deserialize(plan, self._keep)
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise self._failed("makes no execution context")
            self._tensors = dialect.tensors(self._engine)
            try:
                self._stream = gpu.driver.Stream()
                self._buffers = {t.name: Buffer(gpu, t.shape, t.dtype) for t in self._tensors}
            except gpu.driver.Error as exc:
                raise EngineError(f"no memory on {gpu.name} for the engine's tensors: {exc}") from exc
        self._packers: Dict[str, Packer] = {}
        self.input_names = tuple(t.name for t in self._tensors if t.is_input)
        self.output_names = tuple(t.name for t in self._tensors if not t.is_input)
        self.description = f"{dialect.product} {dialect.version} on {gpu.name}" + (f" ({origin})" if origin else "")

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        return self.run_framed(feed, {})

    def run_framed(self, feed: Mapping[str, np.ndarray], framings: Mapping[str, Framing]) -> Dict[str, Any]:
        """All outputs, those of `framings` packed on the GPU: of them only the frame crosses to the host."""
        outputs = [name for name in self.output_names if name not in framings]
        packed = [name for name in self.output_names if name in framings]
        with self._gpu.current():
            try:
                for name in self.input_names:
                    self._buffers[name].upload(self._checked(name, feed), self._stream)
                addresses = {name: buffer.address for name, buffer in self._buffers.items()}
                if not self._dialect.enqueue(self._context, self._tensors, addresses, int(self._stream.handle)):
                    raise self._failed("did not run")
                sizes = {name: self._start(name, framings[name]) for name in packed}
                for name in outputs:
                    self._buffers[name].download(self._stream)
                self._stream.synchronize()
                # Copies: the buffers are the next task's.
                made: Dict[str, Any] = {name: self._buffers[name].host.copy() for name in outputs}
                for name in packed:
                    framing = framings[name]
                    data = self._packers[name].finish(sizes[name], framing.bits, framing.layout, name)
                    made[name] = Frame(data, framing.bits, self._buffers[name].host.shape)
            except self._gpu.driver.Error as exc:
                raise EngineError(f"{self.description} failed: {exc}", self._log[-5:]) from exc
        return made

    def _start(self, name: str, framing: Framing) -> int:
        buffer = self._buffers[name]
        if name not in self._packers:
            self._packers[name] = Packer(self._gpu, buffer.host.shape, buffer.host.dtype.name)
        return self._packers[name].start(
            buffer.address, framing.bits, framing.layout, self._stream, framing.scale, framing.zero_point
        )

    def _checked(self, name: str, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        wanted = self._buffers[name].host
        if name not in feed:
            raise EngineError(f"the engine needs input '{name}'", ["found  " + (", ".join(sorted(feed)) or "nothing")])
        array = np.asarray(feed[name])
        if array.shape != wanted.shape or array.dtype != wanted.dtype:
            raise EngineError(
                f"input '{name}' does not suit the engine",
                [f"expected  {wanted.dtype} {list(wanted.shape)}", f"found     {array.dtype} {list(array.shape)}"],
            )
        return array

    def _keep(self, severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR", "WARNING"):
            self._log = self._log[-50:] + [f"{severity.lower()}: {message}"]

    def _failed(self, what: str) -> EngineError:
        return EngineError(f"{self._dialect.product} {self._dialect.version} {what}", self._log[-5:])


class TrtOptions(NamedTuple):
    """How engines are found.

    Attributes
    ----------
    fp16, int8 : bool
        Precisions TensorRT may choose; dialect 11 takes them from the graph.
    cache : str or None
        Folder; `engine_cache.DEFAULT_CACHE` if not given.
    workspace_bytes : int
        0: from what memory is free.
    """

    fp16: bool = False
    int8: bool = False
    cache: Optional[str] = None
    workspace_bytes: int = 0


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class TrtFactory:
    """Model bytes to `TrtEngine`: an engine of the bundle that is for this GPU, one built here before, or a new one.

    Parameters
    ----------
    bundle : Bundle, optional
        Whose engines may be used.
    options : TrtOptions
    verify : callable, optional
        Called with nothing before any plan is deserialized; raises if the bundle is not to be trusted.
    say : callable
        Gets what a person may want to know meanwhile; building takes minutes on a Jetson.
    dialect, gpu : optional
        Those of this machine, if not given; looked for when the first engine is asked for.
    """

    def __init__(
        self,
        bundle: Optional[Bundle] = None,
        options: TrtOptions = TrtOptions(),  # noqa: B008  (a tuple)
        verify: Optional[Callable[[], None]] = None,
        say: Say = _to_stderr,
        dialect: Optional[Dialect] = None,
        gpu: Optional[Gpu] = None,
    ) -> None:
        self._bundle, self._options, self._verify, self._say = bundle, options, verify, say
        self._dialect, self._gpu = dialect, gpu

    def __call__(self, model: bytes, providers: Sequence[str] = ()) -> TrtEngine:
        """The engine of a model.

        Raises
        ------
        EngineError
            There is no TensorRT, no GPU, or the model cannot be built.
        """
        gpu = self._gpu = self._gpu or shared_gpu()
        carried = self._carried(model, gpu)
        if carried is not None:
            return carried
        dialect = self._dialect = self._dialect or load_dialect()
        options = self._options
        free = gpu.free_bytes()
        settings = Settings(
            options.fp16, options.int8, options.workspace_bytes or workspace_bytes(available_bytes(), free)
        )
        with gpu.current():  # TensorRT times tactics on the device
            found = find_or_build(
                dialect,
                model,
                settings,
                EngineCache(options.cache),
                gpu.name,
                gpu.compute_capability,
                self._say,
            )
        if found.built:
            size = len(found.plan) / 1e6
            self._say(f"built an engine of {size:.1f} MB in {found.seconds:.1f} s, kept as {found.path}")
        return TrtEngine(found.plan, dialect, gpu, self._verify, "built here")

    def _carried(self, model: bytes, gpu: Gpu) -> Optional[TrtEngine]:
        """The bundle's engine of this model, where it is for this GPU and the TensorRT-RTX that is here."""
        digest = hashlib.sha256(model).hexdigest()
        engines = self._bundle.manifest.engines if self._bundle is not None else ()
        mine = [facts for facts in engines if facts.model_sha256 == digest]
        if not mine or self._bundle is None:
            return None
        try:
            dialect = self._dialect or load_dialect("tensorrt_rtx")
        except EngineError as exc:
            self._say(f"note: the bundle's engine {mine[0].path} is not used: {exc.message}")
            return None
        reasons = [misfit(facts, dialect, gpu.compute_capability) for facts in mine]
        for facts, reason in zip(mine, reasons):
            if not reason:
                plan = self._bundle.read(facts.path)
                return TrtEngine(plan, dialect, gpu, self._verify, f"{facts.path} of the bundle")
        self._say(f"note: the bundle's engine {mine[0].path} is not used: {reasons[0]}")
        return None


def misfit(facts: EngineFacts, dialect: Dialect, compute_capability: str) -> str:
    """Why an engine of a bundle is not for this machine; empty if it is."""
    here = f"{dialect.product} {dialect.version}"
    if facts.builder != here:
        return f"built with {facts.builder}, here is {here}"
    if facts.compute_capability != compute_capability:
        return f"built for compute capability {facts.compute_capability}, this GPU has {compute_capability}"
    return ""


def engine_factory(model: bytes, providers: Sequence[str] = ()) -> TrtEngine:
    """Looked up in the default cache or built, with TensorRT's defaults; `TrtFactory` says how to change them."""
    return TrtFactory()(model, providers)


def factory_for(
    bundle: Bundle,
    side: str,
    cache: Optional[str] = None,
    verify: Optional[Callable[[], None]] = None,
    say: Optional[Say] = None,
) -> TrtFactory:
    """What a program that runs `side` ("device" or "cloud") of a bundle makes engines with.

    The precision is the one the plan was made for: what the manifest says of that side.
    """
    target = bundle.manifest.device if side == "device" else bundle.manifest.cloud
    options = TrtOptions(fp16=target.get("precision") in ("fp16", "int8"), int8=target.get("precision") == "int8")
    return TrtFactory(bundle, options._replace(cache=cache), verify, say or _to_stderr)
