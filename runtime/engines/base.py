"""What an engine is to the rest of the runtime: named arrays in, named arrays out."""

import abc
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from runtime.bundle.frame import Framing


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

    def run_framed(self, feed: Mapping[str, np.ndarray], framings: Mapping[str, Framing]) -> Dict[str, Any]:
        """Compute all outputs, those of `framings` packed where the engine can do that by itself.

        Parameters
        ----------
        feed : mapping of str to ndarray
        framings : mapping of str to Framing
            By the name of the output; others are ignored. An engine that packs gives a `runtime.bundle.frame.Frame`,
            one that cannot the codes.

        Raises
        ------
        EngineError
            If the engine fails.
        """
        return dict(self.run(feed))
