"""Flags for the two sides a model runs on, and for how many share the server."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.cost.device import DeviceSpec
    from coachc.cost.link import Link
    from coachc.runtime.bundle.profile_file import MeasuredProfile

Device = Annotated[
    str,
    typer.Option(
        help="Weak side: tx2, xavier-nx, orin-nano, ... (see `coachc devices`), local, or a TOML file of your own."
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFlags(FlagGroup):
    """`--device`, `--cloud`, what was measured of them, `--workers` and `--devices`."""

    device: Device
    cloud: Annotated[
        str, typer.Option(help="Strong side: a6000, l4, t4, a100, h100, local, or a TOML file of your own.")
    ] = "a6000"
    device_profile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What this model took on the device, as `coachc profile` writes it."),
    ] = None
    cloud_profile: Annotated[str | None, typer.Option(metavar="FILE", help="The same of the server.")] = None
    from_run: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="What `coachc run --profile-out` saw: both sides, and the link where no flag gives it."
        ),
    ] = None
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
        from coachc.cost.device_files import find_device

        return find_device(self.device, side="device"), find_device(self.cloud, side="cloud")

    @property
    def measured(self) -> tuple[MeasuredProfile | None, MeasuredProfile | None, MeasuredProfile | None]:
        """Of the device, of the server, and of a run.

        Raises
        ------
        UsageError
            A run's file and another one are given for the device.
        runtime.errors.ProfileFileError
            A file cannot be read.
        """
        from coachc.runtime.bundle.profile_file import read_profile

        if self.from_run is not None and self.device_profile is not None:
            raise UsageError(
                "--from-run and --device-profile exclude each other: both say what the device takes",
                hint="leave one out",
            )
        paths = self.device_profile, self.cloud_profile, self.from_run
        device, cloud, run = (None if path is None else read_profile(path) for path in paths)
        return device, cloud, run

    def link_of(self, given: Link, stated: bool) -> Link:
        """The link that is given, or what a run saw of it where no flag states any."""
        from coachc.cost.link import Link

        run = self.measured[2]
        if stated or run is None or run.link is None:
            return given
        return Link(run.link.bandwidth_bytes_per_s, run.link.rtt_s, f"seen by a run on {run.date[:10]}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFlagsOfAsking(TargetFlags):
    """The same for commands that only ask: they take a TX2 where nothing is said."""

    device: Device = "tx2"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixTargetFlags(FlagGroup):
    """`--devices` and `--clouds`, which name targets here; `TargetFlags` has one of each, and how many there are."""

    devices: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Weak sides: tx2,nx,orin-nano, ... (see `coachc devices`), local, or TOML files of your own.",
        ),
    ] = "tx2"
    clouds: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Strong sides: a6000,l4,t4,a100,h100, local, or TOML files of your own.",
        ),
    ] = "a6000"

    @property
    def sides(self) -> tuple[list[DeviceSpec], list[DeviceSpec]]:
        """Devices and clouds in the order given; what is named twice, under an alias too, is there once.

        Raises
        ------
        UsageError
            One is unknown, belongs on the other side, or has the name of another one.
        """
        return _targets(self.devices, "device"), _targets(self.clouds, "cloud")


def _targets(names: str, side: str) -> list[DeviceSpec]:
    from coachc.cost.device_files import find_device

    found: dict[str, DeviceSpec] = {}
    for name in names.split(","):
        spec = find_device(name.strip(), side=side, flag=f"--{side}s")
        if found.setdefault(spec.name, spec) != spec:
            raise UsageError(
                f"--{side}s has two targets called {spec.name}",
                context=[f"the second is {name.strip()}"],
                hint="rename the file: a target is called after it",
            )
    return [*found.values()]
