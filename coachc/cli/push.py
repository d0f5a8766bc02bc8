"""`coachc push`: a bundle to the machine that runs it, or to a registry."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.key_flags import SizeFlags
from coachc.cli.flags.ssh_flags import SshFlags
from coachc.cli.shipping import packed


@takes_groups
def push(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE|FILE.coachz", help="A bundle folder, or a packed one.")],
    to: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="ssh://[USER@]HOST[:PORT]/DIR, or scp's [USER@]HOST:/DIR, installs it there; "
            "oci://REGISTRY/REPOSITORY:TAG stores it there.",
        ),
    ],
    *,
    over_there: SshFlags,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace another bundle of the same revision; a higher one is never replaced."),
    ] = False,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="oci: the registry has no TLS.")] = False,
    size: SizeFlags,
) -> None:
    """Send BUNDLE to a machine, where `python3 -m runtime.install` installs it, or to an OCI registry.

    ssh is the OpenSSH of this machine with its configuration; a registry gets the credentials of docker login.
    """
    import sys

    from coachc.errors import UsageError
    from coachc.ship import oci, ssh

    if ssh.is_address(to) and not to.startswith(oci.SCHEME):
        if plain_http:
            raise UsageError("--plain-http is for oci:// addresses", hint="leave it out")
        address = ssh.parse_address(to)
    elif to.startswith(oci.SCHEME):
        if force or over_there != SshFlags():
            raise UsageError("--force, --python and --runtime are for ssh:// addresses", hint="leave them out")
        reference = oci.parse_reference(to)
    else:
        raise UsageError(
            f"'{to}' is no address to push to",
            context=["expected  ssh://[USER@]HOST[:PORT]/DIR or oci://REGISTRY/REPOSITORY:TAG"],
            hint=_hint(to),
        )
    with packed(bundle, size.limit_bytes) as (archive, title, contents):
        if contents.signed_by is None:
            print(f"note: {bundle} is not signed; coachc sign BUNDLE --key NAME.key does that", file=sys.stderr)
        if to.startswith(oci.SCHEME):
            digest = oci.push_oci(archive, title, contents, reference, plain_http=plain_http)
            print(f"{reference}  {digest}, bundle {contents.bundle_id[:12]}, revision {contents.manifest.revision}")
            return
        words = ["-", "--into", address.path, "--limit-mib", str(size.limit_mib), *(["--force"] if force else [])]
        with open(archive, "rb") as stream:
            said = ssh.run_installer(address, words, stream, python=over_there.python, runtime=over_there.runtime)
    print(f"{address.host}: {said}", end="")


def _hint(to: str) -> str:
    """What was probably meant by an address that is none."""
    scheme, _, rest = to.rpartition("://")
    if scheme in ("scp", "sftp", "rsync"):
        return f"write ssh://{rest}"
    if scheme in ("http", "https", "docker") or re.match(r"[a-z0-9-]+(\.[a-z0-9-]+)+/[^:]+:[^:/]+$", to):
        return f"a registry is oci://{rest}"
    return "for example ssh://nvidia@tx2.local/home/nvidia/resnet"
