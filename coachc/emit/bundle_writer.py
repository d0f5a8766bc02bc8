"""Write a bundle: the models of the chosen cut, the whole model, and the manifest that describes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import onnx

from coachc import __version__
from coachc.core.graph import Value
from coachc.core.plan import Plan
from coachc.core.profile import Profile
from coachc.cost.device import DeviceSpec, Link
from coachc.emit.halves import CLOUD_PATH, DEVICE_PATH, MODEL_PATH, Halves, device_only_cut, jpeg_cut, quantizer_form
from coachc.frontend.model import Model
from runtime.bundle.manifest_types import Cut, Manifest, ModelInfo, Preprocess, TensorSpec
from runtime.bundle.store import Bundle, write_bundle

_ROLES = {DEVICE_PATH: "device", CLOUD_PATH: "cloud", MODEL_PATH: "model"}


def write(
    path: str | os.PathLike[str],
    model: Model,
    plan: Plan,
    halves: Halves | None,
    *,
    sides: Mapping[str, tuple[DeviceSpec, Profile]],
    link: Link,
    calibrated: bool,
    preprocess: Preprocess | None,
    summary: Mapping[str, Any],
    force: bool,
) -> Bundle:
    """Write the bundle of a plan; same inputs, same bytes.

    Parameters
    ----------
    path : path
    model : Model
    plan : Plan
    halves : Halves or None
        None where the plan does not split.
    sides : mapping
        "device" and "cloud" to target and profile.
    link : Link
    calibrated : bool
    preprocess : Preprocess or None
    summary : mapping
        JSON object kept as the manifest's `plan`.
    force : bool
        Replace a bundle that is there.

    Raises
    ------
    runtime.errors.BundleError
        The destination is in the way or cannot be written.
    """
    cuts: list[Cut] = [device_only_cut(model)]
    models: dict[str, onnx.ModelProto] = {MODEL_PATH: model.proto}
    if halves is not None:
        cuts.insert(0, halves.cut)
        models.update(halves.models)
    elif plan.mode == "cloud-jpeg":
        cuts.insert(0, jpeg_cut(model))
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
        link={"bandwidth_bytes_per_s": link.bandwidth_bytes_per_s, "rtt_s": link.rtt_s},
        preprocess=preprocess,
        classes=(),
        cuts=tuple(cuts),
        chosen=cuts[0].name,
        plan=dict(summary),
    )
    files: dict[str, bytes | str | os.PathLike[str]] = {
        name: proto.SerializeToString(deterministic=True) for name, proto in models.items()
    }
    return write_bundle(path, manifest, files, {name: _ROLES[name] for name in files}, force)


def _spec(value: Value) -> TensorSpec:
    return TensorSpec(value.name, value.dtype, value.shape)


def _side(spec: DeviceSpec, profile: Profile) -> dict[str, Any]:
    return {
        "target": spec.name,
        "precision": profile.precision,
        "tensorrt": spec.tensorrt,
        "max_opset": spec.max_opset,
        "quantizer": quantizer_form(spec),
        "provenance": dataclasses.asdict(profile.provenance),
    }
