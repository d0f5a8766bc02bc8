"""Fit the targets' rates to published times, and say how far every published time is from what they give.

    python -m coachc.bench.fit_profiles [--write]

Which networks a profile is fitted to is stated in `profile_fits`; all other figures are compared only. `--write` puts
the numbers into `coachc/cost/profiles/*.toml` and the errors into `coachc/cost/profiles/README.md`.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coachc.bench.profile_fits import FITS, SCALES, Fit, Scale
from coachc.bench.published_times import element_bytes, estimated_ms, network_work, published
from coachc.cost.device import EAGER_PREFIX, Roofline
from coachc.cost.fit_rates import fit_rates, fit_scales, scaled

#: Band of a profile that no published time is about.
UNCHECKED = 2.0
PROFILES = Path(__file__).resolve().parents[1] / "cost" / "profiles"


def fitted(fit: Fit, without: Collection[str] = ()) -> Roofline:
    """The rates of a profile, by its networks but for some."""
    networks = [(table, name) for table, name in fit.networks if name not in without]
    eager = fit.precision.startswith(EAGER_PREFIX)
    return fit_rates(
        [network_work(name) for _, name in networks],
        [published()[table].ms[name] * 1e-3 for table, name in networks],
        fit.start,
        fit.peak,
        element_bytes(fit.precision),
        eager=eager,
    )


def fitted_scale(scale: Scale, parent: Roofline) -> tuple[float, float]:
    """By what a profile's rates, and its starts, are its parent's."""
    names, ratios = [], []
    for table, other in scale.tables:
        own, theirs = published()[table].ms, published()[other].ms
        for name in sorted(own.keys() & theirs.keys()):
            base_ms = estimated_ms(name, parent, scale.parent_precision) if table == other else theirs[name]
            names.append(name)
            ratios.append(own[name] / base_ms)
    return fit_scales(
        [network_work(name) for name in names], ratios, parent,
        (element_bytes(scale.parent_precision), element_bytes(scale.precision)),
        memory=scale.memory, overhead=scale.overhead, compute=scale.compute, smaller=scale.smaller,
        eager=scale.precision.startswith(EAGER_PREFIX),
    )  # fmt: skip


def all_fitted() -> dict[tuple[str, str], tuple[Fit | Scale, Roofline, tuple[float, float]]]:
    """Every profile by target and precision: how it was made, its numbers, and by what they are its parent's."""
    found: dict[tuple[str, str], tuple[Fit | Scale, Roofline, tuple[float, float]]] = {}
    for fit in FITS:
        found[fit.device, fit.precision] = fit, fitted(fit), (1.0, 1.0)
    for scale in SCALES:
        parent = found[scale.parent, scale.parent_precision][1]
        compute, overhead = fitted_scale(scale, parent)
        made = scaled(parent, compute, scale.memory, overhead)
        found[scale.device, scale.precision] = scale, made, (compute, overhead)
    return found


@dataclass(frozen=True)
class Compared:
    """A published time beside the one estimated."""

    table: str
    network: str
    published_ms: float
    estimated_ms: float
    fitted: bool

    @property
    def error(self) -> float:
        return self.estimated_ms / self.published_ms - 1

    @property
    def factor(self) -> float:
        """How many times too long or too short."""
        return max(self.estimated_ms / self.published_ms, self.published_ms / self.estimated_ms)


def compared(device: str, precision: str, roofline: Roofline, how: Fit | Scale | None = None) -> list[Compared]:
    """Every published time of a target at a precision, beside what a profile gives."""
    fitted_to = set(how.networks) if isinstance(how, Fit) else set()
    if isinstance(how, Scale):
        fitted_to = {(own, network) for own, _ in how.tables for network in published()[own].ms}
    return [
        Compared(table.name, name, ms, estimated_ms(name, roofline, precision), (table.name, name) in fitted_to)
        for table in published().values()
        if (table.device, table.precision) == (device, precision)
        for name, ms in table.ms.items()
    ]


def band_of(device: str, precision: str, fits: Mapping[tuple[str, str], tuple[Fit | Scale, Roofline, object]]) -> float:
    """The factor that three of four times of every source are within, no less than that of the profile it is made of.

    Sources differ in release, clocks and copies; nobody says which of them a user's board is like.
    """
    how, roofline, _ = fits[device, precision]
    by_source: dict[str, list[float]] = {}
    for one in compared(device, precision, roofline, how):
        by_source.setdefault(one.table, []).append(one.factor)
    own = max((float(np.quantile(factors, 0.75)) for factors in by_source.values()), default=UNCHECKED)
    above = band_of(how.parent, how.parent_precision, fits) if isinstance(how, Scale) else 1.0
    return max(math.ceil(own * 20) / 20, above)


