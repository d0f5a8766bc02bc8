"""A run as a measured profile: its stages, the layers of the model on this device, and the link it saw."""

import datetime
import platform
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..bundle.kernel_times import layers_of, middle_and_spread
from ..bundle.manifest_types import Cut
from ..bundle.profile_file import Layer, SeenLink, MeasuredProfile, Segment
from ..bundle.store import Bundle
from ..engines.ort_engine import OrtEngine
from ..health.clocks import chip_name, power_mode, processor_name
from .sketch import Sketch, StageTimes

WARM_UP_RUNS, REPEATS = 3, 20
Arrays = Mapping[str, np.ndarray]


def achieved_profile(
    bundle: Bundle,
    cut: Cut,
    times: StageTimes,
    feed: Optional[Arrays],
    engine: str,
    providers: Sequence[str],
    link: Optional[SeenLink],
    processor_s: float = 0.0,
) -> MeasuredProfile:
    """What a run achieved, for the compiler.

    Parameters
    ----------
    bundle : Bundle
    cut : Cut
        Where the run was.
    times : StageTimes
        Of its tasks.
    feed : mapping of str to ndarray, optional
        Inputs of the model, to time its layers on; without them, and with TensorRT, only stages are told.
    engine : {"ort", "trt"}
    providers : sequence of str
        Of ONNX Runtime.
    link : SeenLink, optional
    processor_s : float
        Of all of the device's cores together, that a task has taken: the device's stage is no shorter, whatever its
        half takes, since results come no faster.
    """
    manifest = bundle.manifest
    layers: Tuple[Layer, ...] = ()
    versions: Dict[str, str] = {}
    segments = stage_segments(cut, times, processor_s)
    if engine == "ort":
        layers, whole, version = _layers(bundle, feed, providers)
        versions["onnxruntime"] = version
        segments += whole
    else:
        versions["tensorrt"] = _tensorrt_version()
    tasks = times.device.count
    return MeasuredProfile(
        manifest.model.sha256,
        {spec.name: tuple(spec.shape) for spec in manifest.model.inputs},
        "onnxruntime" if engine == "ort" else "tensorrt",
        "fp32" if engine == "ort" else str(manifest.device.get("precision", "fp16")),
        processor_name(),
        power_mode(),
        versions,
        datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
        WARM_UP_RUNS,
        tasks,
        "stages of a run of {} tasks at {}, Python {}".format(tasks, cut.name, platform.python_version()),
        layers,
        tuple(segments),
        link=link,
        chip=chip_name(),
    )


def stage_segments(cut: Cut, times: StageTimes, processor_s: float = 0.0) -> List[Segment]:
    """The device's stage of a cut and, of tasks that were sent, the server's; `processor_s` as above."""
    values = tuple(value.name for value in cut.values)
    found = []
    for part, sketch in (("device" if values else "whole", times.device), ("cloud", times.cloud)):
        if sketch.count:
            middle_s, spread_s = _middle_and_spread(sketch)
            least_s = 0.0 if part == "cloud" else processor_s
            found.append(Segment(part, values, max(middle_s, least_s), spread_s, stage=True))
    return found


def _middle_and_spread(sketch: Sketch) -> Tuple[float, float]:
    """Median, and the distance between the quartiles."""
    low_s, middle_s, high_s = sketch.quantiles([0.25, 0.5, 0.75])
    return middle_s, high_s - low_s


def _layers(
    bundle: Bundle, feed: Optional[Arrays], providers: Sequence[str]
) -> Tuple[Tuple[Layer, ...], List[Segment], str]:
    """Kernels of the whole model, its time as one piece, and ONNX Runtime's version."""
    model = bundle.read(next(one.path for one in bundle.manifest.artefacts if one.role == "model"))
    profiled = OrtEngine(model, providers, profile=True)
    if feed is None:
        profiled.kernels()
        return (), [], profiled.version
    for _ in range(WARM_UP_RUNS + REPEATS):
        profiled.run(feed)
    kernels, runs = profiled.kernels()
    whole = Segment("whole", (), *middle_and_spread(runs[WARM_UP_RUNS:])) if len(runs) > WARM_UP_RUNS else None
    return layers_of(kernels, WARM_UP_RUNS), [whole] if whole is not None else [], profiled.version


def _tensorrt_version() -> str:
    import tensorrt

    return str(tensorrt.__version__)
