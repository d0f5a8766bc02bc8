"""Flag groups: one class a group that declares, parses and documents its flags, for every command that takes them.

A group is a frozen dataclass. Its fields that are annotated with a Typer option are flags of the same names; fields
that are groups bring theirs; other fields are no flags. `takes_groups` makes of a command that takes groups one that
Typer can read, and hands the command one object a group. Groups parse in properties and methods, so that a bad value is
an error with a hint and `--help` imports nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo

_CONTEXT = "ctx"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlagGroup:
    """Flags that commands take together.

    Attributes
    ----------
    given : frozenset of str
        Names of those that stand on the command line.
    """

    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False, repr=False)


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the flags of a group in the place of each parameter that is one.

    @dataclass(frozen=True, kw_only=True)
    class Pace(FlagGroup):
        fps: Annotated[float, typer.Option(help="Tasks a second.")] = 20.0

    @takes_groups
    def wait(place: str, *, pace: Pace) -> None: ...    # wait PLACE --fps 10: pace.fps == 10.0
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[FlagGroup]] = {}
    own = [inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for name, parameter in inspect.signature(command).parameters.items():
        if _is_group(hints[name]):
            groups[name] = hints[name]
            own += flags_of(hints[name])
        elif name != _CONTEXT:
            own.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
    names = [parameter.name for parameter in own]
    assert len(set(names)) == len(names), f"{command.__name__}: two groups have one flag"

    @functools.wraps(command)
    def run(**values: Any) -> None:
        context: typer.Context = values.pop(_CONTEXT)
        given = frozenset(name for name in values if _on_command_line(context, name))
        made: dict[str, Any] = {name: _made(group, values, given) for name, group in groups.items()}
        if _CONTEXT in hints:
            made[_CONTEXT] = context
        command(**made, **values)

    run.__signature__ = inspect.Signature(own, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    del run.__wrapped__  # Typer would read the command's own parameters
    return run


def flags_of(group: type[FlagGroup]) -> Iterator[inspect.Parameter]:
    """The flags of a group, those of groups in it included, as parameters of a command."""
    hints = get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        hint = hints[field.name]
        if _is_group(hint):
            yield from flags_of(hint)
        elif _is_flag(hint):
            missing = field.default is dataclasses.MISSING
            default = inspect.Parameter.empty if missing else field.default
            yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _made(group: type[FlagGroup], values: dict[str, Any], given: frozenset[str]) -> FlagGroup:
    """One object of the group, whose flags are taken out of `values`."""
    hints = get_type_hints(group, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(group):
        if _is_group(hints[field.name]):
            fields[field.name] = _made(hints[field.name], values, given)
        elif _is_flag(hints[field.name]):
            fields[field.name] = values.pop(field.name)
    return group(given=given, **fields)


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, FlagGroup)


def _is_flag(hint: Any) -> bool:
    return any(isinstance(item, OptionInfo) for item in getattr(hint, "__metadata__", ()))


def _on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
