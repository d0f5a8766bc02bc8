"""Runs passes over a model one after the other, and sees that what each needs was promised by one before it.

A pass is a name, a function and the conditions between which it works; a list of them is a literal tuple. Passes print
and time nothing: observers are told what each left. Nothing here knows any pass.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from coachc.core.graph import Value
from coachc.core.plan import Rejected
from coachc.errors import InternalError


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds of a model or does not.

    Attributes
    ----------
    name : str
        As a person says it: "weights inline".
    against : callable
        Model -> what speaks against it, "" where it holds.
    """

    name: str
    against: Callable[[onnx.ModelProto], str]


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass, or several in a row, made of a model.

    Attributes
    ----------
    model : onnx.ModelProto
        The very model given, where nothing changed.
    changed : bool
    rejected : tuple of Rejected
        What was left as it is although the pass is for it, and why.
    values : mapping of str to Value, or None
        The table of values, from the pass that makes it.
    """

    model: onnx.ModelProto
    changed: bool
    rejected: tuple[Rejected, ...] = ()
    values: Mapping[str, Value] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Pass:
    """One step.

    Attributes
    ----------
    name : str
        What `--print-after` calls it.
    run : callable
        Model -> PassResult. It leaves the model given as it was; run on its own result it changes nothing.
    requires : tuple of Condition
        What has to hold before.
    ensures : tuple of Condition
        What holds after it, whatever held before.
    breaks : tuple of Condition
        What may hold no more after it, until a later pass ensures it again. Everything else is kept.
    """

    name: str
    run: Callable[[onnx.ModelProto], PassResult]
    requires: tuple[Condition, ...] = ()
    ensures: tuple[Condition, ...] = ()
    breaks: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What an observer is told after a pass.

    Attributes
    ----------
    stage : str
        What the passes are run for: "import", or "lower/" and the path of an artefact.
    name : str
        The pass.
    model : onnx.ModelProto
        As the pass left it; not to be changed.
    seconds : float
    changed : bool
    rejected : tuple of Rejected
    """

    stage: str
    name: str
    model: onnx.ModelProto
    seconds: float
    changed: bool
    rejected: tuple[Rejected, ...] = ()


Observer = Callable[[Step], None]


def run_passes(
    passes: Sequence[Pass],
    model: onnx.ModelProto,
    *,
    given: Iterable[Condition] = (),
    stage: str = "",
    observers: Sequence[Observer] = (),
    verify: bool | None = None,
) -> PassResult:
    """Run passes in order.

    Parameters
    ----------
    passes : sequence of Pass
    model : onnx.ModelProto
    given : iterable of Condition
        What holds of `model`.
    stage : str
        For observers and for what is said of failures.
    observers : sequence of callable
        Told after each pass, in order.
    verify : bool, optional
        Look at the model itself, before the first pass and after each, for everything that is to hold then. By default
        where somebody observes: it takes time, and what users read in between should be true.

    Returns
    -------
    PassResult
        Of all passes together.

    Raises
    ------
    coachc.errors.InternalError
        A pass requires what none before it ensures, or a condition does not hold that should.

    Notes
    -----
    What a pass raises is passed on as it is, with a note that names the pass.
    """
    holding = list(dict.fromkeys(given))
    held_after(passes, holding)
    verify = bool(observers) if verify is None else verify
    if verify:
        _verify(holding, model, f"{stage}: before the first pass")
    changed, values, rejected = False, None, list[Rejected]()
    for one in passes:
        started = time.perf_counter()
        found = _run(one, model, stage)
        seconds = time.perf_counter() - started
        holding = held_after([one], holding)
        model, changed = found.model, changed or found.changed
        values = values if found.values is None else found.values
        rejected += found.rejected
        if verify:
            _verify(holding, model, f"{stage}: after pass '{one.name}'")
        for observer in observers:
            observer(Step(stage, one.name, model, seconds, found.changed, found.rejected))
    return PassResult(model, changed, tuple(rejected), values)


def _run(one: Pass, model: onnx.ModelProto, stage: str) -> PassResult:
    """What a pass made; an equal copy is let go at once, since it may be large."""
    try:
        found = one.run(model)
    except Exception as exc:
        exc.add_note(f"in pass '{one.name}' of {stage}")
        raise
    return found if found.changed else dataclasses.replace(found, model=model)


def held_after(passes: Iterable[Pass], given: Iterable[Condition]) -> list[Condition]:
    """What holds after passes, told from what they state alone.

    Raises
    ------
    coachc.errors.InternalError
        A pass requires what neither is given nor ensured by one before it.
    """
    holding = list(given)
    for one in passes:
        missing = [condition.name for condition in one.requires if condition not in holding]
        if missing:
            raise InternalError(f"pass '{one.name}' requires what none before it ensures: {', '.join(missing)}")
        kept = [condition for condition in holding if condition not in one.breaks]
        holding = list(dict.fromkeys([*kept, *one.ensures]))
    return holding


def rewriting(function: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Callable[[onnx.ModelProto], PassResult]:
    """A function from model to model as a pass; comparing tells whether it changed anything."""

    def run(model: onnx.ModelProto) -> PassResult:
        made = function(model)
        return PassResult(made, differ(made, model))

    return run


def differ(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Whether two models are not the same; what is counted is compared first, because weights are long."""
    if one is other:
        return False
    counts = [(len(g.node), len(g.initializer), len(g.value_info), len(g.input)) for g in (one.graph, other.graph)]
    return counts[0] != counts[1] or one != other


def refusing(*functions: Callable[[onnx.ModelProto], None]) -> Callable[[onnx.ModelProto], PassResult]:
    """Functions that raise where a model will not do, as a pass that changes nothing."""

    def run(model: onnx.ModelProto) -> PassResult:
        for function in functions:
            function(model)
        return PassResult(model, False)

    return run


def _verify(conditions: Iterable[Condition], model: onnx.ModelProto, when: str) -> None:
    for condition in conditions:
        against = condition.against(model)
        if against:
            raise InternalError(f"{when}, '{condition.name}' does not hold: {against}")
