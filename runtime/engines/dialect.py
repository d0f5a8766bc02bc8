"""TensorRT's Python API behind one small interface.

Three dialects, each in a file of its own: 8.2 (JetPack 4.6), 8.5 to 10 (JetPack 5 and 6), and 11, which TensorRT-RTX
speaks too. What is the same in all of them is here; `load_dialect` finds the one for the TensorRT that is there.
`tests/data` holds the names each release really has, and every dialect is run against exactly those.
"""

import abc
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import EngineError
from ..programs import command_of
from .onnx_nodes import node_names, open_inputs

#: (severity: "INTERNAL_ERROR", "ERROR", "WARNING", "INFO" or "VERBOSE", message)
Sink = Callable[[str, str], None]

#: TensorRT's DataType -> numpy's name; other types do not leave or enter an engine of ours.
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}

#: What TensorRT and CUDA say when memory was short; less workspace may help. A tactic that lacks workspace is no such
#: thing: there less workspace makes it worse.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|requested amount of (gpu )?memory|memoryallocation|bad_alloc|insufficient memory"
    r"|failed to allocate",
    re.IGNORECASE,
)


class Settings(NamedTuple):
    """What a build is asked for.

    Attributes
    ----------
    fp16, int8 : bool
        Precisions TensorRT may choose. Nothing to dialect 11, where the graph's own types say it.
    workspace_bytes : int
        Limit of scratch memory; 0 leaves TensorRT's own.
    compute_capability : str
        Such as "8.6": build for that GPU and not for the one that is here. TensorRT-RTX only.
    opt_batch, max_batch : int
        Of models that leave the tasks' axis of their inputs open: the number of tasks that is to be fastest, and the
        largest. The smallest is 1.
    """

    fp16: bool = False
    int8: bool = False
    workspace_bytes: int = 0
    compute_capability: str = ""
    opt_batch: int = 1
    max_batch: int = 1


class IoTensor(NamedTuple):
    """One input or output of an engine; `dtype` is numpy's name.

    Where the engine leaves an axis open (`is_open`), which has one row a task, `shape` is that of one task.
    """

    name: str
    is_input: bool
    dtype: str
    shape: Tuple[int, ...]
    is_open: bool = False


#: By input: its smallest, best and largest shape.
Ranges = Dict[str, Tuple[Tuple[int, ...], Tuple[int, ...], Tuple[int, ...]]]


class Built(NamedTuple):
    """A plan, and what was timed on the way; `timing_cache` is empty where none is kept."""

    plan: bytes
    timing_cache: bytes


class ShortOfMemory(EngineError):
    """A build failed for memory."""


