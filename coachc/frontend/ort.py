"""ONNX Runtime, started one way everywhere: CPU, quiet, no fallback.

Decides nothing about the model. Whoever needs a run, import itself, calibration or `coachc check`, comes here, so that
a missing ONNX Runtime and a model it refuses are reported in the same words.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx

from coachc.errors import ModelError, ToolchainError
from coachc.frontend import walk
from coachc.runtime.engines.cores import threads_for

if TYPE_CHECKING:
    import onnxruntime

Level = Literal["disabled", "basic", "all"]

# One run on one input. Vision models need seconds at most, but a Loop may count to 2**63.
LIMIT_S = 300.0

# Fatal only. ONNX Runtime writes errors to stderr and raises them as well; the exception is enough.
_QUIET = 4


def available() -> bool:
    """Whether onnxruntime can be imported; the answer costs no import."""
    return find_spec("onnxruntime") is not None


@cache
def _module() -> Any:
    try:
        import onnxruntime
    except ImportError as exc:
        raise ToolchainError(
            "onnxruntime is not installed, and this step has to run the model", hint="pip install 'coachc[cpu]'"
        ) from exc
    onnxruntime.set_default_logger_severity(_QUIET)
    return onnxruntime


def version() -> str:
    """Version of the installed ONNX Runtime."""
    return str(_module().__version__)


def session(
    model: onnx.ModelProto | bytes, level: Level = "disabled", *, threads: int = 0, profile_prefix: str = ""
) -> onnxruntime.InferenceSession:
    """Load a model on the CPU.

    Parameters
    ----------
    model : ModelProto or bytes
    level : {"disabled", "basic", "all"}
        Graph optimizations. "disabled" runs the model as written.
    threads : int
        Of one run; 0: one for each core. 1 where several runs go on at once: together they are faster.
    profile_prefix : str
        Start of the path of a profile of every kernel; no profile when empty.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    ToolchainError
        onnxruntime is not installed.
    ModelError
        ONNX Runtime refuses the model; the context has its own words, which name the node.
    """
    runtime = _module()
    options = runtime.SessionOptions()
    options.log_severity_level = _QUIET
    # Threads that spin while they wait cost more than they save wherever something else runs too.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads_for(threads)
    if profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = {
        "disabled": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "all": levels.ORT_ENABLE_ALL,
    }[level]
    data = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        # Its own fallback would print to stdout and try the CPU, which is what just failed, again.
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as exc:  # its exception classes share no base but Exception
        raise ModelError(
            f"ONNX Runtime {runtime.__version__} cannot load the model",
            context=(f"it says      {_one_line(exc)}", *_blamed(data, str(exc))),
            hint="replace the named operator, or re-export with an opset that ONNX Runtime implements",
        ) from exc


def run(
    model: onnx.ModelProto | bytes,
    feed: Mapping[str, np.ndarray],
    outputs: Sequence[str] | None = None,
    level: Level = "disabled",
) -> dict[str, np.ndarray]:
    """Load a model and run it once.

    Parameters
    ----------
    model : ModelProto or bytes
    feed : mapping of str to ndarray
        One array for each graph input.
    outputs : sequence of str, optional
        Which graph outputs to return; all of them when absent.
    level : {"disabled", "basic", "all"}

    Returns
    -------
    dict of str to ndarray
        In the order of `outputs`.

    Raises
    ------
    ToolchainError, ModelError
        As `session`; ModelError too when the run itself fails, or takes longer than `LIMIT_S`.
    """
    return run_session(session(model, level), feed, outputs)


def run_session(
    loaded: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
) -> dict[str, Any]:
    """Run a loaded model once; see `run`."""
    names = [output.name for output in loaded.get_outputs()] if outputs is None else list(outputs)
    with _run_options() as options:
        return dict(zip(names, loaded.run(names, dict(feed), options), strict=True))


def shapes_of_run(loaded: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Shapes of a loaded model's outputs, all of them tensors, in one run; types that NumPy lacks too. See `run`."""
    names = [output.name for output in loaded.get_outputs()]
    held = {name: _module().OrtValue.ortvalue_from_numpy(array) for name, array in feed.items()}
    with _run_options() as options:
        values = loaded.run_with_ort_values(names, held, options)
    return {name: tuple(value.shape()) for name, value in zip(names, values, strict=True)}


