"""What runs an artefact on the GPU: a plan of the bundle that is for this GPU, one built here before, or a new one.

An engine is loaded only where its key fits: model, TensorRT, GPU and flags (`engine_cache`), or the facts a bundle
states about an engine it carries. Quantizers need none where there are CUDA kernels.
"""

import hashlib
from typing import NamedTuple, Optional, Sequence

from ..bundle.manifest_types import EngineFacts, most_tasks
from ..bundle.store import Bundle
from ..errors import EngineError
from .build_engine import Say, available_bytes, find_or_build, to_stderr, workspace_bytes
from .cuda import Gpu, shared_gpu
from .dialect import Dialect, Settings
from .engine import Engine
from .engine_cache import EngineCache
from .gpu_quantizer import GpuQuantizer, quantizing_cut
from .load_dialect import load_dialect
from .onnx_nodes import node_names
from .trt_engine import TrtEngine

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


class ToBuild(NamedTuple):
    """What an engine of an artefact is built of, and how."""

    path: str
    model: bytes
    settings: Settings


def to_build(
    bundle: Bundle, side: str, path: str, model: bytes, dialect: Dialect, workspace: int, say: Say = to_stderr
) -> ToBuild:
    """An artefact of a side with its settings, or the same in half precision where TensorRT takes that from the graph.

    FP16 is the precision of that side's profile, and not for the quantizers of a cut. INT8 is what the graph says: with
    quantizers in it TensorRT refuses to build without that flag, and without them the flag asks for a calibrator.

    Parameters
    ----------
    bundle : Bundle
    side : {"device", "cloud"}
    path : str
    model : bytes
        Of the artefact.
    dialect : Dialect
    workspace : int
        Scratch memory in bytes.
    say : callable
        Gets what a person should know.
    """
    manifest = bundle.manifest
    target = manifest.device if side == "device" else manifest.cloud
    exact = any(path in cut.quantizers for cut in manifest.cuts)
    quantized = any(node.operator in QUANTIZERS for node in node_names(model))
    # A device runs one task at a time; a server fills what it may.
    most = most_tasks(manifest.cuts, path)
    settings = Settings(
        target.get("precision") == "fp16" and not exact,
        quantized,
        workspace_bytes=workspace,
        opt_batch=most if side == "cloud" else 1,
        max_batch=most,
    )
    if not dialect.typed or not settings.fp16:
        return ToBuild(path, model, settings)
    half = manifest.in_half_precision(path)
    if half is not None:
        return ToBuild(half, bundle.read(half), settings)
    say(
        f"note: {dialect.product} {dialect.version} computes {path} in float32, as its graph says; "
        "compile with --engine trt for half precision"
    )
    return ToBuild(path, model, settings)


class TrtFactory:
    """Model bytes to what runs them on the GPU.

    Parameters
    ----------
    bundle : Bundle
        Opened, and its signature checked where that is asked for.
    side : {"device", "cloud"}
        What this machine is of it.
    cache : str, optional
        Folder of engines; `engine_cache.DEFAULT_CACHE` if not given.
    say : callable
        Gets what a person may want to know meanwhile; building takes minutes on a Jetson.
    dialect, gpu : optional
        Those of this machine, if not given; looked for when the first engine is asked for.
    """

    def __init__(
        self,
        bundle: Bundle,
        side: str,
        cache: Optional[str] = None,
        say: Say = to_stderr,
        dialect: Optional[Dialect] = None,
        gpu: Optional[Gpu] = None,
    ) -> None:
        self._bundle, self._side, self._say = bundle, side, say
        self._cache = EngineCache(cache)
        self._dialect, self._gpu = dialect, gpu
        self._paths = {item.sha256: item.path for item in bundle.manifest.artefacts}

    def __call__(self, model: bytes, providers: Sequence[str] = ()) -> Engine:
        """The engine of a model of the bundle.

        Raises
        ------
        EngineError
            There is no TensorRT, no GPU, or the model cannot be built.
        """
        gpu = self._gpu = self._gpu or shared_gpu()
        digest = hashlib.sha256(model).hexdigest()
        path = self._paths.get(digest, "")
        cut = quantizing_cut(self._bundle.manifest, path)
        if cut is not None:
            lacks = gpu.lacks_kernels()
            if not lacks:
                return GpuQuantizer(cut, gpu)
            self._say(f"note: {path} is computed by TensorRT, and its codes are packed on the CPU: {lacks}")
        carried = self._carried(digest, gpu)
        if carried is not None:
            return carried
        dialect = self._dialect = self._dialect or load_dialect()
        workspace = workspace_bytes(available_bytes(), gpu.free_bytes())
        chosen = to_build(self._bundle, self._side, path, model, dialect, workspace, self._say)
        with gpu.current():  # TensorRT times tactics on the device
            found = find_or_build(
                dialect, chosen.model, chosen.settings, self._cache, gpu.name, gpu.compute_capability, self._say
            )
        if found.built:
            size = len(found.plan) / 1e6
            self._say(f"built an engine of {size:.1f} MB in {found.seconds:.1f} s, kept as {found.path}")
        return TrtEngine(found.plan, dialect, gpu, "built here")

    def _carried(self, digest: str, gpu: Gpu) -> Optional[TrtEngine]:
        """The bundle's engine of this model, where it is for this GPU and the TensorRT-RTX that is here."""
        mine = [facts for facts in self._bundle.manifest.engines if facts.model_sha256 == digest]
        if not mine:
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
                return TrtEngine(plan, dialect, gpu, f"{facts.path} of the bundle")
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