class Dialect(abc.ABC):
    """TensorRT as a build and an engine need it.

    Parameters
    ----------
    trt : module
        `tensorrt`, or `tensorrt_rtx`.

    Attributes
    ----------
    product : str
        "TensorRT" or "TensorRT-RTX".
    version : str
        Of the module.
    """

    #: Releases it is for, as (first, last) major and minor.
    releases = ((0, 0), (0, 0))
    #: Whether the graph's own types alone say which precision a node has.
    typed = False

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.product = "TensorRT-RTX" if trt.__name__.startswith("tensorrt_rtx") else "TensorRT"
        self.version = str(trt.__version__)

    # What differs.

    @abc.abstractmethod
    def network_flags(self) -> int:
        """What `create_network` is given."""

    @abc.abstractmethod
    def configure(self, builder: Any, config: Any, settings: Settings) -> None:
        """Set precision, workspace and target on a builder's config.

        Raises
        ------
        EngineError
            The release or the GPU cannot do what is asked for.
        """

    @abc.abstractmethod
    def tensors(self, engine: Any) -> List[IoTensor]:
        """Inputs and outputs of an engine, in its own order."""

    @abc.abstractmethod
    def set_shape(self, context: Any, tensors: List[IoTensor], index: int) -> bool:
        """Tell a context the shape of input number `index` of `tensors`, which the engine leaves open."""

    @abc.abstractmethod
    def enqueue(self, context: Any, tensors: List[IoTensor], addresses: Mapping[str, int], stream: int) -> bool:
        """Put one inference on a CUDA stream.

        Parameters
        ----------
        context : IExecutionContext
        tensors : list of IoTensor
            As `tensors` gave them.
        addresses : mapping of str to int
            Device address of each.
        stream : int
            Handle.
        """

    def execute(self, context: Any, tensors: List[IoTensor], addresses: Mapping[str, int]) -> bool:
        """One inference, and wait for it: a profiler of TensorRT 8.2 hears of no other."""
        return bool(context.execute_v2([int(addresses[tensor.name]) for tensor in tensors]))

    @abc.abstractmethod
    def trtexec(
        self, onnx: str, plan: str, settings: Settings, timing_cache: str = "", *, ranges: Optional[Ranges] = None
    ) -> List[str]:
        """The same build as a command line; `ranges` as `shape_ranges` gives them."""

    def keeps_timings(self) -> bool:
        """Whether what was timed in one build helps the next."""
        return True

    # What is the same.

    def build(self, model: bytes, settings: Settings, sink: Sink, timing_cache: bytes = b"") -> Built:
        """A plan from an ONNX model.

        Parameters
        ----------
        model : bytes
            Weights inside.
        settings : Settings
        sink : callable
            Gets every line of TensorRT's log.
        timing_cache : bytes
            Of earlier builds; one that does not fit is left aside.

        Raises
        ------
        ShortOfMemory
            TensorRT says so; less workspace may help.
        EngineError
            The parser refuses a node, or the build fails.
        """
        trt = self.trt
        errors: List[str] = []
        logger = self.logger(_and_errors(sink, errors))
        builder = self._made(trt.Builder, (logger,), errors)
        network = builder.create_network(self.network_flags())
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model):
            raise self._refusal(parser, model, errors)
        config = builder.create_builder_config()
        self.configure(builder, config, settings)
        self._set_ranges(builder, config, shape_ranges(model, settings))
        cache = self._timing_cache(config, timing_cache) if self.keeps_timings() else None
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            text = "; ".join(errors[-3:]) or "it does not say why"
            kind = ShortOfMemory if any(_OUT_OF_MEMORY.search(line) for line in errors) else EngineError
            raise kind(f"{self.product} {self.version} built no engine: {text}", errors[-10:], _hint(text))
        timed = bytes(cache.serialize()) if cache is not None else b""
        return Built(bytes(plan), timed)

    def context(self, engine: Any, tensors: List[IoTensor]) -> Any:
        """What runs an engine, one task at a time; None where TensorRT makes none."""
        context = engine.create_execution_context()
        for index, tensor in enumerate(tensors):
            if context is not None and tensor.is_open and tensor.is_input:
                if not self.set_shape(context, tensors, index):
                    raise EngineError(f"the engine does not take '{tensor.name}' of shape {list(tensor.shape)}")
        return context

    def _set_ranges(self, builder: Any, config: Any, ranges: Ranges) -> None:
        if not ranges:
            return
        profile = builder.create_optimization_profile()
        try:
            for name, (least, best, most) in ranges.items():
                profile.set_shape(name, least, best, most)
        except (RuntimeError, ValueError) as exc:
            raise EngineError(f"{self.product} {self.version} does not take the range of '{name}': {exc}") from exc
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"{self.product} {self.version} does not take the ranges of shapes {ranges}")

    def logger(self, sink: Sink) -> Any:
        """A TensorRT logger that hands everything to `sink`."""
        base = self.trt.ILogger

        class Logger(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                sink(str(severity).rpartition(".")[2], msg)

        return Logger()

    def profiler(self, report: Callable[[str, float], None]) -> Any:
        """A TensorRT profiler that hands on every layer's name and seconds."""
        base = self.trt.IProfiler

        class Profiler(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                report(layer_name, ms / 1e3)

        return Profiler()

    def deserialize(self, plan: bytes, sink: Sink) -> Tuple[Any, Any]:
        """The runtime and the engine of a plan; both have to be kept while the engine is used.

        Raises
        ------
        EngineError
            TensorRT does not take it.
        """
        errors: List[str] = []
        runtime = self._made(self.trt.Runtime, (self.logger(_and_errors(sink, errors)),), errors)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            text = "; ".join(errors[-3:]) or "it does not say why"
            raise EngineError(
                f"{self.product} {self.version} does not load the engine: {text}", errors[-10:], _hint(text)
            )
        return runtime, engine

    def io_tensor(self, name: str, is_input: bool, dtype: Any, shape: Any) -> IoTensor:
        """One of `tensors`, checked: a known type, one length that is open at most."""
        kind = str(dtype).rpartition(".")[2]
        lengths = tuple(int(length) for length in shape)
        if kind not in DTYPES:
            raise EngineError(f"tensor '{name}' of the engine is {kind}", hint="expected " + ", ".join(DTYPES))
        _check_open(f"tensor '{name}' of the engine", lengths)
        one_task = tuple(1 if length < 0 else length for length in lengths)
        return IoTensor(name, is_input, DTYPES[kind], one_task, -1 in lengths)

    def _made(self, make: Callable[..., Any], arguments: Tuple[Any, ...], errors: List[str]) -> Any:
        try:
            return make(*arguments)
        except TypeError as exc:  # pybind's way to say that a factory gave nothing, as it does without a driver
            text = "; ".join(errors[-3:]) or str(exc)
            raise EngineError(f"{self.product} {self.version} does not start: {text}", hint=_hint(text)) from exc

    def _timing_cache(self, config: Any, data: bytes) -> Any:
        for content in (data, b"") if data else (b"",):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return cache
        return None

    def _refusal(self, parser: Any, model: bytes, errors: List[str]) -> EngineError:
        reasons = []
        nodes = node_names(model)
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            place = int(error.node())
            known = nodes[place] if 0 <= place < len(nodes) else None
            name, operator = self.error_node(error)
            name, operator = name or (known.name if known else ""), operator or (known.operator if known else "")
            reason = " ".join(str(error.desc()).split())
            if len(reason) < 10:  # such as "false"
                reason = f"{error.code()}: {reason}"
            where = f"node '{name or '?'}' ({operator or '?'}), number {place}: " if place >= 0 or name else ""
            reasons.append(where + reason)
        reasons = reasons or errors[-3:] or ["it does not say why"]
        return EngineError(
            f"{self.product} {self.version} does not parse the model: {reasons[0]}",
            reasons[1:10],
            "coachc check says what else this target refuses; recompile for the TensorRT that is here",
        )

    def error_node(self, error: Any) -> Tuple[str, str]:
        """Name and operator of the node a parser error is about, where this release says it."""
        return "", ""


def shape_ranges(model: bytes, settings: Settings) -> Ranges:
    """By input that an ONNX model leaves open: its smallest, best and largest shape.

    Raises
    ------
    EngineError
        More than one axis is open.
    """
    ranges = {}
    for name, shape in open_inputs(model).items():
        _check_open(f"input '{name}' of the model", shape)
        least, best, most = (
            tuple(tasks if length < 0 else length for length in shape)
            for tasks in (1, settings.opt_batch, settings.max_batch)
        )
        ranges[name] = least, best, most
    return ranges


def _check_open(what: str, shape: Sequence[int]) -> None:
    if sum(length < 0 for length in shape) > 1:
        raise EngineError(
            f"{what} has the open shape {list(shape)}", hint="recompile: only the tasks' axis may be open"
        )


def range_words(ranges: Optional[Ranges]) -> List[str]:
    """trtexec's flags for them."""
    words = []
    for place, flag in enumerate(("min", "opt", "max")):
        shapes = [f"{name}:{'x'.join(map(str, three[place]))}" for name, three in (ranges or {}).items()]
        words += [f"--{flag}Shapes=" + ",".join(shapes)] if shapes else []
    return words


def _and_errors(sink: Sink, errors: List[str]) -> Sink:
    def both(severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR"):
            errors.append(" ".join(message.split()))
        sink(severity, message)

    return both


def _hint(text: str) -> str:
    if re.search(r"error:? ?35|no cuda-capable|driver|cuda initialization", text, re.IGNORECASE):
        return "a CUDA device and its driver are needed; --provider CPUExecutionProvider runs without one"
    if re.search(r"workspace", text, re.IGNORECASE):
        return "more scratch memory may help: " + command_of("build") + " BUNDLE --workspace MIB"
    if _OUT_OF_MEMORY.search(text):
        return "free memory on this machine, or give less to --workspace MIB"
    return ""


def parse_version(text: str) -> Tuple[int, int]:
    """Major and minor of "8.2.1.8"; (0, 0) if it is none."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)
