"""A half as a bundle holds it, one model or several that run one after the other, looked at and run as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx

from coachc.checks.storing_session import StoringSession
from coachc.runtime.engines.engine import Engine
from coachc.runtime.engines.halves import Chain


@dataclass(frozen=True)
class Half:
    """The models of one half, in the order they run.

    Attributes
    ----------
    models : tuple of onnx.ModelProto
    """

    models: tuple[onnx.ModelProto, ...]

    @property
    def is_shared(self) -> bool:
        """Whether it is made of segments, whose values go from one to the next beside those that cross."""
        return len(self.models) > 1

    @cached_property
    def nodes(self) -> frozenset[str]:
        """Names of all nodes."""
        return frozenset(node.name for model in self.models for node in model.graph.node)

    @cached_property
    def inputs(self) -> Mapping[str, onnx.ValueInfoProto]:
        """What it takes that none of its models makes before."""
        needed: dict[str, onnx.ValueInfoProto] = {}
        made: set[str] = set()
        for model in self.models:
            needed.update({item.name: item for item in model.graph.input if item.name not in made})
            made.update(item.name for item in model.graph.output)
        return needed

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Everything that one of its models gives."""
        return frozenset(item.name for model in self.models for item in model.graph.output)

    def load(self) -> Engine:
        """Ready to run, one model after the other as the runtime does."""
        return Chain([StoringSession(model) for model in self.models])
