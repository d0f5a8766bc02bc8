"""What `coachc estimate` prints: a matrix of plans, or the front of one setting, as a table, as JSON or as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from coachc.cli.screen import Screen
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import WAYS, mbit_text
from coachc.core.graph import GraphView
from coachc.core.plan import Way
from coachc.draw.front_svg import Dot
from coachc.passes.timeline import Costs
from coachc.planning.estimate import Cell, Certainty, Front, certainty_of
from coachc.planning.problem import Problem, Setting
from coachc.planning.summary import side_json, timeline_json

#: Values of one cut that a table names.
NAMED = 3

_FIGURES = (
    *map(Column, ("bytes", "period ms", "frames per s", "latency ms")),
    Column("times", "text"),
)
_OF_WAY = (
    *("mode", "cut", "bits", "device_operators", "bytes", "period_s", "frames_per_s", "latency_s"),
    *("device_s", "link_s", "cloud_s"),
)
_OF_SETTING = ("device", "device_precision", "cloud", "cloud_precision", "bandwidth_bytes_per_s", "rtt_s")


def cell_json(cell: Cell, graph: GraphView) -> dict[str, Any]:
    """One setting: both sides with where their times come from, the link, the plan, and what it is compared with."""
    return {
        **_sides_json(cell.setting, cell),
        "plan": None if cell.plan is None else _way_json(cell.plan.way, graph),
        "certainty": _certainty_json(cell.certainty),
        "gap": None if cell.plan is None else cell.plan.gap,
        "search": None if cell.plan is None else cell.plan.method,
        "candidates": None if cell.plan is None else cell.plan.candidates,
        "instead": None if cell.instead is None else _way_json(cell.instead, graph),
        "gain_ratio": cell.gain,
        "no_plan": {"message": cell.no_plan, "reasons": list(cell.reasons)} if cell.plan is None else None,
    }


def front_json(setting: Setting, problem: Problem, front: Front, plan: Way) -> dict[str, Any]:
    """One setting: both sides, the link, every way of its front, and which of them `coachc compile` would take."""
    return {
        **_sides_json(setting, problem),
        "search": front.method,
        "candidates": front.candidates,
        "complete": front.complete,
        "front": [
            {
                **_way_json(way, problem.graph),
                "certainty": _certainty_json(certainty_of(way, problem.costs)),
                "plan": _same(way, plan),
            }
            for way in front.ways
        ],
    }


def _sides_json(setting: Setting, costed: Cell | Problem) -> dict[str, Any]:
    return {
        "device": side_json(setting.device.name, costed.costs.device),
        "cloud": side_json(setting.cloud.name, costed.costs.cloud),
        "link": dataclasses.asdict(costed.costs.link),
    }


def _way_json(way: Way, graph: GraphView) -> dict[str, Any]:
    return {
        "mode": way.mode,
        **timeline_json(way.timeline),
        "frames_per_s": 1.0 / way.timeline.period_s,
        "bytes": way.timeline.payload_bytes,
        "cut": [
            {"value": q.name, "shape": list(graph.values[q.name].shape), "bits": q.bits, "codec": q.codec}
            for q in way.bits.quantizers
        ],
        "device_operators": way.mask.bit_count(),
    }


def _certainty_json(certainty: Certainty | None) -> dict[str, Any] | None:
    return None if certainty is None else {"measured": certainty.measured, "band": certainty.band}


def _same(way: Way, plan: Way) -> bool:
    return (way.mode, way.mask, way.bits.quantizers) == (plan.mode, plan.mask, plan.bits.quantizers)


def cells_csv(cells: Sequence[Mapping[str, Any]]) -> str:
    """A line a setting, from its JSON; empty where there is no plan."""
    columns = (*_OF_SETTING, *_OF_WAY, "gain_ratio", "instead", "instead_period_s", "kind", "band", "no_plan")
    return _csv(
        columns,
        [
            {
                **_setting_row(cell),
                **_way_row(cell["plan"], cell["certainty"]),
                "gain_ratio": cell["gain_ratio"],
                "instead": (cell["instead"] or {}).get("mode"),
                "instead_period_s": (cell["instead"] or {}).get("period_s"),
                "no_plan": (cell["no_plan"] or {}).get("message"),
            }
            for cell in cells
        ],
    )


def front_csv(found: Mapping[str, Any]) -> str:
    """A line a way of the front, from its JSON; `plan` is 1 for the one that `coachc compile` would take."""
    ways = found["front"]
    rows = [{**_setting_row(found), **_way_row(way, way["certainty"]), "plan": int(way["plan"])} for way in ways]
    return _csv((*_OF_SETTING, *_OF_WAY, "kind", "band", "plan"), rows)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _setting_row(found: Mapping[str, Any]) -> dict[str, Any]:
    sides = {
        name: side[key]
        for side, key, name in (
            (found["device"], "target", "device"), (found["device"], "precision", "device_precision"),
            (found["cloud"], "target", "cloud"), (found["cloud"], "precision", "cloud_precision"),
        )
    }  # fmt: skip
    return {**sides, **{name: found["link"][name] for name in ("bandwidth_bytes_per_s", "rtt_s")}}


def _way_row(way: Mapping[str, Any] | None, certainty: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values of a cut and their bits have semicolons between them."""
    if way is None or certainty is None:
        return {}
    return {
        **{name: way[name] for name in _OF_WAY if name in way},
        "cut": ";".join(value["value"] for value in way["cut"]),
        "bits": ";".join(str(value["bits"]) for value in way["cut"]),
        "kind": "measured" if certainty["measured"] else "estimated",
        "band": certainty["band"],
    }


