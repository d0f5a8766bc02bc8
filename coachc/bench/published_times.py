"""Published times of whole networks, and what a target's rates make of the same networks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from coachc.cost.device import EAGER_PREFIX, Roofline
from coachc.cost.fit_rates import NetworkWork, network_s, work_of
from coachc.cost.roofline import ELEMENT_BYTES
from coachc.models.published.networks import published_graph


@dataclass(frozen=True)
class Published:
    """One table of `published.toml`."""

    name: str
    device: str
    precision: str
    release: str
    source: str
    conditions: str
    ms: Mapping[str, float]


@cache
def published() -> Mapping[str, Published]:
    """Every table of `coachc/cost/published.toml`."""
    data = tomllib.loads((resources.files("coachc.cost") / "published.toml").read_text("utf-8"))
    return {
        name: Published(
            name, row["device"], (EAGER_PREFIX if row["family"] == "eager" else "") + row["precision"], row["release"],
            row["source"], row["conditions"], row["ms"],
        )
        for name, row in data.items()
    }  # fmt: skip


@cache
def network_work(name: str) -> NetworkWork:
    return work_of(published_graph(name))


def element_bytes(precision: str) -> int:
    return ELEMENT_BYTES[precision.removeprefix(EAGER_PREFIX)]


def estimated_ms(name: str, roofline: Roofline, precision: str) -> float:
    """Of a whole network."""
    eager = precision.startswith(EAGER_PREFIX)
    return network_s(network_work(name), roofline, element_bytes(precision), eager=eager) * 1e3
