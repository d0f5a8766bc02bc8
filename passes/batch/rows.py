"""Whether the tasks of a batch leave each other alone, found by running it with each of them spoilt in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import onnx

from coachc.frontend import ort, walk
from coachc.frontend.shapes import known_values, static_shape
from coachc.passes.batch.two_sizes import TASKS, Growth


def first_mixing(many: onnx.ModelProto, grown: Mapping[str, Growth | None]) -> str:
    """The first node whose results for one task depend on another one; "" where there is none.

    A value that does not grow with the number of tasks and is made of one that does takes from all of them. Beyond that
    each task in turn is made NaN, which passes every sum, mean and product, and then large numbers, which win every
    maximum; the others' results must stay as they are to the last bit.

    Parameters
    ----------
    many : onnx.ModelProto
        For `TASKS` tasks.
    grown : mapping
        How each value grows.
    """
    for node in many.graph.node:
        grows = any(grown.get(name) is not None for name in walk.reads(node))
        if grows and any(name in grown and grown[name] is None for name in node.output):
            return walk.label(node)
    outputs = [value.name for value in many.graph.output]
    if not _differing(many, outputs, grown):
        return ""
    known = known_values(onnx.shape_inference.infer_shapes(many, data_prop=True))
    inside = [
        (name, node)
        for node in many.graph.node
        for name in node.output
        if grown.get(name) is not None and name in known and static_shape(known[name]) is not None
    ]
    shown = onnx.ModelProto()
    shown.CopyFrom(many)
    shown.graph.output.extend(known[name] for name, _ in inside if name not in outputs)
    differing = _differing(shown, [name for name, _ in inside], grown)
    return next((walk.label(node) for name, node in inside if name in differing), "an output")


def _differing(model: onnx.ModelProto, names: list[str], grown: Mapping[str, Growth | None]) -> set[str]:
    """Those of `names` in which a task that was not spoilt has another result."""
    session = ort.session(model)
    clean = ort.seeded_inputs(model, 0)
    expected = ort.run_session(session, clean)
    differing = set()
    for spoilt_task, spoilt in _spoilings(clean, grown):
        found = ort.run_session(session, spoilt)
        for name in names:
            pairs = zip(_tasks(expected[name], grown.get(name)), _tasks(found[name], grown.get(name)), strict=True)
            if any(not _same(*pair) for task, pair in enumerate(pairs) if task != spoilt_task):
                differing.add(name)
    return differing


def _spoilings(
    clean: Mapping[str, np.ndarray], grown: Mapping[str, Growth | None]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Which task is spoilt, and the inputs with that."""
    for spoilt_task, large in itertools.product(range(TASKS), (False, True)):
        spoilt = {}
        for name, array in clean.items():
            spoilt[name] = array.copy()
            growth = grown.get(name)
            if growth is None:
                continue
            task = _tasks(spoilt[name], growth)[spoilt_task]
            if array.dtype.kind == "f":
                task[...] = task * 1e3 if large else np.nan
            else:
                # Of numbers that may be indices, those of another task.
                task[...] = _tasks(array, growth)[(spoilt_task + 1 + large) % TASKS]
        yield spoilt_task, spoilt


def _tasks(array: np.ndarray, growth: Growth | None) -> list[np.ndarray]:
    """Views of each task's part; the whole for each, where a value does not grow."""
    if growth is None:
        return [array] * TASKS
    return np.split(array, TASKS, axis=growth.axis)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
