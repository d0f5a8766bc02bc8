"""Write a bundle: the models of its cuts, the whole model, and the manifest that describes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from coachc import __version__
from coachc.core.graph import Value
from coachc.core.profile import Profile
from coachc.cost.device import DeviceSpec
from coachc.cost.link import Link
from coachc.emit.half_precision import HalfPrecisionModel
from coachc.emit.rtx import RtxEngine
from coachc.emit.two_halves import MODEL_PATH, Emitted, quantizer_form
from coachc.frontend.model import Model
from coachc.runtime.bundle.manifest_types import Manifest, ModelInfo, Preprocess, TensorSpec
from coachc.runtime.bundle.store import Bundle, write_bundle
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.policy_file import encode_policies


def write(
    path: str | os.PathLike[str],
    model: Model,
    emitted: Emitted,
    *,
    chosen: str = "",
    sides: Mapping[str, tuple[DeviceSpec, Profile]],
    link: Link,
    bandwidths: tuple[float, float] | None = None,
    calibrated: bool,
    preprocess: Preprocess | None,
    task: str,
    input_ranges: Sequence[tuple[float, ...]] = (),
    decode: Mapping[str, Any] = MappingProxyType({}),
    summary: Mapping[str, Any],
    policies: Mapping[str, Mapping[str, Policy]] | None = None,
    revision: int = 0,
    engines: Sequence[RtxEngine] = (),
    half_precision: Sequence[HalfPrecisionModel] = (),
    force: bool,
) -> Bundle:
    """Write a bundle; same inputs, same bytes.

    Parameters
    ----------
    path : path
    model : Model
    emitted : Emitted
    chosen : str
        Name of the chosen cut; the first one, if empty.
    sides : mapping
        "device" and "cloud" to target and profile.
    link : Link
    bandwidths : (float, float), optional
        Range that the cuts were chosen for, in bytes a second.
    calibrated : bool
    preprocess : Preprocess or None
    policies : mapping, optional
        Cut -> policy name -> online policy.
    task : str
        What the outputs are judged as.
    decode : mapping
        How outputs are read as boxes or masks (`runtime.decode.decoder`); empty for other tasks.
    input_ranges : sequence of tuple of float
        Least and largest value of each input in calibration; empty where they are not known.
    summary : mapping
        JSON object kept as the manifest's `plan`.
    revision : int
        Of the bundles installed one after the other.
    engines : sequence of RtxEngine
        Of the cloud half, built ahead of time.
    half_precision : sequence of HalfPrecisionModel
        For targets that are strongly typed.
    force : bool
        Replace a bundle that is there.

    Raises
    ------
    runtime.errors.BundleError
        The destination is in the way or cannot be written.
    """
    models = {MODEL_PATH: model.proto, **emitted.models, **{half.facts.path: half.model for half in half_precision}}
    paths = {cut: f"{cut}.policy" for cut in policies or {}}
    stated = {"bandwidth_bytes_per_s": link.bandwidth_bytes_per_s, "rtt_s": link.rtt_s}
    if bandwidths is not None:
        stated.update(low_bytes_per_s=bandwidths[0], high_bytes_per_s=bandwidths[1])
    manifest = Manifest(
        producer=f"coachc {__version__}",
        calibration="calibrated" if calibrated else "uncalibrated",
        model=ModelInfo(
            name=model.name,
            sha256=model.sha256,
            opset=model.opset,
            inputs=tuple(_spec(model.values[name]) for name in model.inputs),
            outputs=tuple(_spec(model.values[name]) for name in model.outputs),
        ),
        device=_side(*sides["device"]),
        cloud=_side(*sides["cloud"]),
        link=stated,
        preprocess=preprocess,
        classes=(),
        cuts=tuple(cut._replace(policy=paths.get(cut.name)) for cut in emitted.cuts),
        chosen=chosen or emitted.cuts[0].name,
        plan=dict(summary),
        revision=revision,
        engines=tuple(engine.facts for engine in engines),
        half_precision=tuple(half.facts for half in half_precision),
        input_ranges=tuple(input_ranges),
        decode=dict(decode),
        task=task,
    )
    files: dict[str, bytes | str | os.PathLike[str]] = {
        name: proto.SerializeToString(deterministic=True) for name, proto in models.items()
    }
    files.update({paths[cut]: encode_policies(named) for cut, named in (policies or {}).items()})
    roles = {MODEL_PATH: "model", **emitted.roles, **dict.fromkeys(paths.values(), "policy")}
    roles.update({half.facts.path: "half-precision" for half in half_precision})
    for engine in engines:
        for name, role, data in ((engine.facts.path, "engine", engine.plan), (engine.facts.log, "log", engine.log)):
            files[name], roles[name] = data if isinstance(data, bytes) else data.encode(), role
    return write_bundle(path, manifest, files, roles, force, keep=True)


def _spec(value: Value) -> TensorSpec:
    return TensorSpec(value.name, value.dtype, value.shape)


def _side(spec: DeviceSpec, profile: Profile) -> dict[str, Any]:
    return {
        "target": spec.name,
        "precision": profile.precision,
        "tensorrt": spec.tensorrt,
        "max_opset": spec.max_opset,
        "compute_capability": spec.compute_capability,
        "precisions": list(spec.precisions),
        "quantizer": quantizer_form(spec),
        "provenance": dataclasses.asdict(profile.provenance),
    }
