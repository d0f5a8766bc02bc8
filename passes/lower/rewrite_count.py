"""What was rewritten, counted by what it was in the model given: the parts of a node count for nothing of their own."""

from __future__ import annotations

from collections import Counter

import onnx

from coachc.frontend import walk


class Tally:
    """Nodes of a model that were rewritten, each once.

    Parameters
    ----------
    model : onnx.ModelProto
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._operators = {node.name: node.op_type for node in walk.nodes(model.graph)}
        self._rewritten: set[str] = set()
        self._others: Counter[str] = Counter()
        #: Whether anything at all was done.
        self.touched = False

    def is_as_given(self, node: onnx.NodeProto) -> bool:
        """Whether a node is one of the model given, not a part that has the name of one."""
        return self._operators.get(node.name) == node.op_type

    def node(self, name: str) -> None:
        """A node was rewritten; names that the model did not have are parts of one."""
        self.touched = True
        if name in self._operators:
            self._rewritten.add(name)

    def other(self, what: str) -> None:
        """Something else was rewritten."""
        self.touched = True
        self._others[what] += 1

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Operator, or what else, and how many, sorted."""
        found = self._others + Counter(self._operators[name] for name in self._rewritten)
        return tuple(sorted(found.items()))
