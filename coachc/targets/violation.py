"""What is wrong with a model on a target: the rule that is broken, and where in the model."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.targets.generation import Severity, Source


@dataclass(frozen=True, slots=True)
class Violation:
    """One node, value or figure of a model that a target does not take.

    Attributes
    ----------
    rule : str
        Its id, such as "trt8.2/op/Mod": generation, kind, and what it is about.
    node : str
        Name of the node; of the value or "" where it is about no node.
    operator : str
        Its type, the domain before it unless it is ai.onnx; "" where it is about no node.
    reason, remedy : str
    severity : "error" or "warning"
        An error does not build, or builds into something else; a warning may.
    source : str
        How the rule is known: documented, seen or inferred, and where.
    """

    rule: str
    node: str
    operator: str
    reason: str
    remedy: str
    severity: Severity = "error"
    source: str = ""

    @property
    def limit(self) -> str:
        """The limit that is broken, such as "Pad/negative", by which lowering mends it; "" if it is none."""
        _, kind, *rest = self.rule.split("/")
        return "/".join(rest) if kind in ("limit", "model") else ""

    @property
    def label(self) -> str:
        """What it is about, for messages."""
        kind = "node" if self.operator else "value"
        return f"{kind} '{self.node}'" + (f" ({self.operator})" if self.operator else "")


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule that is broken, before it is said where.

    Attributes
    ----------
    rule : str
        Its id without the generation, such as "op/Mod".
    reason, remedy : str
    source : Source
    severity : "error" or "warning"
    """

    rule: str
    reason: str
    remedy: str
    source: Source
    severity: Severity = "error"

    def at(self, prefix: str, node: str, operator: str = "") -> Violation:
        """The violation that it is there.

        Parameters
        ----------
        prefix : str
            Of the generation's ids.
        node, operator : str
            As in `Violation`.
        """
        rule = f"{prefix}/{self.rule}"
        return Violation(rule, node, operator, self.reason, self.remedy, self.severity, str(self.source))
