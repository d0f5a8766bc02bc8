"""A function as an engine."""

from typing import Callable, Dict, Mapping, Sequence

import numpy as np

from .engine import Engine


class FakeEngine(Engine):
    """Runs `function(feed) -> outputs`."""

    def __init__(
        self,
        function: Callable[[Mapping[str, np.ndarray]], Dict[str, np.ndarray]],
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
    ) -> None:
        self._function = function
        self.input_names = tuple(input_names)
        self.output_names = tuple(output_names)
        self.description = "fake"

    def run(self, feed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        return self._function(feed)
