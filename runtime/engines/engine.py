"""What an engine is to the rest of the runtime: named arrays in, named arrays out."""

import abc
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..bundle.frame import Framing


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

    def watch_layers(self, report: Callable[[str, float], None]) -> bool:
        """Hand the name and the seconds of every layer to `report` from now on; False where the engine cannot.

        For measuring: runs become slower by it.
        """
        return False

    def run_framed(
        self, feed: Mapping[str, Any], framings: Mapping[str, Framing], wanted: Optional[Sequence[str]] = None
    ) -> Dict[str, Any]:
        """Compute all outputs, those of `framings` packed where the engine can do that by itself.

        Parameters
        ----------
        feed : mapping of str to ndarray
            Or what an engine of the same kind gave for a value that stayed where it was made.
        framings : mapping of str to Framing
            By the name of the output; others are ignored. An engine that packs gives a `runtime.bundle.frame.Frame`,
            one that cannot the codes.
        wanted : sequence of str, optional
            Outputs that the host reads; another may stay where it was made, for the next engine. All, if not given.

        Raises
        ------
        EngineError
            If the engine fails.
        """
        return dict(self.run(feed))
