"""`coachc sign`: say who made a bundle."""

from __future__ import annotations

from typing import Annotated

import typer


def sign(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle written by `coachc compile`.")],
    key: Annotated[str, typer.Option(metavar="NAME.key", help="Private key of `coachc keygen NAME`.")],
) -> None:
    """Sign BUNDLE: write its manifest.sig, in place of another signature. The bundle's id stays what it is."""
    from coachc.ship.keys import sign_bundle

    print(f"{bundle}  signed by key {sign_bundle(bundle, key)}")
