"""Counts tasks whose inputs have values that no calibration sample had: what was proven says little about them."""

from typing import Any, Dict, Iterable, Iterator

import numpy as np

from ..bundle.manifest_types import Manifest

#: A value may be beyond the range by this share of it: a float is not quite the same everywhere.
SLACK = 1e-6


class InputWatch:
    """Looks at every task's inputs as they pass.

    Parameters
    ----------
    manifest : Manifest

    Attributes
    ----------
    outside : dict of str to int
        By input, how many tasks had a value outside the range of calibration, or none that is a number.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.outside = {}  # type: Dict[str, int]
        self._ranges = {
            spec.name: (known[0] - SLACK * (known[1] - known[0]), known[1] + SLACK * (known[1] - known[0]))
            for spec, known in zip(manifest.model.inputs, manifest.input_ranges)
            if known
        }

    def over(self, feeds: Iterable[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
        """The same feeds, looked at."""
        for feed in feeds:
            for name, (low, high) in self._ranges.items():
                array = np.asarray(feed[name])
                # A NaN is in no range.
                if array.size and not (low <= float(array.min()) and float(array.max()) <= high):
                    self.outside[name] = self.outside.get(name, 0) + 1
            yield feed
