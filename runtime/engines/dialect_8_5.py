"""TensorRT 8.5 to 10: tensors by name, memory pools. JetPack 5 has 8.5, JetPack 6 has 10.3."""

from typing import Any, List, Mapping, Optional, Tuple

from ..errors import EngineError
from .dialect import Dialect, IoTensor, Ranges, Settings, parse_version, range_words
from .dialect_8_2 import precision_words, refuse_ahead_of_time, set_precisions


class Dialect85(Dialect):
    """See the module."""

    releases = ((8, 5), (10, 99))

    def network_flags(self) -> int:
        # Explicit batches are the only ones since 10; the flag is still there and means nothing.
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)

    def configure(self, builder: Any, config: Any, settings: Settings) -> None:
        refuse_ahead_of_time(self, settings)
        set_workspace(self, config, settings)
        set_precisions(self, builder, config, settings)

    def tensors(self, engine: Any) -> List[IoTensor]:
        return named_tensors(self, engine)

    def set_shape(self, context: Any, tensors: List[IoTensor], index: int) -> bool:
        return bool(context.set_input_shape(tensors[index].name, tensors[index].shape))

    def enqueue(self, context: Any, tensors: List[IoTensor], addresses: Mapping[str, int], stream: int) -> bool:
        return enqueue_named(context, tensors, addresses, stream)

    def trtexec(
        self, onnx: str, plan: str, settings: Settings, timing_cache: str = "", *, ranges: Optional[Ranges] = None
    ) -> List[str]:
        # --buildOnly became --skipInference in 8.6.
        last = "--buildOnly" if parse_version(self.version) < (8, 6) else "--skipInference"
        return named_trtexec(onnx, plan, precision_words(settings) + range_words(ranges), settings, timing_cache) + [
            last
        ]

    def error_node(self, error: Any) -> Tuple[str, str]:
        return node_of(error) if parse_version(self.version) >= (10, 0) else ("", "")


def set_workspace(dialect: Dialect, config: Any, settings: Settings) -> None:
    """Limit the scratch memory of a config."""
    if settings.workspace_bytes:
        config.set_memory_pool_limit(dialect.trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)


def named_tensors(dialect: Dialect, engine: Any) -> List[IoTensor]:
    """Inputs and outputs of an engine that knows them by name."""
    found = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == dialect.trt.TensorIOMode.INPUT
        found.append(dialect.io_tensor(name, is_input, engine.get_tensor_dtype(name), engine.get_tensor_shape(name)))
    return found


def enqueue_named(context: Any, tensors: List[IoTensor], addresses: Mapping[str, int], stream: int) -> bool:
    """One inference of a context that is given addresses by name."""
    for tensor in tensors:
        if not context.set_tensor_address(tensor.name, int(addresses[tensor.name])):
            raise EngineError(f"TensorRT takes no address for tensor '{tensor.name}'")
    return bool(context.execute_async_v3(stream))


def named_trtexec(onnx: str, plan: str, precision: List[str], settings: Settings, timing_cache: str) -> List[str]:
    """The words of trtexec that 8.5 and later share."""
    words = ["trtexec", "--onnx=" + onnx, "--saveEngine=" + plan] + precision
    if settings.workspace_bytes:
        words.append(f"--memPoolSize=workspace:{settings.workspace_bytes >> 20}")
    return words + (["--timingCacheFile=" + timing_cache] if timing_cache else [])


def node_of(error: Any) -> Tuple[str, str]:
    """Name and operator of the node a parser error is about."""
    return str(error.node_name()), str(error.node_operator())
