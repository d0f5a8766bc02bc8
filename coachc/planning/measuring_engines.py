"""Engines that a model is measured with on this machine: ONNX Runtime on the CPU, or TensorRT on the GPU."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from coachc.emit.half_precision import in_half_precision
from coachc.frontend import ort
from coachc.runtime.bundle.kernel_times import kernel_times, read_events
from coachc.runtime.engines.build_engine import available_bytes, find_or_build, workspace_bytes
from coachc.runtime.engines.cuda import shared_gpu
from coachc.runtime.engines.dialect import Settings
from coachc.runtime.engines.engine_cache import EngineCache
from coachc.runtime.engines.load_dialect import load_dialect
from coachc.runtime.engines.trt_engine import TrtEngine

Arrays = Mapping[str, np.ndarray]
#: One run of a model; gives its outputs by name.
Run = Callable[[Arrays], Arrays]


class MeasuringEngine(ABC):
    """What loads a model and times its layers.

    Attributes
    ----------
    backend, precision : str
        As a measured profile states them.
    """

    backend: str
    precision: str

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Of the tools, by name."""

    @abstractmethod
    def load(self, model: onnx.ModelProto) -> Run:
        """A model, ready to run.

        Raises
        ------
        coachc.errors.CoachError, runtime.errors.EngineError
            The engine does not take it.
        """

    @abstractmethod
    def layers(self, model: onnx.ModelProto, feed: Arrays, runs: int) -> dict[str, list[float]]:
        """Seconds of each run of every layer, by the engine's name of it."""


class OrtMeasuring(MeasuringEngine):
    """ONNX Runtime on this machine's CPU, in float32."""

    backend, precision = "onnxruntime", "fp32"

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": ort.version()}

    def load(self, model: onnx.ModelProto) -> Run:
        session = ort.session(model, level="all")
        names = [value.name for value in session.get_outputs()]
        return lambda feed: dict(zip(names, ort.run_sample(session, feed), strict=True))

    def layers(self, model: onnx.ModelProto, feed: Arrays, runs: int) -> dict[str, list[float]]:
        with tempfile.TemporaryDirectory() as folder:
            session = ort.session(model, level="all", profile_prefix=str(Path(folder) / "ort"))
            for _ in range(runs):
                ort.run_sample(session, feed)
            return kernel_times(read_events(session.end_profiling()))[0]


class TrtMeasuring(MeasuringEngine):
    """TensorRT on this machine's GPU; engines are built once and kept.

    Parameters
    ----------
    precision : {"fp16", "fp32"}
    cache : str, optional
        Folder of engines.

    Raises
    ------
    runtime.errors.EngineError
        There is no TensorRT, or no GPU.
    """

    backend = "tensorrt"

    def __init__(self, precision: str = "fp16", cache: str | None = None) -> None:
        self.precision = precision
        self._dialect, self._gpu, self._cache = load_dialect(), shared_gpu(), EngineCache(cache)

    def versions(self) -> dict[str, str]:
        return {"tensorrt": self._dialect.version}

    def load(self, model: onnx.ModelProto) -> Run:
        return self._engine(model).run

    def layers(self, model: onnx.ModelProto, feed: Arrays, runs: int) -> dict[str, list[float]]:
        engine = self._engine(model)
        times: dict[str, list[float]] = {}
        engine.watch_layers(lambda name, seconds: times.setdefault(name, []).append(seconds))
        for _ in range(runs):
            engine.run(feed)
        return times

    def _engine(self, model: onnx.ModelProto) -> TrtEngine:
        half = self.precision == "fp16"
        if half and self._dialect.typed:
            model, _ = in_half_precision(model, "the model", {}, option="--precision")
        quantized = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)
        gpu = self._gpu
        settings = Settings(half, quantized, workspace_bytes(available_bytes(), gpu.free_bytes()))
        data = model.SerializeToString()
        with gpu.current():  # TensorRT times tactics on the device
            found = find_or_build(self._dialect, data, settings, self._cache, gpu.name, gpu.compute_capability)
        return TrtEngine(found.plan, self._dialect, gpu)
