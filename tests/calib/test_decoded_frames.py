"""Videos for calibration: frames in any order, each decoded once, and real clips."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile

import numpy as np
import pytest

from coachc.calib import decoded_frames as module
from coachc.calib.data_report import report_on
from coachc.calib.dataset import open_dataset
from coachc.calib.input_overview import Observer
from coachc.core.graph import Value
from coachc.errors import DataError
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import normalize, pixels
from coachc.runtime.bundle.video import choose_frames, read_frames
from coachc.runtime.errors import SourceError
from tests.helpers.real_data import DATA, needs_data
from tests.helpers.videos import TOLERANCE, grays, write_video

pytestmark = [pytest.mark.needs("cv2"), pytest.mark.needs("PIL")]

GRAY = Preprocess((2, 3), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,))
INPUT = Value("x", "float32", (1, 1, 2, 3))
#: Gray levels of the videos in `folder`; no two are alike.
LEVELS = ([10, 20, 30, 40], [60, 70, 80, 90, 100], [130, 140, 150])


def folder(path):
    for index, levels in enumerate(LEVELS):
        write_video(path / f"class {index // 2}" / f"{index}.avi", grays(levels))
    return str(path)


def levels_of(feeds):
    return [round(float(feed["x"][row].mean()), 1) for feed in feeds for row in range(len(feed["x"]))]


def rows_of(data):
    """Rows of the source that feeds are."""
    levels = np.array(list(itertools.chain(*LEVELS)))
    found = [np.abs(levels - level) for level in levels_of(data)]
    assert all(distance.min() <= TOLERANCE for distance in found)
    return [int(distance.argmin()) for distance in found]


@pytest.fixture
def read(monkeypatch):
    """How often a pass over the videos began, and how many frames were read."""
    seen, original = [], module.read_clips

    def counting(paths, frames, groups):
        seen.append(0)
        for frame in original(paths, frames, groups):
            seen[-1] += 1
            yield frame

    monkeypatch.setattr(module, "read_clips", counting)
    return seen


def test_frames_come_shuffled_with_labels_and_groups(tmp_path, read):
    data = open_dataset(folder(tmp_path / "d"), [INPUT], GRAY, max_samples=100, seed=1)
    rows = rows_of(data)
    assert (data.kind, data.samples, sorted(rows)) == ("labels", 12, list(range(12)))
    assert rows != sorted(rows)
    assert data.labels.tolist() == [int(row >= 9) for row in rows]
    assert data.groups.tolist() == [int(row >= 4) + int(row >= 9) for row in rows]
    assert rows_of(data) == rows
    assert levels_of({"x": image[None, :, :, 0]} for image in data.source.images()) == levels_of(data)
    assert read == [12]


def test_frames_in_order_are_decoded_as_they_are_asked_for(tmp_path, read):
    data = open_dataset(folder(tmp_path / "d"), [INPUT], GRAY, max_samples=7, ordered=True)
    next(iter(data))
    assert read == [1]
    assert rows_of(data) == rows_of(data) == list(range(7))
    assert (data.labels.tolist(), data.groups.tolist()) == ([0] * 7, [0] * 4 + [1] * 3)
    assert read == [7]


def test_fewer_samples_than_frames(tmp_path, read):
    data = open_dataset(folder(tmp_path / "d"), [INPUT], GRAY, max_samples=5)
    rows = rows_of(data)
    assert len(set(rows)) == 5
    assert data.labels.tolist() == [int(row >= 9) for row in rows]
    assert read == [5]


def test_batches_stay_together(tmp_path):
    batched = Value("x", "float32", (2, 1, 2, 3))
    data = open_dataset(folder(tmp_path / "d"), [batched], GRAY, max_samples=100)
    rows = rows_of(data)
    # The fifth frame of the second video and the third of the last fill no batch.
    assert sorted(rows) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    assert all(rows[i + 1] == rows[i] + 1 for i in range(0, 10, 2))
    assert data.groups.tolist() == [int(row >= 4) + int(row >= 9) for row in rows]


def test_frames_a_second(tmp_path):
    path = str(write_video(tmp_path / "v.mp4", grays(range(0, 250, 10))))
    data = open_dataset(path, [INPUT], GRAY, max_samples=100, ordered=True, frames_per_second=5)
    assert (data.samples, data.labels, data.groups.tolist()) == (5, None, [0] * 5)
    assert np.abs(np.array(levels_of(data)) - [0, 50, 100, 150, 200]).max() <= TOLERANCE


def test_the_report_says_that_they_are_videos(tmp_path):
    data = open_dataset(folder(tmp_path / "d"), [INPUT], GRAY, max_samples=6)
    data.watch = observer = Observer([INPUT])
    list(data)
    report = report_on("d", data, GRAY, observer)
    assert (report.form, report.samples) == ("pictures", 6)
    assert report.labels == "one folder per class, 2 classes, frames of 3 videos"
    assert set(report.captions) <= {"class 0", "class 1"}


def test_a_video_that_changes_is_named_in_every_pass(tmp_path):
    path = write_video(tmp_path / "v.avi", grays(range(0, 200, 10)))
    data = open_dataset(str(path), [INPUT], GRAY, max_samples=100)
    write_video(path, grays(range(0, 50, 10)))
    for _ in range(2):
        with pytest.raises(SourceError, match=r"v\.avi ends after 5 frames, and had more when it was opened"):
            list(data)


def test_a_full_disk(tmp_path, monkeypatch):
    data = open_dataset(folder(tmp_path / "d"), [INPUT], GRAY, max_samples=100)

    def full(file, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coachc.calib.spool._write", full)
    for _ in range(2):
        with pytest.raises(DataError, match=r"cannot keep .* No space left on device"):
            list(data)
    monkeypatch.undo()
    assert sorted(rows_of(data)) == list(range(12))


def test_nothing_there(tmp_path):
    with pytest.raises(SourceError, match=r"no such source: .*v\.mp4"):
        open_dataset(str(tmp_path / "v.mp4"), [INPUT], GRAY, max_samples=5)


@needs_data
class TestUcf101:
    CLIPS = DATA / "video" / "ucf101"

    @pytest.mark.parametrize(
        ("name", "frames", "rate"),
        [("v_ApplyEyeMakeup_g01_c01", 164, 25), ("v_Punch_g01_c01", 121, 25), ("v_Biking_g05_c02", 201, 29.97)],
    )
    def test_frames_size_and_rate_are_those_of_the_header(self, name, frames, rate):
        path = self.CLIPS / f"{name}.avi"
        # The main header of AVI: microseconds a frame, three fields, flags, frames, three fields, width, height.
        data = path.read_bytes()
        fields = struct.unpack("<10I", data[data.index(b"avih") + 8 :][:40])
        assert fields[0] == pytest.approx(1e6 / rate, rel=1e-4)
        assert (fields[4], fields[8], fields[9]) == (frames, 320, 240)
        chosen = choose_frames(str(path))
        assert chosen.tolist() == list(range(frames))
        assert {frame.shape for frame in read_frames(str(path), chosen)} == {(240, 320, 3)}
        assert len(choose_frames(str(path), 20)) == pytest.approx(frames * 20 / rate, abs=1)

    def test_pixels_are_those_of_another_decoder(self):
        """25 frames at equal distances, which others decoded, enlarged to 340x256 and saved as JPEG."""
        from PIL import Image

        path = str(self.CLIPS / "v_ApplyEyeMakeup_g01_c01.avi")
        decoded = np.stack(list(read_frames(path, choose_frames(path)))).astype(np.int16)
        with zipfile.ZipFile(self.CLIPS / "ApplyEyeMakeup_test_7clips_x25frames.zip") as archive:
            for number in range(25):
                data = archive.read(f"v_000001/i_{number + 1:04}.jpg")
                other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((320, 240)))
                errors = np.abs(decoded - other).mean(axis=(1, 2, 3))
                assert errors.argmin() == int(1.5 + number * (163 - 1) / 24)
                # Of 255 levels: what JPEG and resizing twice cost. Swapped colours come to 11.
                assert errors.min() < 2.5

    def test_a_folder_of_clips(self):
        preprocess = Preprocess((224, 224), "bilinear", "rgb", "nchw", 255.0, (0.5,) * 3, (0.25,) * 3)
        inputs = [Value("x", "float32", (1, 3, 224, 224))]
        options = {"max_samples": 1000, "frames_per_second": 1.0}
        data = open_dataset(str(self.CLIPS), inputs, preprocess, ordered=True, **options)
        clips = sorted(self.CLIPS.glob("*.avi"))
        assert set(data.groups.tolist()) == set(range(len(clips)))
        assert data.groups.tolist() == sorted(data.groups.tolist())
        wanted = next(read_frames(str(clips[0]), [25]))
        second = next(itertools.islice(data, 1, None))
        assert np.array_equal(second["x"], normalize(pixels(wanted, preprocess), preprocess))
        shuffled = open_dataset(str(self.CLIPS), inputs, preprocess, **options)
        assert np.array_equal(np.bincount(shuffled.groups), np.bincount(data.groups))
