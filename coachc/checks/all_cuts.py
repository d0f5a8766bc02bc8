"""Whether a model can be cut everywhere: the halves of every partition give what the whole gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from coachc.checks.recompose import Finding, Whole, compare, run_halves
from coachc.checks.storing_session import StoringSession
from coachc.errors import CheckFailure
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.passes.candidates.exact import MAX_IDEALS
from coachc.passes.cut import split
from coachc.passes.ideals import all_ideals


def check_all_cuts(
    model: Model,
    *,
    seed: int = 0,
    limit: int = MAX_IDEALS,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Finding]:
    """Cut the model at every partition there is, and compare the halves with the whole model.

    Parameters
    ----------
    model : Model
    seed : int
        Of the inputs.
    limit : int
        Beyond this many partitions only the prefixes of the node order are cut.
    advance : callable
        (partitions checked, all).

    Raises
    ------
    CheckFailure
        A half does not load, or an output differs.
    """
    graph = fuse(model)
    masks, complete = all_ideals(graph, limit=limit)
    feed = ort.seeded_inputs(model.proto, seed)
    whole = Whole(model).run(feed)
    if any(not np.all(np.isfinite(a)) for a in whole.values() if a.dtype.kind == "f"):
        raise CheckFailure(f"{model.name} gives values that are not finite on seeded inputs (seed {seed})")
    worst, cut_count, tensors, skipped = 0.0, 0, 0, 0
    for index, mask in enumerate(masks):
        advance(index, len(masks))
        if mask == graph.full_mask:
            continue
        cut = graph.cut_values(mask)
        if not all(graph.values[name].cuttable for name in cut):
            skipped += 1
            continue
        halves = split(model, graph, mask)
        for half in halves:
            try:
                onnx.checker.check_model(half.SerializeToString(), full_check=True)
            except Exception as exc:  # ValidationError and InferenceError share no base but Exception
                where = "cut at " + ", ".join(cut)
                raise CheckFailure(f"onnx's checker refuses a half, {where}", context=[str(exc)[:500]]) from exc
        device, cloud = (StoringSession(half) for half in halves)
        together = run_halves(device, cloud, feed)
        worst = max(worst, compare(whole, together, "cut at " + ", ".join(cut)))
        cut_count += 1
        tensors = max(tensors, len(cut))
    found = "all partitions" if complete else f"more than {len(masks)} partitions: the prefixes of the node order"
    detail = (
        f"{found}: {cut_count} cut and recomposed, up to {tensors} tensors, largest relative difference {worst:.1e}"
    )
    if skipped:
        detail += f"; {skipped} not cut because a boundary value has no static shape"
    return [Finding("cuts", detail)]
