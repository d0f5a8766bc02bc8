"""`coachc rollback`: run the bundle that was installed before."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.shipping import Python, Runtime


def rollback(
    place: Annotated[
        str,
        typer.Argument(
            metavar="DIR|ADDRESS", help="Where bundles are installed: a folder, or ssh://[USER@]HOST[:PORT]/DIR."
        ),
    ],
    python: Python = "python3",
    runtime: Runtime = None,
) -> None:
    """Have DIR/current name the bundle that was installed before; once more, and it is the newer one again."""
    from coachc.runtime.bundle.installation import rollback as roll_back
    from coachc.runtime.install import describe
    from coachc.ship import ssh

    if place.startswith(ssh.SCHEME):
        address = ssh.parse_address(place)
        said = ssh.run_installer(address, ["--rollback", address.path], python=python, runtime=runtime)
        print(f"{address.host}: {said}", end="")
        return
    print(describe(roll_back(place), place))
