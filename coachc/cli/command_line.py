"""How all commands read their words and are listed: what Typer does otherwise would mislead."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperGroup

from coachc.errors import UsageError


class OnceCommand(TyperCommand):
    """A command whose options take one value each, unless they say that they repeat; a switch may be repeated.

    Of an option given twice the last would win silently, and one of the two is a mistake.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's, after a look at what was given twice.

        Raises
        ------
        UsageError
            Names the option and its values.
        """
        if ctx.resilient_parsing:  # a line that a shell is about to complete
            return super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(order).items():
            single = parameter.param_type_name == "option" and not (
                parameter.multiple or getattr(parameter, "is_flag", False)
            )
            if times > 1 and single:
                name = max(parameter.opts, key=len)
                given = ", ".join(_values(args, parameter.opts))
                raise UsageError(
                    f"{name} is given {times} times and takes one value: {given}", hint=f"leave one {name} out"
                )
        return super().parse_args(ctx, args)


class WholeSentences(TyperGroup):
    """A group whose help has the first sentence of each command whole, on as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command.help or "")) for name, command in found if command])


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, or the whole first paragraph."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return sentence + stop.strip()


def _values(args: list[str], names: list[str]) -> list[str]:
    """What stands behind an option each time, as "--name value" or "--name=value"."""
    found = []
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        if name in names:
            found.append(value if equals else args[place + 1])
    return found
