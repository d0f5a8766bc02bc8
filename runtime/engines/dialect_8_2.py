"""TensorRT 8.2 to 8.4: bindings by number, workspace as a property. JetPack 4.6 has 8.2.1."""

from typing import Any, List, Mapping, Optional

from ..errors import EngineError
from ..programs import command_of
from .dialect import Dialect, IoTensor, Ranges, Settings, range_words


class Dialect82(Dialect):
    """See the module."""

    releases = ((8, 0), (8, 4))

    def network_flags(self) -> int:
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)

    def configure(self, builder: Any, config: Any, settings: Settings) -> None:
        refuse_ahead_of_time(self, settings)
        if settings.workspace_bytes:
            config.max_workspace_size = settings.workspace_bytes
        set_precisions(self, builder, config, settings)

    def tensors(self, engine: Any) -> List[IoTensor]:
        found = []
        for index in range(engine.num_bindings):
            dtype, shape = engine.get_binding_dtype(index), engine.get_binding_shape(index)
            name, is_input = engine.get_binding_name(index), engine.binding_is_input(index)
            found.append(self.io_tensor(name, bool(is_input), dtype, shape))
        return found

    def set_shape(self, context: Any, tensors: List[IoTensor], index: int) -> bool:
        return bool(context.set_binding_shape(index, tensors[index].shape))

    def enqueue(self, context: Any, tensors: List[IoTensor], addresses: Mapping[str, int], stream: int) -> bool:
        return bool(context.execute_async_v2([int(addresses[tensor.name]) for tensor in tensors], stream))

    def trtexec(
        self, onnx: str, plan: str, settings: Settings, timing_cache: str = "", *, ranges: Optional[Ranges] = None
    ) -> List[str]:
        words = ["trtexec", "--onnx=" + onnx, "--saveEngine=" + plan] + precision_words(settings) + range_words(ranges)
        if settings.workspace_bytes:
            words.append(f"--workspace={settings.workspace_bytes >> 20}")
        return words + (["--timingCacheFile=" + timing_cache] if timing_cache else []) + ["--buildOnly"]


def set_precisions(dialect: Dialect, builder: Any, config: Any, settings: Settings) -> None:
    """FP16 and INT8 as flags of a config; refused where the GPU has none of that."""
    flags = dialect.trt.BuilderFlag
    for wanted, has, flag in (
        (settings.fp16, builder.platform_has_fast_fp16, flags.FP16),
        (settings.int8, builder.platform_has_fast_int8, flags.INT8),
    ):
        if wanted and not has:
            raise EngineError(
                "this GPU has no fast {}".format(str(flag).rpartition(".")[2]),
                hint="recompile for the GPU that is here",
            )
        if wanted:
            config.set_flag(flag)


def precision_words(settings: Settings) -> List[str]:
    """trtexec's flags for them."""
    return ["--fp16"] * settings.fp16 + ["--int8"] * settings.int8


def refuse_ahead_of_time(dialect: Dialect, settings: Settings) -> None:
    """Only TensorRT-RTX builds for a GPU that is not here."""
    if settings.compute_capability:
        raise EngineError(
            f"{dialect.product} {dialect.version} builds for the GPU it runs on, not for compute capability "
            + settings.compute_capability,
            hint="build on the target: " + command_of("build") + " BUNDLE",
        )
