"""What a run finds beside annotations of its pictures: mAP or mIoU, told on the host while the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coachc.calib.metrics.box_metric import LEAST_SCORE, BoxMetric
from coachc.calib.metrics.mask_metric import MaskMetric
from coachc.calib.truths.annotations import annotations_of
from coachc.errors import UsageError
from coachc.runtime.bundle.image_folder import find_pictures
from coachc.runtime.bundle.manifest_types import Manifest
from coachc.runtime.bundle.read_outputs import decoder_in, input_size


class AgainstTruth:
    """A sink of `runtime.device.found`, in the source pictures' pixels.

    Parameters
    ----------
    manifest : Manifest
    source : str
        Folder of the pictures.
    truth : str
        A COCO file or a folder of masks.

    Attributes
    ----------
    least_score : float
        Down to which boxes count.

    Raises
    ------
    coachc.errors.CoachError, runtime.errors.CoachRuntimeError
        The bundle's outputs are neither boxes nor masks; the truth cannot be read.
    """

    least_score = LEAST_SCORE

    def __init__(self, manifest: Manifest, source: str, truth: str) -> None:
        decoder = decoder_in(manifest)
        if decoder is None or manifest.preprocess is None:
            raise UsageError(
                f"--truth {truth} is for bundles that find boxes or masks in pictures",
                context=[f"found  task {manifest.task}"],
                hint="compile with --task detect or segment, on a folder of pictures",
            )
        names = [output.name for output in manifest.model.outputs]
        if decoder.kind == "boxes":
            self._metric: BoxMetric | MaskMetric = BoxMetric(decoder, names, lambda row: None)
        else:
            self._metric = MaskMetric(decoder, names, input_size(manifest), lambda row: None)
        self._truths = annotations_of(
            truth, decoder, source, find_pictures(source).paths, manifest.preprocess.orientation
        )
        self._compared: list[Any] = []
        self._boxes: list[tuple[str, Any]] = []

    def __call__(self, name: str, found: Any) -> None:
        """Take what was found in a picture. Boxes are few, and compared when the run is over, since that takes long."""
        if isinstance(self._metric, BoxMetric):
            self._boxes.append((name, found))
        else:
            self._compared.append(self._metric.compare(found, self._truths[name], 0))

    def figures(self) -> Mapping[str, float]:
        """mAP and mAP50, or mIoU and the share of pixels that are right; empty where nothing was answered."""
        boxes = [self._metric.compare(found, self._truths[name], 0) for name, found in self._boxes]
        compared = [*self._compared, *boxes]
        return self._metric.figures(compared) if compared else {}
