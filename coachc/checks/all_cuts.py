"""Whether a model can be cut everywhere: the halves of every partition give what the whole gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import onnx

from coachc.checks.recompose import Finding, Whole, compare, run_halves, says_nothing
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
    seconds: float = math.inf,
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
    seconds : float
        No further partition is cut after that time; those that were, one at least, lie spread over the model.
    advance : callable
        (partitions checked, all).

    Raises
    ------
    CheckFailure
        A half does not load, or an output differs.
    """
    started = time.monotonic()
    graph = fuse(model)
    masks, complete = all_ideals(graph, limit=limit)
    feed = ort.runnable_inputs(model.proto, seed)
    whole = Whole(model).run(feed)
    inside = [mask for mask in masks if mask != graph.full_mask]
    worst, cut_count, tensors, skipped, seen = 0.0, 0, 0, 0, 0
    for place in spread(len(inside)):
        if time.monotonic() - started > seconds and cut_count:
            break
        advance(seen, len(inside))
        seen += 1
        cut = graph.cut_values(inside[place])
        if not all(graph.values[name].cuttable for name in cut):
            skipped += 1
            continue
        device, cloud = (_loaded(half, cut) for half in split(model, graph, inside[place]))
        worst = max(worst, compare(whole, run_halves(device, cloud, feed), _where(cut)))
        cut_count += 1
        tensors = max(tensors, len(cut))
    found = "all partitions" if complete else f"more than {len(masks)} partitions: the prefixes of the node order"
    if seen < len(inside):
        of = f"{len(inside)}{'' if complete else ' or more'} partitions"
        found = f"{seen} of {of}, spread over the model, in {max(seconds, 0):.3g} s"
    detail = (
        f"{found}: {cut_count} cut and recomposed, up to {tensors} tensors, largest relative difference {worst:.1e}"
    )
    if skipped:
        detail += f"; {skipped} not cut because a boundary value has no static shape, or no type that can be sent"
    return [Finding("cuts", detail + says_nothing([whole]))]


def spread(count: int) -> Iterator[int]:
    """0 to `count` - 1 so that those that come first lie far apart: by their binary digits, the last one first."""
    digits = max(count - 1, 1).bit_length()
    for number in range(1 << digits):
        place = int(f"{number:0{digits}b}"[::-1], 2)
        if place < count:
            yield place


def _loaded(half: onnx.ModelProto, cut: Sequence[str]) -> StoringSession:
    # Written once for the checker and the engine: with large weights, writing takes longer than either.
    written = half.SerializeToString()
    try:
        onnx.checker.check_model(written, full_check=True)
    except Exception as exc:  # ValidationError and InferenceError share no base but Exception
        raise CheckFailure(f"onnx's checker refuses a half, {_where(cut)}", context=[str(exc)[:500]]) from exc
    return StoringSession(half, written)


def _where(cut: Sequence[str]) -> str:
    return "cut at " + ", ".join(cut)
