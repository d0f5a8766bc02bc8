"""What an engine is to the rest of the runtime: named arrays in, named arrays out."""

import abc
from typing import Dict, Mapping, Tuple

import numpy as np


class Engine(abc.ABC):
    """One model half, loaded and ready.

    Attributes
    ----------
    input_names, output_names : tuple of str
    description : str
        What runs it and where, for reports.
    """

    input_names: Tuple[str, ...] = ()
    output_names: Tuple[str, ...] = ()
    description = ""

    @abc.abstractmethod
    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Compute all outputs. Not thread-safe: one caller at a time.

        Raises
        ------
        EngineError
            If the engine fails.
        """
