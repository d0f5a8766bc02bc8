"""How calibration samples were read and what came out, as facts for whoever prints them."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.calib.arrays import CalibrationArrays
from coachc.calib.dataset import Dataset
from coachc.calib.images import CalibrationImages
from coachc.calib.input_overview import Observed, Observer, doubts
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.skipped import Skipped


@dataclass(frozen=True)
class DataReport:
    """Samples as they were used.

    Attributes
    ----------
    source : str
        As `calib.dataset.open_dataset` takes it.
    form : str
        "pictures", "arrays" or "function".
    labels : str
        Where labels come from, in words.
    samples : int
    preprocess : Preprocess or None
        What made inputs of pictures; for other forms what is stated about pictures the device will see.
    observed : Observed
    captions : tuple of str
        Label of each picture in `observed`: the class's name where it is known, else its index.
    doubts : tuple of str
        What looks wrong.
    skipped : tuple of Skipped
        Files that are left out.
    picture_s : float or None
        Seconds that one of its pictures takes on this machine to be decoded and preprocessed; None for other forms.
    """

    source: str
    form: str
    labels: str
    samples: int
    preprocess: Preprocess | None
    observed: Observed
    captions: tuple[str, ...]
    doubts: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    picture_s: float | None = None


def report_on(source: str, data: Dataset, preprocess: Preprocess | None, observer: Observer) -> DataReport:
    """The facts about real samples, once they have been read at least once.

    Parameters
    ----------
    source : str
    data : Dataset
    preprocess : Preprocess or None
    observer : Observer
        That watched `data`.
    """
    observed = observer.report()
    labels = "no labels" if data.labels is None else "labelled"
    form = "function"
    names: tuple[str, ...] = ()
    picture_s = None
    if isinstance(data.source, CalibrationImages):
        form, labels, names = "pictures", data.source.layout, data.source.class_names
        picture_s = data.source.picture_s()
    elif isinstance(data.source, CalibrationArrays):
        form = "arrays"
    captions = [""] * len(observed.pictures)
    if data.labels is not None:
        firsts = data.labels[:: len(data.labels) // data.samples].tolist()
        captions = [names[label] if names else str(label) for label in firsts[: len(captions)]]
    found = doubts(observed, preprocess)
    skipped = () if data.source is None else data.source.skipped
    if isinstance(data.source, CalibrationImages) and data.source.unreadable:
        unreadable = data.source.unreadable
        found.append(f"{len(unreadable)} of the images cannot be read, the first of them {unreadable[0].path}")
    return DataReport(
        source,
        form,
        labels,
        data.samples,
        preprocess,
        observed,
        tuple(captions),
        tuple(found),
        skipped,
        picture_s,
    )
