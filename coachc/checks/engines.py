"""Engines of a bundle: whether those it carries are of its models, and whether they compute what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from coachc.checks.recompose import Finding
from coachc.emit.half_precision import HALF_LIMIT
from coachc.errors import CheckFailure, UsageError
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.passes.lower.agree import difference
from coachc.runtime.bundle.manifest_types import MODEL_ROLES
from coachc.runtime.bundle.quantizer_inputs import artefact_feed
from coachc.runtime.bundle.store import Bundle, open_bundle
from coachc.runtime.engines.engine import Engine
from coachc.runtime.engines.trt_factory import TrtFactory

ENGINES = ("trt", "rtx")
#: Of an engine's outputs from ONNX Runtime's in float32, relative to the largest magnitude of each: TensorRT's own
#: float32 sums in another order and in TF32; FP16 rounds at 5e-4 in every node.
TOLERANCES = {"fp32": 1e-2, "fp16": 5e-2, "int8": 2e-1}

Make = Callable[[bytes], Engine]


def check_carried(bundle: Bundle) -> list[Finding]:
    """Whether every engine in a bundle was built from a model in it.

    Raises
    ------
    CheckFailure
        One was not: it would never be used.
    """
    models = {item.sha256: item for item in bundle.manifest.artefacts if item.role in MODEL_ROLES}
    sizes = {item.path: item.size_bytes for item in bundle.manifest.artefacts}
    findings = []
    for facts in bundle.manifest.engines:
        if facts.model_sha256 not in models:
            raise CheckFailure(
                f"{facts.path} was built from no model of this bundle",
                context=[
                    f"expected the sha256 of one of {', '.join(sorted(item.path for item in models.values()))}",
                    f"found    {facts.model_sha256}",
                ],
                hint="recompile the bundle",
            )
        size = f"{sizes[facts.path] / 1e6:.1f} MB"
        detail = f"{size}, of {models[facts.model_sha256].path}, {facts.builder}, for {facts.compute_capability}"
        findings.append(Finding(facts.path, detail))
    return findings


def check_half_precision(bundle: Bundle, *, seed: int = 0) -> list[Finding]:
    """Whether every model in half precision computes what its model in float32 does, as closely as that can.

    Raises
    ------
    CheckFailure
        One is of no model of the bundle, or computes something else.
    """
    models = {item.sha256: item.path for item in bundle.manifest.artefacts if item.role in MODEL_ROLES}
    findings = []
    for facts in bundle.manifest.half_precision:
        if facts.model_sha256 not in models:
            raise CheckFailure(f"{facts.path} is of no model of this bundle", hint="recompile the bundle")
        path = models[facts.model_sha256]
        whole, half = onnx.load_from_string(bundle.read(path)), onnx.load_from_string(bundle.read(facts.path))
        check(half)
        found = difference(whole, half, feed=artefact_feed(bundle.manifest.cuts, path), seeds=(seed,))
        if not found <= HALF_LIMIT:
            raise CheckFailure(
                f"{facts.path} computes something else than {path}",
                context=[f"relative difference {found:.2g}, at most {HALF_LIMIT}"],
                hint="recompile the bundle",
            )
        findings.append(Finding(facts.path, f"half precision of {path}: relative difference {found:.1e}, seed {seed}"))
    return findings


def check_engines(
    path: str, engine: str, *, samples: int = 4, seed: int = 0, cache: str | None = None, make: Make | None = None
) -> list[Finding]:
    """Run every model of a bundle that a side runs in TensorRT and in ONNX Runtime, and compare all outputs.

    Parameters
    ----------
    path : str
        A bundle.
    engine : {"trt", "rtx"}
        trt: of what this machine's TensorRT builds, as the programs would. rtx: of the engines the bundle carries only.
    samples : int
        Seeded inputs compared.
    seed : int
    cache : str, optional
        Folder of engines that were built here.
    make : callable, optional
        Model bytes -> engine, in place of TensorRT.

    Raises
    ------
    CheckFailure
        An output differs by more than its precision explains, or rtx is asked for and the bundle has no engine.
    runtime.errors.EngineError
        There is no TensorRT or no GPU here, or it does not take a model.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine '{engine}' is unknown", hint="one of " + ", ".join(ENGINES))
    bundle = open_bundle(path)
    manifest = bundle.manifest
    findings = check_carried(bundle)
    carried = {facts.model_sha256 for facts in manifest.engines}
    if engine == "rtx" and not carried:
        raise CheckFailure(f"{path} carries no engine", hint="compile it with --engine rtx")
    digests = {item.path: item.sha256 for item in manifest.artefacts}
    for side in ("device", "cloud") if engine == "trt" else ("cloud",):
        factory: Make = make or TrtFactory(bundle, side, cache)
        for artefact in sorted(manifest.run_by(side)):
            if engine == "trt" or digests[artefact] in carried:
                findings.append(_compared(bundle, artefact, side, factory, samples, seed))
    return findings


