"""What ONNX Runtime's profiling JSON says of each kernel: seconds of every run, by the kernel's name."""

import json
import re
from typing import Any, Dict, Iterable, List, Tuple

from .profile_file import Layer
from ..errors import ProfileFileError

#: Kernels are named NODE_kernel_time; those of one node in several tokens have a number of their own.
_KERNEL = re.compile(r"(.*?)(_token_\d+)?_kernel_time")


def read_events(path: str) -> List[Any]:
    """The events of a profile.

    Raises
    ------
    ProfileFileError
        It cannot be read, or is no list of events.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            events = json.load(stream)
    except (OSError, ValueError) as exc:
        raise ProfileFileError("cannot read ONNX Runtime's profile {}: {}".format(path, exc)) from exc
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ProfileFileError(
            "{} is no profile of ONNX Runtime: expected a JSON list of events".format(path),
            hint="SessionOptions.enable_profiling writes one when the session ends",
        )
    return events


def kernel_times(events: Iterable[Any]) -> Tuple[Dict[str, List[float]], List[float]]:
    """Seconds of each run of every kernel by name, in order, and of every run of the model."""
    kernels: Dict[str, List[float]] = {}
    runs = []
    for event in events:
        name, seconds = str(event.get("name", "")), event.get("dur")
        if type(seconds) not in (int, float):
            continue
        found = _KERNEL.match(name) if event.get("cat") == "Node" else None
        if found is not None and found.end() == len(name):
            kernels.setdefault(found.group(1), []).append(seconds * 1e-6)
        elif event.get("cat") == "Session" and name == "model_run":
            runs.append(seconds * 1e-6)
    return kernels, runs


def layers_of(kernels: Dict[str, List[float]], warm_up: int) -> Tuple[Layer, ...]:
    """Median and quartiles of each kernel, the first runs left out."""
    return tuple(Layer(name, *middle_and_spread(seconds[warm_up:] or seconds)) for name, seconds in kernels.items())


def middle_and_spread(seconds: List[float]) -> Tuple[float, float]:
    """Median, and the distance between the quartiles."""
    ordered = sorted(seconds)
    quarters = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.25, 0.75)]
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return median, quarters[1] - quarters[0]
