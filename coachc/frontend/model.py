"""What the importer returns. Decides nothing: `onnx_import` builds it, everything later reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from coachc.core.graph import Value


@dataclass(frozen=True)
class Model:
    """A normalised, checked, static-shaped ONNX model.

    Attributes
    ----------
    proto : ModelProto
        Topologically sorted; every node and value named uniquely; weights inline; opset 13 or newer; the lowest IR
        version that its opsets allow. Treat as read-only: copy before changing.
    values : mapping of str to Value
        Graph inputs, every node output that depends on one, and every graph output. Values inside the bodies of
        If, Loop and Scan are not listed. A value that is not cuttable may have no size: its dtype can be one
        that `ITEM_BYTES` does not list, and its shape is what one random input gave, or () when nothing is known.
    sha256 : str
        Of the source file's bytes, followed by those of its external data files in the order of their names.
    name : str
        The file's stem.
    """

    proto: onnx.ModelProto
    values: Mapping[str, Value]
    sha256: str
    name: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.proto.graph.input)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.proto.graph.output)

    @property
    def opset(self) -> int:
        """Version of ai.onnx."""
        return next(entry.version for entry in self.proto.opset_import if entry.domain == "")
