"""Appends nodes to a committed network, one call a node: what the heads of other networks are made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from coachc.models.onnx_writer import BATCH_AXIS


class Appended:
    """A network under extension; each method adds one node and returns the name of the value it produces.

    Parameters
    ----------
    path : Path
        A file of one input whose first axis is open.
    """

    def __init__(self, path: Path) -> None:
        self._model = onnx.load(path)
        self._count = 0

    @property
    def graph(self) -> onnx.GraphProto:
        return self._model.graph

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output."""
        return self._add(kind, inputs, 1, attributes)[0]

    def split(self, value: str, *, parts: int, axis: int) -> tuple[str, ...]:
        """Equal parts of a value along an axis."""
        return self._add("Split", [value], parts, {"axis": axis})

    def best(self, value: str, count: int) -> tuple[str, ...]:
        """The `count` largest along the last axis, largest first, and where they stand."""
        return self._add("TopK", [value, self.constant(np.array([count], np.int64))], 2, {})

    def constant(self, array: np.ndarray) -> str:
        """An initializer."""
        self._count += 1
        name = f"head/constant_{self._count}"
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def with_constant(self, kind: str, value: str, array: np.ndarray | float) -> str:
        """A node of a value and a float32 constant, such as Mul and Add."""
        return self.node(kind, value, self.constant(np.asarray(array, np.float32)))

    def finish(self, outputs: dict[str, str], *, batch: int | None = None) -> onnx.ModelProto:
        """The extended network with these outputs alone, checked.

        Parameters
        ----------
        outputs : dict
            Name of an output -> the value that it is. Types and shapes are inferred.
        batch : int, optional
            What to fix the batch axis to. Default: it stays open.

        Raises
        ------
        onnx.checker.ValidationError
        """
        for name, value in outputs.items():
            # A value that is an output already keeps its name.
            if name != value:
                self.graph.node.append(helper.make_node("Identity", [value], [name], name=f"head/{name}"))
        del self.graph.output[:]
        if batch is not None:
            for one in self.graph.input:
                one.type.tensor_type.shape.dim[0].dim_value = batch
            # What was inferred for an open axis contradicts the fixed one.
            del self.graph.value_info[:]
        self.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        inferred = onnx.shape_inference.infer_shapes(self._model, strict_mode=True, data_prop=True)
        del inferred.graph.value_info[:]
        if batch is None:
            # Inference loses the axis at a Resize; all outputs of an open batch have it first.
            for one in inferred.graph.output:
                one.type.tensor_type.shape.dim[0].dim_param = BATCH_AXIS
        onnx.checker.check_model(inferred, full_check=True)
        return inferred

    def _add(self, kind: str, inputs: Sequence[str], outputs: int, attributes: dict[str, Any]) -> tuple[str, ...]:
        self._count += 1
        name = f"head/{kind}_{self._count}"
        names = tuple(f"{name}_{part}" for part in range(outputs)) if outputs > 1 else (name,)
        self.graph.node.append(helper.make_node(kind, list(inputs), list(names), name=name, **attributes))
        return names
