"""The facts about samples, whatever they come from."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.data_report import report_on
from coachc.calib.dataset import open_dataset
from coachc.calib.input_overview import Observer
from coachc.core.graph import Value
from coachc.runtime.bundle.manifest_types import Preprocess

GRAY = Preprocess((2, 3), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,))


def report(path, shape, preprocess=None):
    value = Value("x", "float32", shape)
    data = open_dataset(str(path), [value], preprocess, max_samples=50)
    data.watch = observer = Observer([value])
    for _ in data:
        pass
    return report_on(str(path), data, preprocess, observer), data


@pytest.mark.needs("PIL")
def test_pictures(tmp_path):
    from PIL import Image

    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("L", (3, 2), 100 * label + number).save(tmp_path / name / f"{number}.png")
    found, data = report(tmp_path, (1, 1, 2, 3), GRAY)
    assert (found.source, found.form, found.samples, found.preprocess) == (str(tmp_path), "pictures", 20, GRAY)
    assert found.labels == "one folder per class, 2 classes"
    assert found.captions == tuple(("cat", "dog")[label] for label in data.labels[:16])
    assert [int(picture[0, 0, 0]) >= 100 for picture in found.observed.pictures] == [c == "dog" for c in found.captions]
    assert found.doubts == ()


@pytest.mark.needs("PIL")
def test_what_is_left_out(tmp_path):
    from PIL import Image

    for number in range(5):
        Image.new("L", (3, 2), 40 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"cut short")
    (tmp_path / "x.heic").write_bytes(b"")
    found, data = report(tmp_path, (1, 1, 2, 3), GRAY)
    assert [one.path for one in found.skipped] == ["x.heic", "3.png"]
    assert found.samples == len(list(data)) == len(data.positions) == 4
    values = sorted(int(feed["x"][0, 0, 0, 0]) for feed in data)
    assert values == sorted(40 * position for position in data.positions.tolist()) == [0, 40, 80, 160]
    assert found.doubts == ("1 of the images cannot be read, the first of them 3.png",)


def test_arrays_and_their_first_label_of_a_batch(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((8, 3, 2, 3), np.float32), labels=np.arange(8))
    found, data = report(tmp_path / "d.npz", (2, 3, 2, 3))
    assert (found.form, found.labels, found.samples, found.preprocess) == ("arrays", "labelled", 4, None)
    assert found.captions == tuple(str(label) for label in data.labels[::2])
    assert [text.split(" is ")[0] for text in found.doubts] == [f"input 'x' channel {i}" for i in range(3)]
    np.savez(tmp_path / "d.npz", x=np.zeros((8, 3, 2, 3), np.float32))
    found, _ = report(tmp_path / "d.npz", (1, 3, 2, 3))
    assert (found.labels, found.captions) == ("no labels", ("",) * 8)


def test_functions_and_inputs_that_are_no_picture(tmp_path):
    (tmp_path / "data.py").write_text(
        "import numpy as np\ndef load(): return [(np.arange(5, dtype=np.float32)[None], 3)] * 4"
    )
    found, _ = report(f"{tmp_path}/data.py:load", (1, 5))
    assert (found.form, found.labels, found.samples) == ("function", "labelled", 4)
    assert (found.captions, found.observed.pictures) == ((), [])
