"""Flags for what computes a bundle's halves on this machine."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from coachc.cli.flags.group import FlagGroup


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFlags(FlagGroup):
    """`--engine`, `--engine-cache` and `--provider`."""

    engine: Annotated[
        str, typer.Option(help="ort (ONNX Runtime), or trt (TensorRT: builds an engine for this GPU once).")
    ] = "ort"
    engine_cache: Annotated[str | None, typer.Option(metavar="DIR", help="Where --engine trt keeps what it built.")] = (
        None
    )
    provider: Annotated[
        list[str] | None, typer.Option(help="ONNX Runtime execution provider; repeat for several. Default: CPU.")
    ] = None

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's, in the order they are tried."""
        from coachc.runtime.engines.ort_engine import CPU

        return tuple(self.provider or (CPU,))
