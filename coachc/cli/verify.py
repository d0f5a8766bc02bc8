"""`coachc verify`: whether a trusted key signed a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.key_flags import KeyFlags


@takes_groups
def verify(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|FILE.coachz", help="A bundle folder, or a packed one.")],
    trusted: KeyFlags,
) -> None:
    """Check that one of the trusted keys signed the bundle, and that every byte of it is what was signed."""
    import os

    from coachc.errors import UsageError
    from coachc.runtime.bundle.archive import open_archive, read_archive
    from coachc.runtime.bundle.signature import verify_signature
    from coachc.runtime.bundle.store import open_bundle, read_signed

    keys = trusted.keys
    if keys is None:
        raise UsageError(
            "no key to verify the signature with", hint="--key NAME.pub of coachc keygen NAME, or --trust DIR"
        )
    if os.path.isdir(path):
        bundle = open_bundle(path, keys)
        key_id: str | None = verify_signature(*read_signed(bundle.path), keys, path).key_id
        manifest, bundle_id = bundle.manifest, bundle.bundle_id
    else:
        with open_archive(path) as stream:
            manifest, bundle_id, key_id, _ = read_archive(stream, path, keys=keys, limit_bytes=trusted.size.limit_bytes)
    source = next(each.path for each in keys if each.key_id == key_id)
    print(f"ok  {manifest.model.name}, revision {manifest.revision}, bundle {bundle_id[:12]}")
    print(f"    signed by key {key_id}, {source}")
