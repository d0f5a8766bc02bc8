"""Words and figures that several commands print alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What the kind of a profile means, as `core.profile.Provenance` has it.
KINDS = {
    "measured": "measured on this machine",
    "fitted": "estimated, fitted to published measurements",
    "guess": "estimated, scaled from another target and never measured",
}

#: Ways to run a model, as `core.plan.MODES` has them.
WAYS = {
    "split": "split",
    "device-only": "device only",
    "cloud-raw": "cloud only, raw",
    "cloud-jpeg": "cloud only, JPEG",
}


def mbit_text(bytes_per_s: float) -> str:
    """A rate in Mbit/s to three digits, all of a whole number, without an exponent: "8,260", "24.7", "0.128"."""
    mbit = bytes_per_s * 8 / 1e6
    return f"{mbit:,.0f}" if mbit >= 1000 else f"{mbit:.3g}"


def proof_text(gap: float) -> str:
    """How sure it is that no other cut is better; `gap` is a fraction of the best."""
    return "proven optimal" if gap == 0 else f"at most {gap:.1%} slower than the best there can be"


def energy_text(energy: Mapping[str, Any]) -> str:
    """What a task takes of the device, in the plan and beside it where the device does all."""
    alone = energy["alternatives"].get("device_only")
    beside = "" if alone is None else f", {alone:.3g} J where it does all by itself"
    how = {"guess": "a guess"}.get(energy["kind"], energy["kind"])
    return f"{energy['joules']:.3g} J a task of the device{beside} ({how}: {energy['source']})"