def source_of(how: Fit | Scale, found: Sequence[Compared]) -> str:
    """Where a profile's numbers come from and how far published times are from them, for whoever meets them."""
    tables = dict.fromkeys(table for table, _ in how.networks) if isinstance(how, Fit) else {}
    if isinstance(how, Fit):
        text = "fitted to " + " and ".join(
            f"{', '.join(network for one, network in how.networks if table == one)} of {_cited(table)}"
            for table in tables
        )
    else:
        text = f"{how.parent} {how.parent_precision} scaled by " + " and ".join(_cited(own) for own, _ in how.tables)
    for title, chosen in (("these", True), ("others", False)):
        errors = [one.error for one in found if one.fitted == chosen]
        if errors:
            text += f"; {title} {min(errors):+.0%} to {max(errors):+.0%} ({len(errors)})"
    return text


def _cited(table: str) -> str:
    row = published()[table]
    return f"{row.source} ({row.release})"


def write(fits: Mapping[tuple[str, str], tuple[Fit | Scale, Roofline, tuple[float, float]]]) -> None:
    """Put the profiles into their targets' files, and the errors into a page beside them."""
    for (device, precision), (how, roofline, (compute, overhead)) in fits.items():
        found = compared(device, precision, roofline, how)
        lines = [
            f"[roofline.{precision}]",
            'kind = "fitted"' if found else 'kind = "guess"',
            f"band = {band_of(device, precision, fits):.2f}",
            f'source = "{source_of(how, found)}"',
        ]
        if isinstance(how, Scale):
            lines += [
                f'inherits = "{how.parent}"',
                f'precision = "{how.parent_precision}"',
                f"compute = {compute:.4g}",
                f"memory = {how.memory:.4g}",
                f"overhead = {overhead:.4g}",
            ]
        else:
            lines += [f"bytes_per_s = {roofline.bytes_per_s:.4g}", f"overhead_s = {roofline.overhead_s:.4g}", ""]
            lines += _table(f"roofline.{precision}.flops_per_s", roofline.flops_per_s)
            if roofline.overheads_s:
                lines += ["", *_table(f"roofline.{precision}.overheads_s", roofline.overheads_s)]
        path = PROFILES / f"{device}.toml"
        text = path.read_text("utf-8")
        blocks = re.split(r"\n(?=\[roofline\.[^.\]]+\])", text)
        block = "\n".join(lines) + "\n"
        places = [place for place, one in enumerate(blocks) if one.startswith(f"[roofline.{precision}]")]
        if places:
            blocks[places[0]] = block
        else:
            blocks.append(block)
        path.write_text("\n".join(one.rstrip("\n") + "\n" for one in blocks), "utf-8")
    (PROFILES / "README.md").write_text(page(fits), "utf-8")


def _table(header: str, numbers: Mapping[str, float]) -> list[str]:
    return [f"[{header}]", *(f"{key} = {number:.4g}" for key, number in numbers.items())]


def page(fits: Mapping[tuple[str, str], tuple[Fit | Scale, Roofline, object]]) -> str:
    """Every published time beside the estimated one, in Markdown."""
    lines = [
        "# How far estimated times are from published ones",
        "",
        "Written by `python -m coachc.bench.fit_profiles --write`; the figures and their sources are in",
        "`../published.toml`. Whole networks, batch 1. `*` marks what a profile was fitted to; one that is another",
        "target's, scaled, was fitted to the ratio of both targets' times in one source. The band is the factor that",
        "three of four times of every source are within.",
    ]
    for (device, precision), (how, roofline, _) in fits.items():
        found = compared(device, precision, roofline, how)
        if not found:
            continue
        lines += ["", f"## {device}, {precision}: within {band_of(device, precision, fits):.2f}x", ""]
        lines += ["| source | network | published ms | estimated ms | error |", "|---|---|---:|---:|---:|"]
        lines += [
            f"| {one.table} | {one.network}{'*' if one.fitted else ''} "
            f"| {one.published_ms:.3g} | {one.estimated_ms:.3g} | {one.error:+.0%} |"
            for one in found
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page; write it and the profiles if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    fits = all_fitted()
    if parser.parse_args().write:
        write(fits)
    print(page(fits), end="")


if __name__ == "__main__":
    main()
