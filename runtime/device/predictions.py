"""What a model's outputs say of a task: class, boxes or mask of each row, and how sure the model is of a class."""

from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from ..bundle.manifest_types import Manifest
from ..bundle.read_outputs import decoder_in
from ..errors import EngineError

Arrays = Dict[str, np.ndarray]
#: All model outputs of a task -> a class, `Detections` or a mask for each row; nothing where outputs are judged.
Predict = Callable[[Arrays], Tuple[Any, ...]]


def reader_of(manifest: Manifest, least_score: Optional[float] = None) -> Predict:
    """The function that reads a bundle's outputs; boxes down to a score, if not to the one that the bundle says."""
    decoder = decoder_in(manifest)
    if decoder is not None:
        decode = decoder.decode
        return lambda outputs: tuple(decode(outputs, least_score))
    name, shape = manifest.model.outputs[0].name, manifest.model.outputs[0].shape

    def predict(outputs: Arrays) -> Tuple[int, ...]:
        if name not in outputs:
            raise EngineError(f"the engine made no output '{name}'")
        output = outputs[name]
        if manifest.task != "classify" or output.shape[:2] != shape[:2]:
            return ()
        return tuple(int(index) for index in output.reshape(shape[0], -1).argmax(axis=1))

    return predict


def confidence_of(output: np.ndarray) -> float:
    """The model's probability for the class of a task's only row: its softmax, of logits or of what that made of them.

    Parameters
    ----------
    output : ndarray
        The first output of the model, not empty.
    """
    numbers = output.reshape(-1).astype(np.float64)
    if numbers.min() >= 0 and abs(numbers.sum() - 1) < 1e-3:
        return float(numbers.max())
    return float(1 / np.exp(numbers - numbers.max()).sum())
