"""Whether what is to run on a target builds there, by its rules: a model for given targets, a bundle half by half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from coachc.checks.after_lowering import after_lowering
from coachc.checks.recompose import Finding
from coachc.cost.device import DeviceSpec
from coachc.cost.device_files import find_device
from coachc.errors import ProfileError, UsageError
from coachc.runtime.bundle.store import Bundle, open_bundle
from coachc.targets.rules import violations
from coachc.targets.target import Target, target_of
from coachc.targets.violation import Violation


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One model against one target.

    Attributes
    ----------
    where : str
        The model's file, or the artefact's path in its bundle.
    side : {"device", "cloud"}
    target : Target
    violations : tuple of Violation
    bundle : str
        The folder that `where` is in; empty for a model.
    """

    where: str
    side: str
    target: Target
    violations: tuple[Violation, ...]
    bundle: str = ""

    @property
    def errors(self) -> int:
        return sum(violation.severity == "error" for violation in self.violations)

    @property
    def ok(self) -> bool:
        """Whether nothing in it keeps the model from building; warnings do not."""
        return not self.errors

    @property
    def file(self) -> str:
        """Its path on this machine."""
        return f"{self.bundle}/{self.where}" if self.bundle else self.where

    @property
    def finding(self) -> Finding:
        """The report as one line."""
        rules = self.target.rules
        name = "ONNX Runtime" if rules is None else rules.prefix
        counts = [_count(self.errors, "error"), _count(len(self.violations) - self.errors, "warning")]
        said = ", ".join(count for count in counts if count)
        if self.errors:
            said = f"{_count(len(self.violations), 'violation')} ({said})"
        elif said:
            said = f"ok, {said}"
        return Finding("target rules", f"{self.where} on {self.target.name}: {name}: {said or 'ok'}")


def check_model_targets(model: onnx.ModelProto, where: str, specs: dict[str, DeviceSpec]) -> list[TargetReport]:
    """A model against one target a side, as `coachc compile` would write the whole of it.

    Parameters
    ----------
    model : ModelProto
        Imported.
    where : str
        Its file, for messages.
    specs : dict of str to DeviceSpec
        By side.

    Returns
    -------
    list of TargetReport
        What compile rewrites is a warning that says so; where it cannot, the nodes that keep it from that are errors.
    """
    return [
        TargetReport(where, side, target_of(spec), tuple(after_lowering(model, spec))) for side, spec in specs.items()
    ]


def check_bundle_targets(path: str, given: dict[str, DeviceSpec]) -> list[TargetReport]:
    """Every artefact of a bundle against the targets of the sides that run it.

    Parameters
    ----------
    path : str
    given : dict of str to DeviceSpec
        By side, in place of the targets that the bundle was compiled for.

    Raises
    ------
    ProfileError
        The bundle was compiled for a target that is not known any more.
    runtime.errors.BundleError
        A file is damaged.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    specs = {side: given.get(side) or _compiled_for(bundle, side) for side in ("device", "cloud")}
    places = {(artefact, side): None for cut in manifest.cuts for side in specs for artefact in cut.run_by(side)}
    for artefact, side in tuple(places):
        half = manifest.in_half_precision(artefact)
        if half is not None and target_of(specs[side]).typed:
            places[half, side] = None
    return [
        _report(onnx.load_from_string(bundle.read(artefact)), artefact, side, specs[side], bundle.path)
        for artefact, side in places
    ]


def _compiled_for(bundle: Bundle, side: str) -> DeviceSpec:
    record = getattr(bundle.manifest, side)
    name = str(record.get("target", ""))
    try:
        return find_device(name, side=side)
    except UsageError as exc:
        # A target of the user's own, whose file need not be here: the bundle has all that rules ask for.
        if "precisions" in record:
            return _own_target(name, side, record)
        raise ProfileError(
            f"the bundle's {side} '{name}' is not a target with rules",
            context=exc.context,
            hint=f"name the one to check against: --{side}",
        ) from exc


def _own_target(name: str, side: str, record: Mapping[str, Any]) -> DeviceSpec:
    return DeviceSpec(
        name=name,
        title=name,
        aliases=(),
        sides=(side,),
        compute_capability=str(record.get("compute_capability", "")),
        jetpack="",
        tensorrt=str(record.get("tensorrt", "")),
        python="",
        max_opset=int(record.get("max_opset", 0)),
        memory_bytes=0,
        precisions=tuple(str(one) for one in record["precisions"]),
        rooflines={},
    )


def _report(model: onnx.ModelProto, where: str, side: str, spec: DeviceSpec, bundle: str = "") -> TargetReport:
    target = target_of(spec)
    return TargetReport(where, side, target, tuple(violations(model, target)), bundle)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}" if number else ""
