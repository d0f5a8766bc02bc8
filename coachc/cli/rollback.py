"""`coachc rollback`: run the bundle that was installed before."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.ssh_flags import SshFlags


@takes_groups
def rollback(
    place: Annotated[
        str,
        typer.Argument(
            metavar="DIR|ADDRESS",
            help="Where bundles are installed: a folder, ssh://[USER@]HOST[:PORT]/DIR or [USER@]HOST:/DIR.",
        ),
    ],
    over_there: SshFlags,
) -> None:
    """Have DIR/current name the bundle that was installed before; once more, and it is the newer one again."""
    import os

    from coachc.runtime.bundle.installation import rollback as roll_back
    from coachc.runtime.install import describe
    from coachc.ship import ssh

    if ssh.is_address(place) and not os.path.isdir(place):
        address = ssh.parse_address(place)
        said = ssh.run_installer(
            address, ["--rollback", address.path], python=over_there.python, runtime=over_there.runtime
        )
        print(f"{address.host}: {said}", end="")
        return
    print(describe(roll_back(place), place))
