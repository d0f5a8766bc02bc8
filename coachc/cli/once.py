"""Commands that refuse an option given twice: the last would win silently, and one of the two is a mistake."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from coachc.errors import UsageError


class OnceCommand(TyperCommand):
    """A command whose options take one value each, unless they say that they repeat; a switch may be repeated."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's, after a look at what was given twice.

        Raises
        ------
        UsageError
            Names the option and its values.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(order).items():
            single = parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag)
            if times > 1 and single:
                name = max(parameter.opts, key=len)
                given = ", ".join(_values(args, parameter.opts))
                raise UsageError(
                    f"{name} is given {times} times and takes one value: {given}", hint=f"leave one {name} out"
                )
        return super().parse_args(ctx, args)


def _values(args: list[str], names: list[str]) -> list[str]:
    """What stands behind an option each time, as "--name value" or "--name=value"."""
    found = []
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        if name in names:
            found.append(value if equals else args[place + 1])
    return found
