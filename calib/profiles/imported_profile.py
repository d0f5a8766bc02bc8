"""What other tools measured, as a measured profile: trtexec's exports, and ONNX Runtime's profiling JSON.

trtexec writes what each layer took (--exportProfile), what each run took (--exportTimes), and of which ONNX nodes each
layer was made (--exportLayerInfo); the first is needed, the others make it better. ONNX Runtime's profile has kernels
and runs in one file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coachc.calib.profiles.layer_owners import map_layers
from coachc.core.graph import GraphView
from coachc.errors import ProfileError
from coachc.frontend.model import Model
from coachc.runtime.bundle.kernel_times import kernel_times, layers_of, middle_and_spread
from coachc.runtime.bundle.profile_file import Layer, MeasuredProfile, Segment

#: Runs of a profile that are not counted: the first ones load and choose.
WARM_UP_RUNS = 3
#: In the metadata of a layer, as TensorRT's parser writes it.
_NODE = re.compile(r"\[ONNX Layer: (.+?)\](?=\x1e|\[|$)")
_MS = 1e-3


def imported_profile(paths: Sequence[Path], model: Model, graph: GraphView) -> MeasuredProfile:
    """One measured profile from files of one run of another tool.

    Parameters
    ----------
    paths : sequence of Path
    model : Model
        That was measured: layers are found in it by name.
    graph : GraphView

    Raises
    ------
    ProfileError
        A file cannot be read or is none of these, two say the same thing, they are of different engines, or the layers
        are not of this model.
    """
    found: dict[str, tuple[Path, Any]] = {}
    for path in paths:
        kind, data = _read(path)
        if kind in found:
            raise ProfileError(
                f"{found[kind][0]} and {path} are both {_TITLES[kind]}", hint="give the files of one run of one engine"
            )
        found[kind] = path, data
    if "kernels" in found and len(found) > 1:
        others = ", ".join(_TITLES[kind] for kind in found if kind != "kernels")
        raise ProfileError(f"a profile of ONNX Runtime is mixed with {others}", hint="give the files of one tool")
    profile = _of_onnx_runtime(*found["kernels"], model) if "kernels" in found else _of_trtexec(found, model)
    known = map_layers([(layer.name, layer.seconds) for layer in profile.layers], model, graph)
    if not known.named_s:
        raise ProfileError(
            f"no layer of {paths[0]} is of {model.name}",
            context=(f"found     {', '.join(layer.name for layer in profile.layers[:3])}",),
            hint="import with the ONNX file that the engine was built from",
        )
    return profile


_TITLES = {
    "layers": "trtexec's --exportProfile",
    "times": "trtexec's --exportTimes",
    "info": "trtexec's --exportLayerInfo",
    "kernels": "a profile of ONNX Runtime",
}


def _read(path: Path) -> tuple[str, Any]:
    """Which of `_TITLES` a file is, and what it holds."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise ProfileError(f"cannot read {path}: {exc}", hint="give the JSON that the tool has written") from exc
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    if isinstance(data, dict) and isinstance(data.get("Layers"), list):
        return "info", data["Layers"]
    for kind, keys in (("layers", {"name", "timeMs"}), ("times", {"computeMs"}), ("kernels", {"cat", "dur"})):
        if any(keys <= entry.keys() for entry in entries):
            return kind, entries
    raise ProfileError(f"{path} is none of: {', '.join(_TITLES.values())}", hint="give one of these JSON files")


def _of_onnx_runtime(path: Path, events: Sequence[Any], model: Model) -> MeasuredProfile:
    kernels, runs = kernel_times(events)
    if not kernels:
        raise ProfileError(f"{path} has no kernels", hint="profile a session that runs the model, and end profiling")
    counted = runs[WARM_UP_RUNS:] or runs
    segments = (Segment("whole", (), *middle_and_spread(counted)),) if counted else ()
    return _profile(model, "onnxruntime", "fp32", layers_of(kernels, WARM_UP_RUNS), segments, len(counted), path)


def _of_trtexec(found: Mapping[str, tuple[Path, Any]], model: Model) -> MeasuredProfile:
    if "layers" not in found:
        given = ", ".join(_TITLES[kind] for kind in found)
        raise ProfileError(f"{given} says nothing of layers", hint="run trtexec with --exportProfile=FILE too")
    path, entries = found["layers"]
    names = _node_names(found["info"][1]) if "info" in found else {}
    count = next((entry["count"] for entry in entries if isinstance(entry.get("count"), int)), 0)
    layers = []
    for entry in entries:
        if "timeMs" not in entry:
            continue
        # The median where this release has one; else the mean, which is the total over the runs.
        mean_ms = entry.get("medianMs", entry.get("averageMs", _number(path, entry, "timeMs") / max(count, 1)))
        name = str(entry["name"])
        layers.append(Layer(names.get(name, name), float(mean_ms) * _MS))
    if names and not names.keys() & {str(entry.get("name")) for entry in entries}:
        raise ProfileError(
            f"{found['info'][0]} and {path} are of different engines: no layer is in both",
            hint="export both from one run of trtexec",
        )
    segments: tuple[Segment, ...] = ()
    if "times" in found:
        times_path, runs = found["times"]
        seconds = [_number(times_path, run, "computeMs") * _MS for run in runs if "computeMs" in run]
        segments = (Segment("whole", (), *middle_and_spread(seconds)),)
    return _profile(model, "tensorrt", "fp16", tuple(layers), segments, count, path)


def _profile(
    model: Model,
    backend: str,
    precision: str,
    layers: tuple[Layer, ...],
    segments: tuple[Segment, ...],
    repeats: int,
    path: Path,
) -> MeasuredProfile:
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    tool = "trtexec" if backend == "tensorrt" else "ONNX Runtime's profiler"
    return MeasuredProfile(
        model_sha256=model.sha256,
        inputs={name: model.values[name].shape for name in model.inputs},
        backend=backend,
        precision=precision,
        machine="",
        power_mode="",
        versions={},
        date=written.isoformat(timespec="seconds"),
        warm_up=0,
        repeats=repeats,
        method=f"imported from {path.name} of {tool}, {repeats} runs",
        layers=layers,
        segments=segments,
    )


def _node_names(info: Sequence[Any]) -> dict[str, str]:
    """The ONNX nodes of each layer that says of which it was made, joined as TensorRT joins names."""
    found = {}
    for entry in info:
        if isinstance(entry, dict) and (nodes := _NODE.findall(str(entry.get("Metadata", "")))):
            found[str(entry.get("Name", ""))] = " + ".join(dict.fromkeys(nodes))
    return found


def _number(path: Path, entry: Mapping[str, Any], key: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ProfileError(f"{path}: '{key}' is {value!r}, expected a number", hint="export it again")
    return float(value)