@contextmanager
def _run_options() -> Iterator[Any]:
    """Options of a run that is stopped after `LIMIT_S`; what ONNX Runtime raises becomes a ModelError."""
    options = _module().RunOptions()
    options.log_severity_level = _QUIET
    stop = threading.Timer(LIMIT_S, setattr, (options, "terminate", True))
    stop.daemon = True
    stop.start()
    try:
        yield options
    except Exception as exc:
        if options.terminate:
            raise ModelError(
                f"the model was stopped after running for {LIMIT_S:g} s",
                hint="a Loop in it may not end, or not on random input: export the model without it",
            ) from exc
        raise _failed(exc) from exc
    finally:
        stop.cancel()


def run_sample(loaded: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of a loaded model on one of many samples; `feed` may hold more than the model takes.

    As `run_session`, without its limit of time: a thread a run would be felt where runs take less than a millisecond.
    """
    try:
        outputs: list[np.ndarray] = loaded.run(None, {item.name: feed[item.name] for item in loaded.get_inputs()})
    except Exception as exc:
        raise _failed(exc) from exc
    return outputs


def _failed(exc: Exception) -> ModelError:
    """What ONNX Runtime raises while it runs, with the node where it names one."""
    said = _one_line(exc)
    found = re.search(r"while running (\w+) node\. Name:'([^']*)' Status Message: (.*)", said)
    if found is None:
        return ModelError("ONNX Runtime failed while running the model", context=(f"it says      {said}",))
    kind, name, reason = found.groups()
    return ModelError(
        f"node '{name}' ({kind}) fails when the model runs",
        context=(f"ONNX Runtime says  {reason}",),
        hint="try the model in onnxruntime on the same input; mend the node, or give inputs that it can take",
    )


def seeded_inputs(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    """Random arrays for every graph input; the same seed gives the same arrays.

    Floats are standard normal, 8-bit integers span their range (images), bool is a fair coin, and wider integers are 0
    or 1, because they are usually indices or lengths and those are valid nearly everywhere.

    Parameters
    ----------
    model : ModelProto
        With static input shapes; an axis that has a name and no size, as the batch of open halves, gets 1.
    seed : int

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ModelError
        An input is not a tensor, its shape is not static, or NumPy has no such type.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    feed = {}
    for position, value in enumerate(model.graph.input):
        if value.name not in defaults:
            feed[value.name] = _random_array(value, np.random.default_rng([seed, position]))
    return feed


def runnable_inputs(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    """`seeded_inputs` on which a model runs: 0 for wide integers where it does not take 0 or 1, as an axis may be.

    Raises
    ------
    ModelError
        As `seeded_inputs` does.
    """
    feed = seeded_inputs(model, seed)
    wide = {name for name, array in feed.items() if array.dtype.kind in "iu" and array.dtype.itemsize > 1}
    if wide:
        try:
            run_sample(session(model), feed)
        except ModelError:
            feed.update({name: np.zeros_like(feed[name]) for name in wide})
    return feed


def _random_array(value: onnx.ValueInfoProto, rng: np.random.Generator) -> np.ndarray:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.WhichOneof("value") for dim in tensor.shape.dim):
        raise ModelError(f"graph input '{value.name}' has no static shape, so no random input can be made for it")
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else 1 for dim in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (int(info.min), int(info.max)) if dtype.itemsize == 1 else (0, 1)
        return rng.integers(low, high, shape, endpoint=True).astype(dtype)
    if dtype in (np.float16, np.float32, np.float64):  # some of the 8-bit floats are of kind "f", too
        return rng.standard_normal(shape).astype(dtype)
    raise ModelError(f"graph input '{value.name}' is {dtype.name}, which NumPy cannot feed to ONNX Runtime")


def _blamed(data: bytes, message: str) -> tuple[str, ...]:
    """The first node of an operator that the message names only as domain:operator, without the node."""
    match = re.search(r"([\w.]*):(\w+)\(-?\d+\) is not a registered", message)
    if match is None:
        return ()
    graph = onnx.ModelProto.FromString(data).graph
    named = (node for node in walk.nodes(graph) if (node.domain, node.op_type) == match.groups())
    return tuple(f"found        {walk.label(node)}" for node in islice(named, 1))


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())
