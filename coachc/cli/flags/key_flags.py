"""Flags for whose signature a bundle has to bear and how large it may be, of commands that take it from elsewhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.cli.shipping import Trust

if TYPE_CHECKING:
    from coachc.runtime.bundle.signature import TrustedKeys

#: Of a bundle's files together, unless the command is told otherwise.
LIMIT_MIB = 2048


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeFlags(FlagGroup):
    """`--limit-mib`."""

    limit_mib: Annotated[int, typer.Option(help="Refuse bundles whose files are larger together, in MiB.", min=1)] = (
        LIMIT_MIB
    )

    @property
    def limit_bytes(self) -> int:
        return self.limit_mib << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyFlags(FlagGroup):
    """`--key`, `--trust` and `--limit-mib`."""

    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="NAME.pub", help="A trusted public key; repeat for more.")
    ] = None
    trust: Trust = None
    size: SizeFlags = SizeFlags()

    @property
    def keys(self) -> TrustedKeys | None:
        """One of which has to have signed the bundle; None where none is asked for.

        Raises
        ------
        runtime.errors.SignatureError
            One cannot be read.
        """
        from coachc.runtime.bundle.signature import trusted_keys

        return trusted_keys(self.trust, self.key or ())
