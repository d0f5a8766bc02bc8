"""The dialect of the TensorRT that is here; nothing imports `tensorrt` before this is asked."""

import importlib
from typing import Any, Optional

from ..errors import EngineError
from .dialect import Dialect, parse_version
from .dialect_8_2 import Dialect82
from .dialect_8_5 import Dialect85
from .dialect_11 import Dialect11

DIALECTS = (Dialect82, Dialect85, Dialect11)


def dialect_of(trt: Any) -> Dialect:
    """The dialect a module speaks.

    Raises
    ------
    EngineError
        None of them is for its release.
    """
    if trt.__name__.startswith("tensorrt_rtx"):
        return Dialect11(trt)
    release = parse_version(str(trt.__version__))
    for kind in DIALECTS:
        if kind.releases[0] <= release <= kind.releases[1]:
            return kind(trt)
    known = ", ".join("{}.{} to {}.{}".format(*(kind.releases[0] + kind.releases[1])) for kind in DIALECTS)
    raise EngineError(f"TensorRT {trt.__version__} is not supported", hint="expected " + known)


def load_dialect(module: Optional[str] = None) -> Dialect:
    """The dialect of the TensorRT that is installed.

    Parameters
    ----------
    module : str, optional
        "tensorrt" or "tensorrt_rtx"; the first of them that is there, if not given.

    Raises
    ------
    EngineError
        There is none, or none that can be loaded.
    """
    wanted = (module,) if module else ("tensorrt", "tensorrt_rtx")
    failures = []
    for name in wanted:
        try:
            return dialect_of(importlib.import_module(name))
        except ImportError as exc:
            failures.append(f"{name}: {exc}")
    raise EngineError(
        "TensorRT is not installed for this Python",
        failures,
        "on a Jetson it comes with JetPack (python3-libnvinfer); elsewhere pip install tensorrt, or tensorrt-rtx",
    )
