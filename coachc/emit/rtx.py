"""Engines of the cloud half ahead of time: plans of TensorRT-RTX, which needs neither the GPU nor a driver to build.

The plan holds kernels for one compute capability; the server's TensorRT-RTX finishes them when it loads the plan. It is
strongly typed: FP16 and INT8 are what the graph says, so FP16 is written into the graph first. What TensorRT-RTX would
build into something else, such as uint8 codes, is refused by the rules of `coachc.targets` before it sees the model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx

from coachc.cost.device import DeviceSpec
from coachc.emit.half_precision import in_half_precision
from coachc.emit.rtx_worker import MODULE, build_apart
from coachc.errors import ToolchainError
from coachc.runtime.bundle.manifest_types import Cut, EngineFacts, most_tasks
from coachc.runtime.bundle.quantizer_inputs import artefact_feed
from coachc.runtime.engines.dialect import Dialect
from coachc.runtime.engines.dialect_11 import Dialect11
from coachc.runtime.engines.load_dialect import load_dialect
from coachc.runtime.errors import EngineError
from coachc.targets.rules import errors
from coachc.targets.target import Target

#: What is in a log only because of the machine and the moment, and would make equal builds look different.
_OF_THE_MOMENT = re.compile(
    r"\[MemUsage|Peak memory|Builder timing|\btook [0-9.]+ ?(ms|s)|in [0-9.]+ (seconds|ms)|CPU [+0-9]|\[MS\]"
)


@dataclass(frozen=True)
class RtxEngine:
    """A plan, its log, and what the manifest says of it."""

    facts: EngineFacts
    plan: bytes
    log: str


def check_rtx(spec: DeviceSpec) -> None:
    """Whether an engine can be built here for a target; asked before long work.

    Raises
    ------
    ToolchainError
        TensorRT-RTX is missing, or does not build for that GPU.
    """
    _dialect_for(spec.compute_capability, spec.name)


def build_rtx(
    model: bytes,
    compute_capability: str,
    *,
    precision: str = "",
    where: str = "the model",
    feed: Mapping[str, np.ndarray] = MappingProxyType({}),
    max_batch: int = 1,
) -> tuple[bytes, str]:
    """A plan from an ONNX model; the same inputs give the same bytes.

    Parameters
    ----------
    model : bytes
        Weights inside.
    compute_capability : str
        Such as "8.6".
    precision : str
        "fp16" writes half precision into the graph first; anything else leaves it as it is.
    where : str
        For messages.
    feed : mapping of str to ndarray
        Inputs of its quantizers, where half precision is tried; the others are random.
    max_batch : int
        Most tasks in one run, for a model that leaves the first axis of its inputs open.

    Returns
    -------
    plan : bytes
    log : str
        Without times and amounts of memory.

    Raises
    ------
    ToolchainError
        TensorRT-RTX is missing, does not build for that GPU, or does not take a node of the model.
    """
    dialect = _dialect_for(compute_capability, where)
    proto = onnx.load_from_string(model)
    _refuse(proto, dialect, compute_capability, where)
    notes: list[str] = []
    if precision == "fp16":
        proto, notes = in_half_precision(proto, where, feed)
        model = proto.SerializeToString(deterministic=True)
    try:
        plan, said = build_apart(model, compute_capability, max_batch)
    except EngineError as exc:
        half = "--cloud-precision fp16 builds it in half precision; " if "FP32 GEMM" in exc.message else ""
        raise ToolchainError(f"{where}: {exc.message}", context=exc.context, hint=half + _WITHOUT) from exc
    lines = [f"{severity.lower():<8}{message}" for severity, message in said if not _OF_THE_MOMENT.search(message)]
    facts = [
        f"built   {dialect.product} {dialect.version} for compute capability {compute_capability}",
        f"plan    {len(plan)} bytes, sha256 {hashlib.sha256(plan).hexdigest()}",
        *notes,
    ]
    return plan, "\n".join([*facts, *lines]) + "\n"


def rtx_engines(
    models: Mapping[str, onnx.ModelProto], cuts: Iterable[Cut], spec: DeviceSpec, precision: str
) -> tuple[RtxEngine, ...]:
    """An engine of every model that the cloud runs in any cut.

    Parameters
    ----------
    models : mapping
        Path in the bundle -> model, as it will be written.
    cuts : iterable of Cut
    spec : DeviceSpec
        The cloud.
    precision : str
        Of the cloud's profile.

    Raises
    ------
    ToolchainError
        As `build_rtx` does.
    """
    cuts = tuple(cuts)
    paths = sorted({path for cut in cuts for path in cut.on_cloud})
    engines = []
    for path in paths:
        data = models[path].SerializeToString(deterministic=True)
        plan, log = build_rtx(
            data,
            spec.compute_capability,
            precision=precision,
            where=path,
            feed=artefact_feed(cuts, path),
            max_batch=most_tasks(cuts, path),
        )
        stem = f"{path.removesuffix('.onnx')}.sm{spec.compute_capability.replace('.', '')}"
        dialect = load_dialect(MODULE)
        facts = EngineFacts(
            path=f"{stem}.engine",
            log=f"{stem}.log",
            model_sha256=hashlib.sha256(data).hexdigest(),
            builder=f"{dialect.product} {dialect.version}",
            compute_capability=spec.compute_capability,
        )
        engines.append(RtxEngine(facts, plan, log))
    return tuple(engines)


_WITHOUT = "without --engine rtx the bundle holds ONNX, and the server builds an engine by itself"


def _dialect_for(compute_capability: str, where: str) -> Dialect:
    try:
        dialect = load_dialect(MODULE)
    except EngineError as exc:
        raise ToolchainError(
            "TensorRT-RTX is not installed", context=exc.context, hint=f"pip install 'coachc[rtx]'; {_WITHOUT}"
        ) from exc
    assert isinstance(dialect, Dialect11)
    known = dialect.compute_capabilities()
    if compute_capability not in known:
        raise ToolchainError(
            f"{dialect.product} {dialect.version} builds no engine for {where}",
            context=[
                f"expected  compute capability {', '.join(known)}",
                f"found     {compute_capability or 'none: it is no GPU'}",
            ],
            hint=_WITHOUT,
        )
    return dialect


def _refuse(model: onnx.ModelProto, dialect: Dialect, compute_capability: str, where: str) -> None:
    found = errors(model, Target(where, "rtx", ".".join(dialect.version.split(".")[:2]), compute_capability))
    if not found:
        return
    lines: Sequence[str] = [f"{one.node} ({one.operator or 'value'}): {one.reason}; {one.remedy}" for one in found]
    raise ToolchainError(
        f"{where} does not build with {dialect.product} {dialect.version}: {lines[0]}",
        context=lines[1:10],
        hint=_WITHOUT,
    )