def _compared(bundle: Bundle, path: str, side: str, make: Make, samples: int, seed: int) -> Finding:
    data = bundle.read(path)
    proto = onnx.load_from_string(data)
    target = bundle.manifest.device if side == "device" else bundle.manifest.cloud
    tolerance = TOLERANCES.get(str(target.get("precision")), TOLERANCES["fp32"])
    quantizers = artefact_feed(bundle.manifest.cuts, path)
    codes = {value.codes for cut in bundle.manifest.cuts for value in cut.packed_values}
    reference, engine = ort.session(proto), make(data)
    worst = 0.0
    for index in range(samples):
        feed = ort.seeded_inputs(proto, seed + index)
        feed.update({name: array for name, array in quantizers.items() if name in feed})
        expected, found = ort.run_session(reference, feed), engine.run(feed)
        for name, wanted in expected.items():
            if name not in found or not _alike(wanted, found[name], is_codes=name in codes):
                shown = f"{found[name].dtype} {list(found[name].shape)}" if name in found else "nothing"
                raise CheckFailure(
                    f"{path} in {engine.description}: output '{name}' is another one",
                    context=[f"expected {wanted.dtype} {list(wanted.shape)}", f"found    {shown}"],
                )
            worst = max(worst, _compare(path, engine.description, name, wanted, found[name], tolerance, codes))
    return Finding(
        path, f"{engine.description}: {samples} seeded (seed {seed}) inputs, relative difference {worst:.1e}"
    )


def _alike(wanted: np.ndarray, found: np.ndarray, *, is_codes: bool) -> bool:
    """Whether shape and type are the same; codes are numbers of any integer type."""
    types = found.dtype == wanted.dtype or (is_codes and found.dtype.kind in "iu")
    return found.shape == wanted.shape and types


def _compare(
    path: str,
    description: str,
    name: str,
    expected: np.ndarray,
    found: np.ndarray,
    tolerance: float,
    codes: set[str],
) -> float:
    """Relative to the largest magnitude; of codes, whose ties may fall either way, relative to all of them.

    Where FP16 moves a value across a step its code moves with it, so codes may differ by as many steps as the
    tolerance is of their range.
    """
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    if not wide.size:
        return 0.0
    scale = float(np.abs(wide).max()) or 1.0
    worst = float(np.abs(wide - other).max()) / scale
    allowed = tolerance + (1.0 / scale if name in codes else 0.0)
    if not worst <= allowed:
        where = np.unravel_index(int(np.abs(wide - other).argmax()), wide.shape)
        raise CheckFailure(
            f"{path} in {description} computes something else than ONNX Runtime",
            context=[
                f"output   '{name}' at {[int(i) for i in where]}",
                f"expected {expected[where]}, found {found[where]}",
                f"relative difference {worst:.2g}, at most {allowed:.2g}",
            ],
            hint="compile with --device-precision or --cloud-precision fp32 and check again",
        )
    return worst
