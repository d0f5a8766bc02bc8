"""Which engine a program runs its half with: ONNX Runtime, or TensorRT. Neither ever stands in for the other."""

from typing import Any, Callable, Optional, Sequence

from ..bundle.store import Bundle
from ..errors import UsageError
from .engine import Engine

#: ort: ONNX Runtime with the providers asked for. trt: TensorRT, which looks up or builds an engine for this GPU.
ENGINES = ("ort", "trt")


def factory_of(
    engine: str,
    bundle: Bundle,
    side: str,
    otherwise: Callable[[bytes, Sequence[str]], Engine],
    cache: Optional[str] = None,
) -> Callable[[bytes, Sequence[str]], Engine]:
    """What makes engines of a bundle's artefacts.

    Parameters
    ----------
    engine : {"ort", "trt"}
    bundle : Bundle
        Opened, and its signature checked where that is asked for.
    side : {"device", "cloud"}
    otherwise : callable
        What "ort" makes them with.
    cache : str, optional
        Folder of engines that were built here.

    Raises
    ------
    UsageError
        There is no such engine.
    """
    if engine == "ort":
        return otherwise
    if engine != "trt":
        raise UsageError(f"there is no engine '{engine}'", hint="one of " + ", ".join(ENGINES))
    from .trt_factory import TrtFactory

    return TrtFactory(bundle, side, cache)


def add_arguments(parser: Any) -> None:
    """``--engine`` and ``--engine-cache``, the same for both programs."""
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="trt: TensorRT; default %(default)s")
    parser.add_argument("--engine-cache", metavar="DIR", help="where --engine trt keeps what it built")
