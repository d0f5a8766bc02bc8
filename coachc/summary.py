"""The plan as JSON: what `--json` prints and the manifest keeps. Units are in the names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from coachc.core.graph import GraphView
from coachc.core.plan import Accuracy, Plan, Timeline


def plan_json(graph: GraphView, plan: Plan, data_kind: str) -> dict[str, Any]:
    """JSON object of a plan: `plan`, `alternatives`, `accuracy`, `calibration`, `rejected`.

    Parameters
    ----------
    graph : GraphView
    plan : Plan
    data_kind : str
        "labels", "unlabelled" or "random".
    """
    device_nodes = [node.name for index, node in enumerate(graph.nodes) if plan.mask >> index & 1]
    return {
        "plan": {
            "mode": plan.mode,
            **timeline_json(plan.timeline),
            "bytes": plan.timeline.payload_bytes,
            "cut": [
                {"value": q.name, "shape": list(graph.values[q.name].shape), "bits": q.bits, "codec": q.codec}
                for q in plan.bits.quantizers
            ],
            "gap": plan.gap,
            "candidates": plan.candidates,
            "search": plan.method,
            "device_operators": len(device_nodes),
            "operators": len(graph.nodes),
        },
        "alternatives": {
            alternative.mode.replace("-", "_"): {
                **timeline_json(alternative.timeline),
                "bytes": alternative.timeline.payload_bytes,
                "emittable": alternative.emittable,
                "note": alternative.note,
            }
            for alternative in plan.alternatives
        },
        "accuracy": accuracy_json(plan.bits.accuracy),
        "calibration": "UNCALIBRATED" if data_kind == "random" else "calibrated",
        "rejected": [{"what": r.what, "reason": r.reason} for r in plan.rejected],
    }


def timeline_json(timeline: Timeline) -> dict[str, float | None]:
    """Stage times in seconds; None where the alternative does not exist."""
    seconds = {
        "period_s": timeline.period_s,
        "latency_s": timeline.latency_s,
        "device_s": timeline.device_s,
        "link_s": timeline.link_s,
        "cloud_s": timeline.cloud_s,
    }
    return {name: value if math.isfinite(value) else None for name, value in seconds.items()}


def accuracy_json(accuracy: Accuracy | None) -> Mapping[str, Any] | None:
    """Accuracy with what it was measured against and how sure it is."""
    if accuracy is None:
        return None
    return {
        "float": accuracy.whole,
        "split": accuracy.split,
        "samples": accuracy.samples,
        "kind": accuracy.kind,
        "loss": accuracy.loss,
        "loss_bound_95": accuracy.loss_bound,
        "certified": accuracy.certified,
        "mixed_float": accuracy.mixed_whole,
    }
