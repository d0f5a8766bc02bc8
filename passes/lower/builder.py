"""Nodes that take the place of one node. The last of them keeps its name and its outputs.

The name stays because an operator is looked for by it elsewhere: `coachc check` tells by names which half has what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coachc.frontend import walk
from coachc.frontend.order import fresh
from coachc.frontend.shapes import Shape
from coachc.passes.lower.scope import Scope

#: Writes what takes a node's place with a builder.
Rewrite = Callable[[onnx.NodeProto, "Builder"], None]


class CannotLower(Exception):
    """A node has no form that the target takes; the driver says which node it was.

    Parameters
    ----------
    reason, remedy : str
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Builder:
    """Builds what takes the place of `node`.

    Parameters
    ----------
    node : onnx.NodeProto
    scope : Scope
    opset : int
        Of the nodes to write.
    source : int, optional
        Of `node`, if not the same.

    Attributes
    ----------
    nodes, initializers : list
        What was written.
    """

    def __init__(self, node: onnx.NodeProto, scope: Scope, opset: int, source: int | None = None) -> None:
        self.node = node
        self.scope = scope
        self.opset = opset
        self.source = opset if source is None else source
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    # What the node is.

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, texts as str."""
        value = walk.attribute(self.node, name, default)
        return value.decode() if isinstance(value, bytes) else value

    def input(self, index: int) -> str:
        """The name of an input, "" where it is absent."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def shape(self, name: str) -> Shape:
        """The static shape of a value.

        Raises
        ------
        CannotLower
            It is not known.
        """
        found = self.scope.shape(name)
        if found is None:
            raise CannotLower(f"the shape of '{name}' is not known", "export with static shapes")
        return found

    def array(self, name: str, what: str) -> np.ndarray:
        """The contents of an input that has to be constant.

        Raises
        ------
        CannotLower
            It is computed.
        """
        found = self.scope.array(name)
        if found is None:
            raise CannotLower(f"its {what} '{name}' are computed, and an attribute is needed", f"make {what} constant")
        return found

    # What takes its place.

    def value(self, hint: str) -> str:
        """A new name."""
        stem = f"{self.node.name}/{hint}"
        if stem in self.scope.taken:
            return fresh(stem, self.scope.taken)
        self.scope.taken.add(stem)
        return stem

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node of one output; its name."""
        made = self.value(op)
        self.nodes.append(helper.make_node(op, inputs, [made], name=made, **attributes))
        return made

    def end(self, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The node that makes the outputs of the one replaced and has its name."""
        self.nodes.append(helper.make_node(op, inputs, list(self.node.output), name=self.node.name, **attributes))

    def keep(self, *, inputs: Sequence[str] | None = None, drop: Sequence[str] = (), **attributes: Any) -> None:
        """The node itself with other inputs and attributes."""
        copy = onnx.NodeProto()
        copy.CopyFrom(self.node)
        if inputs is not None:
            del copy.input[:]
            copy.input.extend(inputs)
        gone = {*drop, *attributes}
        kept = [entry for entry in self.node.attribute if entry.name not in gone]
        del copy.attribute[:]
        copy.attribute.extend(kept)
        copy.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(copy)

    def become(self, array: np.ndarray) -> None:
        """An initializer in place of the node, under the name of its output.

        Not an Identity behind it: TensorRT's parser takes the biases of convolutions, and before 8.6 other inputs,
        from initializers only, and what Identity makes is none.
        """
        name = self.node.output[0]
        if name in self.scope.outputs:
            self.end("Identity", [self.constant(array, "constant")])
            return
        tensor = numpy_helper.from_array(np.asarray(array), name)
        self.initializers.append(tensor)
        self.scope.define(tensor)

    def constant(self, array: np.ndarray, hint: str) -> str:
        """An initializer."""
        made = self.value(hint)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), made))
        return made

    def number(self, value: float, like: str, hint: str) -> str:
        """An initializer of rank 0 with the element type of a value."""
        return self.constant(np.array(value, self.dtype(like)), hint)

    def dtype(self, name: str) -> np.dtype:
        return helper.tensor_dtype_to_np_dtype(self.scope.element(name))

    def cast(self, name: str, element: int) -> str:
        return self.add("Cast", [name], to=element)

    def end_cast(self, name: str, element: int) -> None:
        self.end("Cast", [name], to=element)

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", [name, self.constant(np.array(shape, np.int64), "shape")])

    def end_reshape(self, name: str, shape: Sequence[int]) -> None:
        self.end("Reshape", [name, self.constant(np.array(shape, np.int64), "shape")])

    def reduce(self, op: str, name: str, axes: Sequence[int], *, keepdims: int = 1) -> str:
        """A reduction: axes are an input of ReduceSum from opset 13 on, of the others from 18 on."""
        if self.opset < (13 if op == "ReduceSum" else 18):
            return self.add(op, [name], axes=list(axes), keepdims=keepdims)
        return self.add(op, [name, self.constant(np.array(axes, np.int64), "axes")], keepdims=keepdims)

    def float_of(self, name: str) -> tuple[str, int]:
        """A value in float32, and the element type it came in; float64 stays."""
        element = self.scope.element(name)
        if element in (TensorProto.FLOAT, TensorProto.DOUBLE):
            return name, element
        return self.cast(name, TensorProto.FLOAT), element


def elements(shape: Sequence[int]) -> int:
    return math.prod(shape)
