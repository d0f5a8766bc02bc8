"""An ONNX vision model of the wild, read into the one form that the rest of the compiler handles.

The file is read safely (`frontend.read`), then the passes of `frontend.import_passes` run in their order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from coachc.frontend.conditions import WEIGHTS_INLINE
from coachc.frontend.import_passes import READ, import_passes
from coachc.frontend.model import Model
from coachc.frontend.pass_driver import Observer, Step, run_passes
from coachc.frontend.read import read_model

#: What observers are told the passes of import are run for.
STAGE = "import"


def import_model(
    path: str | os.PathLike[str],
    *,
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    observers: Sequence[Observer] = (),
) -> Model:
    """Read, normalise and check an ONNX model.

    Parameters
    ----------
    path : path
        The .onnx file; external data files beside it are loaded.
    batch : int, optional
        Size of the first axis of inputs that leave it open: 1 where it is not given.
    input_shapes : mapping of str to tuple of int, optional
        Whole shapes, for inputs with other open axes.
    observers : sequence of callable
        Told after reading and after each pass. What is to hold between passes is verified then, which takes time.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file or the model in it cannot be used; says which node, value or file, and what would help.
    ToolchainError
        The model must be run (opset below 13, or shapes that inference cannot tell) and onnxruntime is missing.

    Examples
    --------
    >>> import_model("resnet50.onnx", input_shapes={"input": (1, 3, 224, 224)})  # doctest: +SKIP
    """
    started = time.perf_counter()
    source = read_model(path)
    seconds = time.perf_counter() - started
    for observer in observers:
        observer(Step(STAGE, READ, source.proto, seconds, True))
    passes = import_passes(batch=batch, input_shapes=input_shapes)
    found = run_passes(passes, source.proto, given=(WEIGHTS_INLINE,), stage=STAGE, observers=observers)
    assert found.values is not None
    return Model(found.model, found.values, source.sha256, source.name)
