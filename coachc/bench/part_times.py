"""Beginnings and ends of models as a profile measured here predicts them, beside what they take.

    python -m coachc.bench.part_times MODEL.onnx ... [--batch 1] [--repeats 10]

Both sides of every boundary between blocks are timed in turn, so that a machine that slows down slows all of them. The
profile is what `coachc profile` would make of a few of them and of the layers; printed are the median errors at all the
others, of the profile and of the plain sum of operators.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coachc.calib.profiles.layer_owners import map_layers
from coachc.calib.profiles.measured_profile import mask_of_cut, measured_profile
from coachc.cost.device import LOCAL_SPEC
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.planning.measure_model import CUTS, boundaries, measure_model, time_parts


@dataclass(frozen=True)
class Errors:
    """Of one side of one model: how many parts, and the median of |predicted / measured - 1|."""

    side: str
    parts: int
    profile: float
    operators: float


def part_errors(path: str, batch: int | None, repeats: int) -> tuple[float, list[Errors]]:
    """Seconds of the whole model, and the errors of both sides."""
    model = import_model(path, batch=batch)
    graph = fuse(model)
    measured = measure_model(model, graph, cuts=1)
    plain = map_layers([(layer.name, layer.seconds) for layer in measured.layers], model, graph).seconds
    segments = time_parts(model, graph, boundaries(graph, plain, len(graph.nodes)), repeats)
    known = {tuple(graph.cut_values(mask)) for mask in boundaries(graph, plain, CUTS)}
    found = measured._replace(segments=tuple(one for one in segments if not one.values or one.values in known))
    whole_s = next(one.seconds for one in segments if one.part == "whole")
    errors = []
    for side in ("device", "cloud"):
        corrected = measured_profile(found, model, graph, side, LOCAL_SPEC).seconds
        off: list[list[float]] = [[], []]
        for segment in segments:
            asked = segment.part == side and segment.values not in known
            mask = mask_of_cut(graph, segment.values) if asked else None
            if mask is None:
                continue
            inside = graph.indices_in(mask) if side == "device" else graph.indices_outside(mask)
            for place, seconds in enumerate((corrected, plain)):
                off[place].append(abs(sum(seconds[index] for index in inside) / segment.seconds - 1))
        if off[0]:
            errors.append(Errors(side, len(off[0]), statistics.median(off[0]), statistics.median(off[1])))
    return whole_s, errors


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line a side of each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args(argv)
    print(f"{'model':<32} {'ms':>8}  side    parts  profile  operators")
    for path in options.models:
        whole_s, errors = part_errors(path, options.batch, options.repeats)
        for one in errors:
            print(
                f"{Path(path).stem:<32} {whole_s * 1e3:8.2f}  {one.side:<6} {one.parts:6}  {one.profile:7.1%}"
                f"  {one.operators:9.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
