"""The graph the search sees: fused operators, the values between them, and their work.

Decides nothing: `frontend.fuse` builds it, everything later reads it. A subset of nodes is a bit mask over
`GraphView.nodes` (bit i = node i is on the device); graph inputs are always on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from coachc.core.masks import bits_of, mask_of


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that flows between nodes.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy name: "float32", "float16", "int64", ...
    shape : tuple of int
        Static, batch included.
    cuttable : bool
        False where its shape depends on the data, so that no static half could take it as an input.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    cuttable: bool = True

    @property
    def elements(self) -> int:
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    @property
    def quantizable(self) -> bool:
        """Only floating-point tensors are quantized; others travel as they are."""
        return self.dtype in ("float32", "float16")

    @property
    def size_bytes(self) -> int:
        """0 for types that cannot cross (int4, sequences, ...); such values are not cuttable."""
        return self.elements * ITEM_BYTES.get(self.dtype, 0)


ITEM_BYTES: Mapping[str, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
}  # fmt: skip


#: What arithmetic an operator is: engines attain another share of their peak in each. Convolutions with a kernel of one
#: pixel, of 3x3 undilated (few multiplications by Winograd's method), and others; with one group a channel, and with
#: several; transposed; products with weights, and of two tensors that depend on the input, as in attention; and what
#: has next to none and is bound by memory.
WORK_KINDS = (
    "conv1x1", "conv3x3", "conv", "depthwise", "grouped", "transposed", "gemm", "attention", "memory",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Work:
    """What a fused operator computes and moves; seconds come from a profile.

    Attributes
    ----------
    flops : int
        Multiply and add count as two.
    kind : str
        One of `WORK_KINDS`: of the node that computes most.
    weight_elements, input_elements, output_elements : int
        Tensor elements read and written at the operator's border.
    free : bool
        Concat, Reshape and the like: an engine writes producers' outputs in place.
    """

    flops: int = 0
    kind: str = "memory"
    weight_elements: int = 0
    input_elements: int = 0
    output_elements: int = 0
    free: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One fused operator.

    Attributes
    ----------
    name : str
        Name of the ONNX node that does the work (the convolution of Conv+BN+ReLU).
    kind : str
        Operator types joined, e.g. "Conv+Add+Relu".
    members : tuple of str
        Names of the ONNX nodes it holds, in topological order.
    inputs, outputs : tuple of str
        Values that enter and leave; weights are not among them.
    work : Work
    folded : int
        Batch normalizations that the exporter folded into its weights: operators of the original model, not members.
    """

    name: str
    kind: str
    members: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    work: Work
    folded: int = 0

    @property
    def unfused_operators(self) -> int:
        """Operators that a framework without fusion starts for it."""
        return len(self.members) + self.folded


@dataclass(frozen=True)
class GraphView:
    """Fused operators in topological order and the values between them.

    Attributes
    ----------
    nodes : tuple of Node
    values : mapping of str to Value
        Graph inputs and every value that leaves a node.
    inputs, outputs : tuple of str
        The model's.
    """

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def producer(self) -> Mapping[str, int]:
        """Index of the node that makes each value; graph inputs are absent."""
        return {value: index for index, node in enumerate(self.nodes) for value in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Indices of the nodes that read each value."""
        found: dict[str, list[int]] = {name: [] for name in self.values}
        for index, node in enumerate(self.nodes):
            for value in dict.fromkeys(node.inputs):
                found[value].append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    @cached_property
    def predecessors(self) -> tuple[int, ...]:
        """For each node the mask of the nodes it reads from."""
        return tuple(
            mask_of(self.producer[value] for value in node.inputs if value in self.producer) for node in self.nodes
        )

    @cached_property
    def ordered_values(self) -> tuple[str, ...]:
        """Graph inputs, then every node's outputs, in topological order."""
        return self.inputs + tuple(value for node in self.nodes for value in node.outputs)

    @property
    def full_mask(self) -> int:
        return (1 << len(self.nodes)) - 1

    def indices_in(self, mask: int) -> tuple[int, ...]:
        """Indices of the nodes in `mask`, ascending; bits beyond the graph count for nothing, so ~mask will do."""
        return tuple(bits_of(mask & self.full_mask))

    def indices_outside(self, mask: int) -> tuple[int, ...]:
        """Indices of the nodes that are not in `mask`, ascending."""
        return self.indices_in(~mask)

    def nodes_in(self, mask: int) -> tuple[Node, ...]:
        """The fused operators in `mask`, in topological order."""
        return tuple(self.nodes[index] for index in self.indices_in(mask))

    def nodes_outside(self, mask: int) -> tuple[Node, ...]:
        """The fused operators that are not in `mask`, in topological order."""
        return self.nodes_in(~mask)

    def members_in(self, mask: int) -> frozenset[str]:
        """Names of the ONNX nodes that the fused operators in `mask` hold."""
        return frozenset(name for node in self.nodes_in(mask) for name in node.members)

    def members_outside(self, mask: int) -> frozenset[str]:
        """Names of the ONNX nodes that the fused operators outside `mask` hold."""
        return self.members_in(~mask)

    def ancestors(self, nodes: Iterable[int]) -> dict[int, int]:
        """For each of some nodes, in topological order, the mask of those it depends on by paths through `nodes`."""
        found: dict[int, int] = {}
        for node in nodes:
            direct = [other for other in self.indices_in(self.predecessors[node]) if other in found]
            found[node] = mask_of(direct)
            for other in direct:
                found[node] |= found[other]
        return found

    def is_ideal(self, mask: int) -> bool:
        """Whether `mask` is down-closed: every node's predecessors are in it too."""
        return all(not self.predecessors[index] & ~mask for index in self.indices_in(mask))

    def cut_values(self, mask: int) -> tuple[str, ...]:
        """Distinct values made in `mask` (or graph inputs) and read outside it, in topological order."""
        outside = ~mask
        return tuple(name for name, maker, readers in self._ends if not maker & outside and readers & outside)

    @cached_property
    def _ends(self) -> tuple[tuple[str, int, int], ...]:
        """Each of `ordered_values` with the masks of the node that makes it, 0 for graph inputs, and of its readers."""
        return tuple(
            (name, mask_of([self.producer[name]] if name in self.producer else []), mask_of(self.consumers[name]))
            for name in self.ordered_values
        )
