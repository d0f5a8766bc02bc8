"""What a model's outputs say of a task: the class of each row, and how sure the model is of it."""

from typing import Callable, Dict, Tuple

import numpy as np

from ..bundle.manifest_types import ModelInfo
from ..errors import EngineError

Arrays = Dict[str, np.ndarray]
Predict = Callable[[Arrays], Tuple[int, ...]]


def top1_of(model: ModelInfo, task: str) -> Predict:
    """A function from model outputs to the class of each row; empty where the outputs are judged as something else."""
    name, shape = model.outputs[0].name, model.outputs[0].shape

    def predict(outputs: Arrays) -> Tuple[int, ...]:
        if name not in outputs:
            raise EngineError(f"the engine made no output '{name}'")
        output = outputs[name]
        if task != "classify" or output.shape[:2] != shape[:2]:
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
