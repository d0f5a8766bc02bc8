"""Calibration samples from a function of the user's: `data.py:load`.

The function is called again for every pass, so that it can make its samples as they are asked for and nothing has to
be kept. What it gives is checked against the model each time, and against the first pass: accuracy with and without
rounding is only comparable on the same samples.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from coachc.calib.user_code import UserFunction
from coachc.errors import DataError
from coachc.runtime.bundle.feeds import Feed, Source
from coachc.runtime.bundle.manifest_types import TensorSpec

Sample = tuple[Feed, tuple[int, ...] | None]


def script_of(source: str) -> tuple[str, str] | None:
    """File and function of "path/to/file.py:function"; None for any other source.

    Raises
    ------
    DataError
        A file of Python code without a function.
    """
    file, colon, function = source.rpartition(":")
    if colon and file.endswith(".py"):
        if not re.fullmatch(r"[A-Za-z_]\w*", function):
            raise DataError(f"'{function}' of {source} is not the name of a function", hint=f"for example {file}:load")
        return file, function
    if source.endswith(".py"):
        raise DataError(f"{source} names no function", hint=f"for example {source}:load")
    return None


class ScriptSource(Source):
    """Samples that a function gives, in its order.

    Parameters
    ----------
    file, function : str
        The function takes no argument and returns an iterable. Each item is one sample: a dict of arrays named after
        the model's inputs, or one array for a model with one input, or a tuple of that and its label.
    inputs : sequence of TensorSpec
    max_samples : int
        Of what comes later nothing is asked for.

    Raises
    ------
    DataError
        No such file or function, it fails, or what it gives does not suit the model. Names file, function and sample.
    """

    def __init__(self, file: str, function: str, inputs: Sequence[TensorSpec], max_samples: int) -> None:
        self._inputs = tuple(inputs)
        self._function = UserFunction(file, function)
        self._name = self._function.name
        self._checksums: list[int] = []
        labels: list[int] = []
        labelled: set[bool] = set()
        for feed, label in itertools.islice(self._samples(), max_samples):
            self._checksums.append(_checksum(feed))
            labelled.add(label is not None)
            if len(labelled) == 2:
                raise DataError(f"{self._name} gives some samples with and some without a label")
            labels.extend(label or ())
        if not self._checksums:
            raise DataError(f"{self._name} gives no samples")
        self.labels = np.array(labels, np.int64) if labels else None

    def __len__(self) -> int:
        return len(self._checksums)

    def __iter__(self) -> Iterator[Feed]:
        again = "it is called for every pass and has to give the same samples each time: fix the seeds it uses"
        samples = self._samples()
        for index, checksum in enumerate(self._checksums):
            feed, _ = next(samples, ({}, None))
            if not feed:
                raise DataError(
                    f"{self._name} gives {index} samples where it gave {len(self)} or more at first", hint=again
                )
            if _checksum(feed) != checksum:
                raise DataError(f"{self._name} gives another sample {index} than at first", hint=again)
            yield feed

    def name_of(self, row: int) -> str:
        return f"row {row} of {self._name}"

    def _samples(self) -> Iterator[Sample]:
        with self._function.guarded("failed"):
            items = iter(self._function.call())
        for index in itertools.count():
            with self._function.guarded("failed", f"while it made sample {index}"):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield self._sample(item, f"sample {index} of {self._name}")

    def _sample(self, item: Any, where: str) -> Sample:
        labelled = isinstance(item, tuple | list) and len(item) == 2
        inputs, label = item if labelled else (item, None)
        names = [spec.name for spec in self._inputs]
        if hasattr(inputs, "__array__") and len(names) == 1:
            inputs = {names[0]: inputs}
        if not isinstance(inputs, Mapping):
            expected = "an array or a dict of arrays" if len(names) == 1 else "a dict of arrays, one per input"
            raise DataError(
                f"{where} is of type {type(inputs).__name__}",
                context=[f"expected  {expected}, or a tuple of that and a label", f"inputs    {', '.join(names)}"],
            )
        if set(inputs) != set(names):
            raise DataError(
                f"{where} does not name the model's inputs",
                context=[f"expected  {', '.join(sorted(names))}", f"found     {', '.join(sorted(map(str, inputs)))}"],
            )
        feed = {spec.name: _array(inputs[spec.name], spec, where) for spec in self._inputs}
        return feed, _labels(label, math.prod(self._inputs[0].shape[:1]), where) if labelled else None


def _array(found: Any, spec: TensorSpec, where: str) -> np.ndarray:
    try:
        # A copy: the function may fill the same array again.
        array = np.array(np.asarray(found))
    except Exception as exc:
        raise DataError(f"{where} has no array for input '{spec.name}': {type(exc).__name__}: {exc}") from exc
    wanted = np.dtype(spec.dtype)
    if array.shape == spec.shape and (array.dtype == wanted or array.dtype.kind == wanted.kind == "f"):
        return np.ascontiguousarray(array.astype(wanted, copy=False)).reshape(spec.shape)
    batch = array.shape == spec.shape[1:] and spec.shape[0] == 1
    raise DataError(
        f"{where} does not suit input '{spec.name}'",
        context=[
            f"expected  {spec.dtype} of shape {_show(spec.shape)}",
            f"found     {array.dtype} of shape {_show(array.shape)}",
        ],
        hint="the first dimension is the batch: array[None]" if batch else "",
    )


def _labels(label: Any, batch: int, where: str) -> tuple[int, ...]:
    labels = np.asarray(label).ravel()
    if labels.dtype.kind not in "iu" or len(labels) != batch:
        raise DataError(
            f"{where} has label {label!r}", context=[f"expected  {batch} whole number(s), the index of the class"]
        )
    return tuple(labels.tolist())


def _checksum(feed: Feed) -> int:
    checksum = 0
    for array in feed.values():
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, checksum)
    return checksum


def _show(shape: Sequence[int]) -> str:
    return "({})".format(",".join(map(str, shape)))
