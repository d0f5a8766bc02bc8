"""Which operators a side cannot run, and which values cannot cross as they are, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from coachc.core.graph import GraphView
from coachc.core.masks import mask_of


@dataclass(frozen=True)
class Placement:
    """What the targets of both sides refuse.

    Attributes
    ----------
    device, cloud : mapping of int to str
        By operator: why that side's target does not build it.
    crossings : mapping of str to str
        By value: why it cannot leave the device or enter the cloud in its own type.
    cuts : mapping of int to str
        By mask: what is refused there although all of its operators and values are taken.
    """

    device: Mapping[int, str] = field(default_factory=dict)
    cloud: Mapping[int, str] = field(default_factory=dict)
    crossings: Mapping[str, str] = field(default_factory=dict)
    cuts: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def not_on_device(self) -> int:
        """Mask of the operators that the device does not build."""
        return mask_of(self.device)

    @cached_property
    def not_on_cloud(self) -> int:
        """Mask of the operators that the cloud does not build."""
        return mask_of(self.cloud)

    def against(self, graph: GraphView, mask: int) -> str:
        """Why a partition cannot be emitted; empty if nothing is known against it."""
        if refused := graph.indices_in(mask & self.not_on_device):
            return self.device[refused[0]]
        if refused := graph.indices_outside(mask | ~self.not_on_cloud):
            return self.cloud[refused[0]]
        if self.crossings:
            for name in graph.cut_values(mask):
                if name in self.crossings:
                    return self.crossings[name]
        return self.cuts.get(mask, "")


ANYWHERE = Placement()