def print_cells(screen: Screen, cells: Sequence[Cell]) -> None:
    """A row a setting, and below what its words mean and why a setting has no plan."""
    columns = (
        Column("device -> cloud", "text"),
        Column("Mbit/s"),
        Column("cut", "name"),
        *_FIGURES[:-1],
        Column("gain"),
        _FIGURES[-1],
    )
    screen.table(columns, [_cell_row(cell) for cell in cells])
    screen.line("gain: frames for each of the best way that does not split; - where that way is the plan")
    unsplit = sum(cell.plan is not None and cell.plan.way.mode != "split" for cell in cells)
    if unsplit:
        screen.line(f"not splitting is best in {unsplit} of {len(cells)} settings")
    _print_times(screen)
    for said, where in _grouped(cells).items():
        screen.line(f"no plan for {', '.join(where)}: {said}")


def _cell_row(cell: Cell) -> Row:
    setting = cell.setting
    head = (f"{setting.device.name} -> {setting.cloud.name}", mbit_text(setting.link.bandwidth_bytes_per_s))
    if cell.plan is None or cell.certainty is None:
        return Row((*head, "no plan", *["-"] * (len(_FIGURES) + 1)))
    *figures, times = _figures(cell.plan.way, cell.certainty)
    gain = "-" if cell.gain is None else f"{cell.gain:.2f}x"
    return Row((*head, _cut_text(cell.plan.way), *figures, gain, times))


def front_dots(front: Front, plan: Way) -> list[Dot]:
    """The same as a picture has it."""
    return [
        Dot(
            way.timeline.period_s * 1e3, way.timeline.latency_s * 1e3, ", ".join(_cut_text(way).split("\n")),
            _same(way, plan),
        )
        for way in front.ways
    ]  # fmt: skip


def print_front(screen: Screen, front: Front, plan: Way, costs: Costs) -> None:
    """A row a way by ascending period, the plan with a mark."""
    rows = [
        Row(
            (
                ">" if _same(way, plan) else "",
                _cut_text(way),
                "\n".join(str(q.bits) for q in way.bits.quantizers[:NAMED]) or "-",
                *_figures(way, certainty_of(way, costs)),
            ),
            bold=_same(way, plan),
        )
        for way in front.ways
    ]
    screen.table((Column("", "text"), Column("cut", "name"), Column("bits"), *_FIGURES), rows)
    screen.line("No other way has both a shorter period and a lower latency; > is the one that coachc compile takes.")
    covered = f"{front.method}: {front.candidates} ways to cut the model compared"
    screen.line(f"{covered}, all there are" if front.complete else f"{covered}; it has more, and some may be better")
    _print_times(screen)


def _figures(way: Way, certainty: Certainty) -> tuple[str, ...]:
    timeline = way.timeline
    return (
        f"{timeline.payload_bytes:,}",
        f"{timeline.period_s * 1e3:.2f}",
        f"{1 / timeline.period_s:.1f}",
        f"{timeline.latency_s * 1e3:.2f}",
        "measured" if certainty.measured else f"estimated {certainty.band:.3g}x",
    )


def _cut_text(way: Way) -> str:
    """What crosses where the model is split, else which way it is."""
    if way.mode != "split":
        return WAYS[way.mode]
    more = len(way.cut) - NAMED
    return "\n".join((*way.cut[:NAMED], *([f"and {more} more"] if more > 0 else [])))


def _print_times(screen: Screen) -> None:
    screen.line(
        "times: measured on this machine, or estimated: then a network takes up to so many times less or more, as far "
        "as is published (the less certain of the sides that a plan uses); coachc devices says from what"
    )


def _grouped(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """The pairs of device and cloud that have no plan, by why; at which bandwidths where it is not all."""
    pairs: dict[str, list[Cell]] = {}
    for cell in cells:
        pairs.setdefault(f"{cell.setting.device.name} -> {cell.setting.cloud.name}", []).append(cell)
    found: dict[str, list[str]] = {}
    for pair, of_pair in pairs.items():
        for said in dict.fromkeys(_why(cell) for cell in of_pair if cell.plan is None):
            without = [cell for cell in of_pair if _why(cell) == said]
            rates = ", ".join(mbit_text(cell.setting.link.bandwidth_bytes_per_s) for cell in without)
            found.setdefault(said, []).append(pair if len(without) == len(of_pair) else f"{pair} at {rates} Mbit/s")
    return found


def _why(cell: Cell) -> str:
    return "; ".join((cell.no_plan, *cell.reasons[:1]))
