"""ONNX Runtime as an engine. A provider that was asked for and silently fell back is an error here."""

import os
import shutil
import tempfile
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..bundle.kernel_times import kernel_times, read_events
from ..errors import EngineError
from .cores import threads_for
from .engine import Engine

CPU = "CPUExecutionProvider"
#: ONNX Runtime's names of types; what is not listed is its own name.
_NUMPY = {
    "tensor({})".format(name): {"float": "float32", "double": "float64"}.get(name, name)
    for name in "float double float16 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool".split()
}
#: Waking a thread for each operator takes a good part of that.
LITTLE_S = 2e-3
#: Runs after the first, which is slower.
TRIED_RUNS = 2
_LEVELS = {"all": "ORT_ENABLE_ALL", "basic": "ORT_ENABLE_BASIC", "disabled": "ORT_DISABLE_ALL"}


class OrtEngine(Engine):
    """An ONNX model in an ONNX Runtime session.

    Parameters
    ----------
    model : bytes or path
    providers : sequence of str
        Execution providers in order of preference; every one of them has to be there.
    threads : int or None
        Threads within an operator; 0: one for each core that this process may use. None: the same, but one in all where
        the model takes so little time that the others would be woken for nothing. That is tried, and another number of
        threads adds numbers up in another order.
    level : {"all", "basic", "disabled"}
        Graph optimization.
    profile : bool
        Every kernel is timed, for `kernels`.

    Raises
    ------
    EngineError
        If ONNX Runtime is missing, refuses the model, or does not use a provider that was asked for.
    """

    def __init__(
        self,
        model: Union[bytes, str, "os.PathLike[str]"],
        providers: Sequence[str] = (CPU,),
        threads: Optional[int] = 0,
        level: str = "all",
        profile: bool = False,
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as exc:
            raise EngineError("ONNX Runtime is not installed", hint="pip install 'coachc[cpu]'") from exc
        # Asked before the session is made: the session itself would only warn and take the CPU.
        _check_providers(providers, ort.get_available_providers())
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
        options.intra_op_num_threads = threads_for(threads or 0)
        # Threads that spin between two runs take the cores from the program, and from the other half on one machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._folder = tempfile.mkdtemp(prefix="coachc-profile-") if profile else None
        if self._folder is not None:
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(self._folder, "ort")
        source = model if isinstance(model, bytes) else os.fspath(model)

        def session() -> Any:
            try:
                return ort.InferenceSession(source, options, providers=list(providers))
            except Exception as exc:  # ONNX Runtime's exceptions share no public base class
                raise EngineError(f"ONNX Runtime refuses the model: {exc}") from exc

        self._session: Any = session()
        _check_providers(providers, self._session.get_providers())
        if threads is None and not profile and _takes_little(self._session):
            options.intra_op_num_threads = 1
            self._session = session()
        self.input_names = tuple(value.name for value in self._session.get_inputs())
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self.version = str(ort.__version__)
        #: Name, shape (texts and None where an axis is open) and NumPy type of each input.
        self.inputs = tuple((v.name, tuple(v.shape), _NUMPY.get(v.type, "float32")) for v in self._session.get_inputs())
        self.description = f"onnxruntime {ort.__version__} {providers[0]}"

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        try:
            outputs = self._session.run(None, dict(feed))
        except Exception as exc:
            raise EngineError(f"ONNX Runtime failed: {exc}") from exc
        return dict(zip(self.output_names, outputs))

    def kernels(self) -> Tuple[Dict[str, List[float]], List[float]]:
        """Seconds of each run of every kernel, and of every run; of an engine that was made to be profiled, once."""
        assert self._folder is not None
        try:
            return kernel_times(read_events(self._session.end_profiling()))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _takes_little(session: Any) -> bool:
    """Whether a run takes less than `LITTLE_S`; not tried with inputs whose shapes are open."""
    inputs = session.get_inputs()
    if not inputs or any(not isinstance(axis, int) for value in inputs for axis in value.shape):
        return False
    feed = {value.name: np.zeros(value.shape, _NUMPY.get(value.type, "float32")) for value in inputs}
    for _ in range(1 + TRIED_RUNS):
        start_s = time.perf_counter()
        try:
            session.run(None, feed)
        except Exception:  # zeros may be no input for it
            return False
        taken_s = time.perf_counter() - start_s
        if taken_s < LITTLE_S:
            return True
    return False


def _check_providers(wanted: Sequence[str], found: Sequence[str]) -> None:
    for provider in wanted:
        if provider not in found:
            raise EngineError(
                "asked for {}, got {}".format(provider, ", ".join(found)),
                hint=f"install the ONNX Runtime that has it, or ask for {CPU}",
            )
