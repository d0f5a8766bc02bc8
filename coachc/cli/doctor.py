"""`coachc doctor`: what this machine lacks for its side, and the command that mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.options import Json
from coachc.cli.shipping import Trust


def doctor(
    device: Annotated[bool, typer.Option("--device", help="Look at this machine as a device.")] = False,
    cloud: Annotated[bool, typer.Option("--cloud", help="Look at this machine as a server.")] = False,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="X.coach", help="Say whether it suits that side of this bundle too."),
    ] = None,
    trust: Trust = None,
    engine_cache: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where engines are kept. Default: ~/.cache/coachc/engines.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what this machine has, what is missing or wrong, and the command that mends it.

    Without a flag a Jetson is looked at as a device, anything else as a server. Exit code 3 where something needed is
    missing or wrong. The same where coachc is not installed: python3 -m runtime.doctor.
    """
    import json as json_module
    import sys

    from coachc.cost.device_files import all_devices
    from coachc.errors import UsageError
    from coachc.runtime.doctor import examine
    from coachc.runtime.health.system import System
    from coachc.runtime.paragraphs import columns_of

    if device and cloud:
        raise UsageError("--device and --cloud exclude each other: a machine is one side", hint="leave one out")
    specs = all_devices()
    checkup = examine(
        System(),
        "device" if device else "cloud" if cloud else None,
        bundle,
        trust,
        engine_cache,
        lambda target: specs[target].compute_capability if target in specs else "",
    )
    print(json_module.dumps(checkup.to_json(), indent=1) if json else checkup.text(columns_of(sys.stdout)))
    if checkup.exit_code:
        raise typer.Exit(checkup.exit_code)
