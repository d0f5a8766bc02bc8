"""Which online policies a run uses, by cut, and whether they fit the cuts they are for."""

from types import MappingProxyType
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..bundle.manifest_types import Bits, Cut, ModelInfo
from ..bundle.store import Bundle
from ..engines.halves import DeviceHalf
from ..errors import BundleError, CoachRuntimeError, UsageError
from ..link.protocol import value_limit_bytes
from ..online.feature import feature_of
from ..online.policy import Policy
from ..online.policy_file import decode_policies
from ..online.precision import Rung
from .planned_stages import planned_stages

HINT = "recompile the bundle"


class ChosenPolicies(NamedTuple):
    """What decides in a run, and where its tasks may go.

    Attributes
    ----------
    cut : Cut
        Where it begins.
    policies : dict of str to Policy
        Of the cuts it may take.
    alone : str or None
        The cut that answers what the server does not; None: what it does not answer ends as an error.
    sending : tuple of str
        The cuts among them that need a server.
    """

    cut: Cut
    policies: Dict[str, Policy]
    alone: Optional[str]
    sending: Tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the policy: "none", "paper" or "default"."""
        return self.policies[self.cut.name].name


def choose_policies(
    bundle: Bundle, cut: Optional[str], bits: Optional[int], policy: Optional[str], server: bool, allow_offline: bool
) -> ChosenPolicies:
    """What a run of a bundle may do; arguments as `run_bundle` takes them, and whether there is a server.

    Raises
    ------
    BundleError
        If a policy of the bundle is damaged, or there is none.
    UsageError
        If the arguments do not fit the bundle, or each other, or it needs a server.
    """
    manifest = bundle.manifest
    wanted = manifest.cut(cut)
    if bits is not None:
        if policy not in (None, "none"):
            raise UsageError(
                f"--policy {policy} chooses the precision, and so does --bits {bits}", hint="leave one out"
            )
        check_bits(wanted, bits)
        policies = {wanted.name: plain_policy(wanted, bits)}
    else:
        policies = policies_for(bundle, policy, wanted, cut is not None, server)
    alone = next((each.name for each in manifest.cuts if each.mode == "device-only"), None)
    if allow_offline and alone is None:
        raise BundleError(
            "the bundle has no cut 'device-only' that could answer without a server",
            ["the device's engine does not build the whole model: coachc explain says which operator"],
            hint="leave out --allow-offline",
        )
    sending = tuple(each for each in policies if manifest.cut(each).cloud is not None)
    if sending and not server:
        raise UsageError(f"cut '{wanted.name}' needs a server", hint="--server HOST:PORT")
    return ChosenPolicies(wanted, policies, alone, sending)


def policies_for(bundle: Bundle, name: Optional[str], cut: Cut, fixed: bool, server: bool) -> Dict[str, Policy]:
    """The policies of the cuts that a run may take.

    Parameters
    ----------
    bundle : Bundle
    name : {"none", "paper", "default"} or None
        None: default where the cut has a policy.
    cut : Cut
        Where the run begins.
    fixed : bool
        It stays there. Only the default policy moves between cuts, and only where several can send something: a bundle
        of one cut was compiled for that one.
    server : bool
        Whether there is one; without it a cut that sends nothing is the only one.

    Returns
    -------
    dict of str to Policy
        The one of `cut`, and for a policy that moves those of all other cuts that have any.

    Raises
    ------
    BundleError
        If the cut has no policy and one was asked for, or a policy file is damaged or another cut's.
    """
    manifest = bundle.manifest
    plain = {each.name: plain_policy(each, None, planned_stages(manifest, each.name)) for each in manifest.cuts}
    if name == "none" or (cut.cloud is None and (fixed or not server)):
        return {cut.name: plain[cut.name]}
    if name is None and cut.policy is None:
        # No samples, so nothing is known of exits and precisions; where several cuts can send, the link still decides.
        several = sum(each.cloud is not None for each in manifest.cuts) > 1
        return plain if several and not fixed and _all_planned(plain) else {cut.name: plain[cut.name]}
    wanted = name or "default"
    if cut.policy is None:
        others = ", ".join(other.name for other in bundle.manifest.cuts if other.policy is not None and other.values)
        raise BundleError(
            f"--policy {wanted}: cut '{cut.name}' has no online policy",
            hint=f"cuts with one: {others}" if others else "--policy none; or recompile with --calib",
        )
    cuts = [cut]
    if wanted == "default" and not fixed:
        others_too = [other for other in bundle.manifest.cuts if other.policy is not None and other.name != cut.name]
        if sum(each.cloud is not None for each in cuts + others_too) > 1:
            cuts += others_too
    return {each.name: read_policy(bundle, each, wanted) for each in cuts}


def _all_planned(policies: Mapping[str, Policy]) -> bool:
    """Whether the plan says how long the stages of every cut take."""
    return all(policy.device_s > 0 or policy.cloud_s > 0 for policy in policies.values())


def plain_policy(cut: Cut, bits: Bits = None, planned: Mapping[str, float] = MappingProxyType({})) -> Policy:
    """No exits and no precisions are decided: every task is sent at one precision.

    Parameters
    ----------
    cut : Cut
    bits : int or tuple of int, optional
    planned : mapping of str to float
        As `planned_stages` gives it.
    """
    rungs = (Rung(cut.precisions(bits), float(sum(value_limit_bytes(cut, value) for value in cut.values))),)
    adjust = (-float("inf"),)
    return Policy(
        "none",
        cut.name,
        None,
        None,
        rungs if cut.values else (),
        0,
        adjust if cut.values else (),
        planned.get("device_s", 0.0),
        planned.get("cloud_s", 0.0),
    )


def check_bits(cut: Cut, bits: int) -> None:
    """Raise UsageError unless the packed values of `cut` can all be sent at that precision."""
    packed = [value for value in cut.values if value.packed]
    if not packed:
        raise UsageError(f"--bits {bits}: cut '{cut.name}' sends no packed values", hint="leave out --bits")
    for value in packed:
        # A half whose quantizers are constants knows the chosen precision only.
        known = cut.accepted_bits(value) if cut.device_parameters else (value.bits,)
        if bits not in known:
            raise UsageError(
                f"--bits {bits}: value '{value.name}' of cut '{cut.name}' cannot be sent at {bits} bits",
                hint="it can at " + ", ".join(str(there) for there in known),
            )


def read_policy(bundle: Bundle, cut: Cut, name: str) -> Policy:
    """One policy of a cut.

    Raises
    ------
    BundleError
        If the file is damaged, has no such policy, or is another cut's.
    """
    assert cut.policy is not None
    try:
        found = decode_policies(bundle.read(cut.policy))
    except BundleError as exc:
        raise BundleError(f"{cut.policy} of {bundle.path}: {exc.message}", exc.context, exc.hint or HINT) from exc
    where = f"{cut.policy} of {bundle.path}"
    if name not in found:
        raise BundleError(f"{where} has no policy '{name}'", ["found  " + (", ".join(found) or "none")], HINT)
    policy = found[name]
    if (policy.name, policy.cut) != (name, cut.name):
        raise BundleError(
            f"{where} is policy '{policy.name}' of cut '{policy.cut}', expected '{name}' of '{cut.name}'", hint=HINT
        )
    if bool(policy.rungs) != bool(cut.values):
        raise BundleError(f"{where}: {len(policy.rungs)} precisions for {len(cut.values)} values", hint=HINT)
    for rung in policy.rungs:
        if len(rung.bits) != len(cut.values):
            raise BundleError(
                f"{where}: a precision of {len(rung.bits)} values, the cut sends {len(cut.values)}", hint=HINT
            )
        for value, bits in zip(cut.values, rung.bits):
            if value.packed and bits not in [level.bits for level in value.levels]:
                raise BundleError(f"{where}: value '{value.name}' cannot be sent at {bits} bits", hint=HINT)
    return policy


def check_features(half: DeviceHalf, policy: Policy, model: ModelInfo) -> None:
    """Run one task of zeros through a device half, and see that its feature is as long as the policy's.

    Raises
    ------
    BundleError
        If it is not, or a task is several rows, which would have to exit together.
    EngineError
        If the half fails.
    """
    if policy.exits is None and policy.memory is None:
        return
    where = f"the policy of cut '{half.cut.name}'"
    if not half.cut.features or any(spec.shape[:1] != (1,) for spec in model.inputs):
        raise BundleError(f"{where} needs a feature of each task, and tasks of one row", hint=HINT)
    outputs = half.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in model.inputs})
    size = feature_size(half.cut, outputs)
    mean = policy.exits.scorer.mean if policy.exits is not None else policy.memory.mean  # type: ignore[union-attr]
    if size != mean.size:
        raise BundleError(f"{where} takes features of {mean.size} numbers, the device half makes {size}", hint=HINT)


def feature_size(cut: Cut, outputs: Dict[str, np.ndarray]) -> int:
    """Length of the feature that a half's outputs make."""
    missing = [name for name in cut.features if name not in outputs]
    if missing:
        raise CoachRuntimeError(f"the device half of cut '{cut.name}' makes no feature '{missing[0]}'", hint=HINT)
    return int(feature_of(outputs, cut.features).size)
