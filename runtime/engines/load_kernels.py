"""The kernels as a module of the CUDA driver: compiled ahead if they lie here, as in an image, else by nvcc.

Compiled ahead means two files beside this one: `kernels.cu`, what ``python3 -m runtime.engines.kernels`` printed, and
`kernels.fatbin`, what nvcc made of it. Binaries of another source are left aside.
"""

import os
from typing import Any

from ..errors import EngineError
from .kernels import SOURCE, translation_unit

HERE = os.path.dirname(os.path.abspath(__file__))


def load_kernels(driver: Any, folder: str = HERE) -> Any:
    """A module with ``get_function``.

    Parameters
    ----------
    driver : module
        `pycuda.driver`; a context is current.
    folder : str
        Where `kernels.cu` and `kernels.fatbin` may lie.

    Raises
    ------
    EngineError
        There is neither a binary for this GPU nor a compiler.
    """
    binary = os.path.join(folder, "kernels.fatbin")
    if compiled_ahead(folder):
        try:
            return driver.module_from_file(binary)
        except driver.Error as exc:
            raise EngineError(
                f"{binary} has nothing for this GPU: {exc}", hint="compile it for this GPU too, or remove it"
            ) from exc
    try:
        from pycuda.compiler import SourceModule

        return SourceModule(SOURCE)
    except (ImportError, OSError, driver.Error) as exc:  # OSError: pycuda finds no nvcc
        text = " ".join(str(exc).split())
        raise EngineError(
            f"the CUDA kernels cannot be compiled: {text}",
            hint="they need nvcc on the PATH and a C++ compiler, or a kernels.fatbin made where these are",
        ) from exc


def compiled_ahead(folder: str = HERE) -> bool:
    """Whether there are binaries of this source."""
    try:
        with open(os.path.join(folder, "kernels.cu"), encoding="utf-8") as stream:
            return stream.read() == translation_unit() and os.path.isfile(os.path.join(folder, "kernels.fatbin"))
    except (OSError, UnicodeDecodeError):
        return False
