"""The parser of TensorRT for RTX, which works without a GPU."""

from __future__ import annotations

from typing import Any

import onnx


class Parser:
    """The parser of TensorRT for RTX, silent."""

    def __init__(self) -> None:
        import tensorrt_rtx as trt

        class Quiet(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                pass

        self._trt = trt
        self._logger = Quiet()
        self._builder = trt.Builder(self._logger)

    def takes(self, proto: onnx.ModelProto) -> bool:
        return bool(self._new().parse(proto.SerializeToString()))

    def knows(self, operator: str) -> bool:
        return bool(self._new().supports_operator(operator))

    def _new(self) -> Any:
        self._network = self._builder.create_network(1)
        return self._trt.OnnxParser(self._network, self._logger)
