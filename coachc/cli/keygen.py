"""`coachc keygen`: a key pair to sign bundles with."""

from __future__ import annotations

from typing import Annotated

import typer


def keygen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Writes NAME.key (keep it) and NAME.pub (hand it out).")],
) -> None:
    """Make an Ed25519 key pair: NAME.key signs bundles, and who has NAME.pub can tell that it did."""
    from coachc.ship.keys import make_keys

    private, public, key_id = make_keys(name)
    print(f"{private}  private, mode 0600: keep it where bundles are signed, and nowhere else")
    print(f"{public}  public, key {key_id}: goes to --trust DIR of every machine that runs the bundles")
