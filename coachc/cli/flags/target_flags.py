"""Flags for the two sides a model runs on, and for how many share the server."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup

if TYPE_CHECKING:
    from coachc.cost.device import DeviceSpec

Device = Annotated[str, typer.Option(help="Weak side: tx2, xavier-nx, orin-nano, ... or local; see `coachc devices`.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFlags(FlagGroup):
    """`--device`, `--cloud`, `--workers` and `--devices`."""

    device: Device
    cloud: Annotated[str, typer.Option(help="Strong side: a6000, l4, t4, a100, h100 or local.")] = "a6000"
    workers: Annotated[int, typer.Option(help="Engines on the server that work at once.", min=1)] = 1
    devices: Annotated[int, typer.Option(help="Devices that share the server, each with a link of its own.", min=1)] = 1

    @property
    def sides(self) -> tuple[DeviceSpec, DeviceSpec]:
        """Device and cloud.

        Raises
        ------
        UsageError
            One is unknown, or belongs on the other side.
        """
        from coachc.cost.device import find_device

        return find_device(self.device, side="device"), find_device(self.cloud, side="cloud")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFlagsOfAsking(TargetFlags):
    """The same for commands that only ask: they take a TX2 where nothing is said."""

    device: Device = "tx2"
