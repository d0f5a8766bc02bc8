"""A model in ONNX Runtime, run as it is written: no optimization, and every value stored in its own type."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from coachc.frontend import ort
from coachc.frontend.rounding import storing
from coachc.runtime.engines.engine import Engine


class StoringSession(Engine):
    """A model loaded to be compared with another one.

    Parameters
    ----------
    model : onnx.ModelProto
    written : bytes, optional
        The same, serialized: with large weights, writing it takes longer than loading it.
    """

    def __init__(self, model: onnx.ModelProto, written: bytes | None = None) -> None:
        stored = storing(model)
        self._session = ort.session(written if written is not None and stored is model else stored)
        self.input_names = tuple(item.name for item in self._session.get_inputs())
        self.output_names = tuple(item.name for item in model.graph.output)
        self.description = f"onnxruntime {ort.version()}"

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return ort.run_session(self._session, feed, self.output_names)
