"""ONNX Runtime as an engine. A provider that was asked for and silently fell back is an error here."""

import os
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np

from ..errors import EngineError
from .engine import Engine

CPU = "CPUExecutionProvider"
_LEVELS = {"all": "ORT_ENABLE_ALL", "basic": "ORT_ENABLE_BASIC", "disabled": "ORT_DISABLE_ALL"}


class OrtEngine(Engine):
    """An ONNX model in an ONNX Runtime session.

    Parameters
    ----------
    model : bytes or path
    providers : sequence of str
        Execution providers in order of preference; every one of them has to be there.
    threads : int
        Threads within an operator; 0 lets ONNX Runtime choose.
    level : {"all", "basic", "disabled"}
        Graph optimization.

    Raises
    ------
    EngineError
        If ONNX Runtime is missing, refuses the model, or does not use a provider that was asked for.
    """

    def __init__(
        self,
        model: Union[bytes, str, "os.PathLike[str]"],
        providers: Sequence[str] = (CPU,),
        threads: int = 0,
        level: str = "all",
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as exc:
            raise EngineError("ONNX Runtime is not installed", hint="pip install 'coachc[cpu]'") from exc
        # Asked before the session is made: the session itself would only warn and take the CPU.
        _check_providers(providers, ort.get_available_providers())
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else os.fspath(model)
        try:
            self._session: Any = ort.InferenceSession(source, options, providers=list(providers))
        except Exception as exc:  # ONNX Runtime's exceptions share no public base class
            raise EngineError(f"ONNX Runtime refuses the model: {exc}") from exc
        _check_providers(providers, self._session.get_providers())
        self.input_names = tuple(value.name for value in self._session.get_inputs())
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self.description = f"onnxruntime {ort.__version__} {providers[0]}"

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        try:
            outputs = self._session.run(None, dict(feed))
        except Exception as exc:
            raise EngineError(f"ONNX Runtime failed: {exc}") from exc
        return dict(zip(self.output_names, outputs))


def _check_providers(wanted: Sequence[str], found: Sequence[str]) -> None:
    for provider in wanted:
        if provider not in found:
            raise EngineError(
                "asked for {}, got {}".format(provider, ", ".join(found)),
                hint=f"install the ONNX Runtime that has it, or ask for {CPU}",
            )
