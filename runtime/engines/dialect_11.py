"""TensorRT 11 and TensorRT-RTX: strongly typed only, so the graph says which precision each node has.

TensorRT-RTX also builds for a GPU that is not there, without a driver: its plan holds kernels that are finished on the
target.
"""

from typing import Any, List, Mapping, Optional, Tuple

from ..errors import EngineError
from .dialect import Dialect, IoTensor, Ranges, Settings, range_words
from .dialect_8_2 import refuse_ahead_of_time
from .dialect_8_5 import enqueue_named, named_tensors, named_trtexec, node_of, set_workspace


class Dialect11(Dialect):
    """See the module."""

    releases = ((11, 0), (11, 99))
    typed = True

    def network_flags(self) -> int:
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def keeps_timings(self) -> bool:
        # TensorRT-RTX chooses kernels on the target, when it loads the plan; its timing cache is deprecated.
        return self.product != "TensorRT-RTX"

    def configure(self, builder: Any, config: Any, settings: Settings) -> None:
        set_workspace(self, config, settings)
        if not settings.compute_capability:
            return
        if self.product != "TensorRT-RTX":
            refuse_ahead_of_time(self, settings)
        kind = self.trt.ComputeCapability
        wanted = "SM" + settings.compute_capability.replace(".", "")
        if wanted not in kind.__members__:
            raise EngineError(
                f"{self.product} {self.version} does not build for compute capability {settings.compute_capability}",
                hint="it builds for " + ", ".join(self.compute_capabilities()),
            )
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(kind.__members__[wanted], 0):
            raise EngineError(f"{self.product} {self.version} does not take {wanted}")

    def compute_capabilities(self) -> Tuple[str, ...]:
        """Of GPUs it builds for ahead of time; none with TensorRT itself."""
        if self.product != "TensorRT-RTX":
            return ()
        numbers = [name[2:] for name in self.trt.ComputeCapability.__members__ if name.startswith("SM")]
        return tuple(f"{digits[:-1]}.{digits[-1]}" for digits in sorted(numbers, key=int))

    def tensors(self, engine: Any) -> List[IoTensor]:
        return named_tensors(self, engine)

    def set_shape(self, context: Any, tensors: List[IoTensor], index: int) -> bool:
        return bool(context.set_input_shape(tensors[index].name, tensors[index].shape))

    def enqueue(self, context: Any, tensors: List[IoTensor], addresses: Mapping[str, int], stream: int) -> bool:
        return enqueue_named(context, tensors, addresses, stream)

    def trtexec(
        self, onnx: str, plan: str, settings: Settings, timing_cache: str = "", *, ranges: Optional[Ranges] = None
    ) -> List[str]:
        words = named_trtexec(onnx, plan, range_words(ranges), settings, timing_cache) + ["--skipInference"]
        return ["tensorrt_rtx"] + words[1:] if self.product == "TensorRT-RTX" else words

    def error_node(self, error: Any) -> Tuple[str, str]:
        return node_of(error)
