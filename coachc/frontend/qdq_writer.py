"""Nodes of a model that is written anew without operators on codes, and what is known of its values on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coachc.frontend import walk
from coachc.frontend.order import fresh

#: Types of codes on whose grid an operator may be moved before the quantizer.
_CODES = (TensorProto.INT8, TensorProto.UINT8)


class NoForm(Exception):
    """This node has no form of real operators."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Names of a scale and a zero point, the second "" where there is none."""

    scale: str
    zero: str


class Writer:
    """Nodes of the new graph, and what is known of the values made so far.

    Parameters
    ----------
    model : ModelProto
        Changed in place by `finish`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._made: list[onnx.TensorProto] = []
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and not node.domain and (tensor := walk.attribute(node, "value")) is not None:
                self._constants[node.output[0]] = tensor
        self._taken = {name for graph in walk.graphs(model.graph) for name in walk.made(graph)}
        self._taken.update(node.name for node in walk.nodes(model.graph))
        self._grids: dict[str, Grid] = {}
        self._reals: dict[tuple[str, Grid], str] = {}
        #: Codes that no node makes any more, by what quantizes to them.
        self._owed: dict[str, str] = {}

    def plain(self, node: onnx.NodeProto) -> None:
        """A node as it is; quantizers are remembered, and a value that is there already is not dequantized again."""
        codes = node.input[0] if node.input else ""
        if node.op_type == "DequantizeLinear" and not node.domain and self._is_own_grid(node):
            known = self._reals.setdefault((codes, self._grids[codes]), node.output[0])
            if known != node.output[0]:
                node = helper.make_node("Identity", [known], [node.output[0]], name=node.name)
        self._nodes.append(node)
        if node.op_type == "QuantizeLinear" and not node.domain:
            self._remember(node.output[0], node.input[1], node.input[2] if len(node.input) > 2 else "")

    def has_grid(self, codes: str) -> bool:
        """Whether these codes are all on one known grid."""
        return codes in self._grids

    def finish(self) -> None:
        """Put the nodes into the model, with a quantizer for codes that something else still reads."""
        graph = self._model.graph
        read = {value.name for value in graph.output}.union(*(walk.reads(node) for node in self._nodes))
        for codes, real in self._owed.items():
            if codes in read:
                grid = self._grids[codes]
                self._nodes.append(
                    helper.make_node("QuantizeLinear", _given(real, grid), [codes], name=self.name(codes))
                )
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self._made)
        made = set(walk.made(graph))
        for index in reversed(range(len(graph.value_info))):
            if graph.value_info[index].name not in made:
                del graph.value_info[index]
        used = {"", *(node.domain for node in walk.nodes(graph))}
        kept = [entry for entry in self._model.opset_import if entry.domain in used]
        del self._model.opset_import[:]
        self._model.opset_import.extend(helper.make_opsetid(entry.domain, entry.version) for entry in kept)

    def name(self, stem: str) -> str:
        """A new name."""
        if stem in self._taken:
            return fresh(stem, self._taken)
        self._taken.add(stem)
        return stem

    def add(self, op: str, inputs: Sequence[str], node: onnx.NodeProto, **attributes: Any) -> str:
        """A node with one output and the name of the one that it replaces; its output."""
        output = self.name(f"{node.output[0]}/real")
        self._nodes.append(helper.make_node(op, inputs, [output], name=node.name, **attributes))
        return output

    def real(self, codes: str, scale: str, zero: str, axis: int | None = None) -> str:
        """What codes stand for; one DequantizeLinear for all that read them.

        With an axis, constants may have a scale each along it.
        """
        if axis is None or self.is_single(scale):
            scale, zero = self.single(scale), self.single(zero)
        grid = Grid(scale, zero)
        if (codes, grid) not in self._reals:
            output = self.name(f"{codes}/real")
            node = helper.make_node("DequantizeLinear", _given(codes, grid), [output], name=self.name(output))
            if axis is not None and not self.is_single(scale):
                factors, tensor = self.array(scale), self._constants.get(codes)
                if factors is None or factors.ndim != 1 or tensor is None:
                    raise NoForm
                node.attribute.append(helper.make_attribute("axis", axis % len(tensor.dims)))
            self._nodes.append(node)
            self._reals[codes, grid] = output
        return self._reals[codes, grid]

    def real_of_moved(self, codes: str) -> str:
        """What codes stand for on their own grid."""
        grid = self._grids[codes]
        return self.real(codes, grid.scale, grid.zero)

    def quantize(self, real: str, codes: str, scale: str, zero: str) -> None:
        """Codes of a real value, under the name that they had."""
        if not zero or zero not in self._constants:
            raise NoForm  # the type of the codes is that of the zero point
        grid = Grid(self.single(scale), self.single(zero))
        self._nodes.append(helper.make_node("QuantizeLinear", _given(real, grid), [codes], name=self.name(codes)))
        self._remember(codes, grid.scale, grid.zero)

    def moved(self, codes: str, real: str, source: str) -> None:
        """Codes that are those of `source`, moved or selected: quantized only if something reads them as codes."""
        grid = self._grids[source]
        self._grids[codes] = grid
        self._reals[codes, grid] = real
        self._owed[codes] = real

    def move(self, node: onnx.NodeProto) -> None:
        """The same node on what its codes stand for."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = self.real_of_moved(node.input[0])
        for index, name in enumerate(node.output):
            if name:
                copy.output[index] = self.name(f"{name}/real")
                self.moved(name, copy.output[index], node.input[0])
        self._nodes.append(copy)

    def keep(self, node: onnx.NodeProto) -> None:
        """The same node as an operator of ai.onnx."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.domain = ""
        self.plain(copy)

    def product(self, one: str, other: str) -> str:
        """The product of two scales."""
        arrays = [self.array(name) for name in (one, other)]
        if arrays[0] is not None and arrays[1] is not None:
            product = np.squeeze(arrays[0] * arrays[1])
            return self.constant(product.astype(np.float32), f"{one}/product")
        output = self.name(f"{one}/product")
        self._nodes.append(helper.make_node("Mul", [one, other], [output], name=output))
        return output

    def constant(self, array: np.ndarray, stem: str) -> str:
        tensor = numpy_helper.from_array(np.asarray(array), self.name(stem))
        self._made.append(tensor)
        self._constants[tensor.name] = tensor
        return tensor.name

    def array(self, name: str) -> np.ndarray | None:
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def _element(self, name: str) -> int:
        """The type of a constant; 0 of any other value."""
        return self._constants[name].data_type if name in self._constants else 0

    def is_single(self, name: str) -> bool:
        array = self.array(name)
        return array is not None and array.size == 1

    def single(self, name: str) -> str:
        """A scale or zero point of one number without axes, which is how QuantizeLinear takes it."""
        array = self.array(name) if name else None
        if array is None or not array.ndim:
            return name
        if array.size > 1:
            raise NoForm
        known = f"{name}/single"
        if known not in self._constants:
            tensor = numpy_helper.from_array(array.reshape(()), known)
            self._taken.add(known)
            self._made.append(tensor)
            self._constants[known] = tensor
        return known

    def _is_own_grid(self, node: onnx.NodeProto) -> bool:
        """Whether a DequantizeLinear takes codes for what they were made of."""
        grid = self._grids.get(node.input[0])
        if grid is None or not self.is_single(node.input[1]):
            return False
        ours = [self.array(name) if name else np.zeros(()) for name in (grid.scale, grid.zero)]
        theirs = [self.array(name) if name else np.zeros(()) for name in (*node.input[1:], "")[:2]]
        return all(
            one is not None and other is not None and np.array_equal(one.ravel(), other.ravel())
            for one, other in zip(ours, theirs, strict=True)
        )

    def _remember(self, codes: str, scale: str, zero: str) -> None:
        if self.is_single(scale) and (not zero or self.is_single(zero)) and self._element(zero) in (0, *_CODES):
            self._grids[codes] = Grid(scale, zero)


def _given(value: str, grid: Grid) -> list[str]:
    return [value, grid.scale, *([grid.zero] if grid.zero else [])]
