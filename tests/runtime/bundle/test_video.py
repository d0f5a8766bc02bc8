"""Frames of videos: which are taken, their order and colours, and what damaged files lead to."""

import os
import sys
import tracemalloc

import numpy as np
import pytest

from coachc.runtime.bundle.image_source import ImageSource
from coachc.runtime.bundle.manifest_types import Preprocess, TensorSpec
from coachc.runtime.bundle.preprocess import normalize, pixels
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.video import choose_frames, read_clips, read_frames
from coachc.runtime.errors import SourceError
from tests.helpers.videos import CODECS, TOLERANCE, ScriptedVideo, grays, write_video

SPEC = TensorSpec("input", "float32", (1, 1, 2, 2))
GRAY = Preprocess((2, 2), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,))


@pytest.fixture
def scripted(monkeypatch):
    """Replaces OpenCV by a video of these times."""

    def replaced(*arguments, **options):
        video = ScriptedVideo(*arguments, **options)
        monkeypatch.setitem(sys.modules, "cv2", video)
        return video

    return replaced


def every(milliseconds, count):
    return [milliseconds * index for index in range(count)]


class TestChoice:
    def test_every_frame(self, scripted):
        scripted(every(40, 5))
        assert choose_frames("v.mp4").tolist() == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("rate", "wanted", "taken"),
        [
            # The paper's 20 frames a second of UCF101's 25: four of five.
            (25, 20, [0, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14]),
            (25, 5, [0, 5, 10]),
            (30, 20, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14]),
            (30, 29.97, list(range(15))),
            (25, 25, list(range(15))),
            (25, 60, list(range(15))),
            (25, 0.1, [0]),
        ],
    )
    def test_by_timestamps(self, scripted, rate, wanted, taken):
        scripted(every(1000.0 / rate, 15), rate)
        assert choose_frames("v.mp4", wanted).tolist() == taken

    def test_timestamps_that_are_rounded_lose_no_frame(self, scripted):
        scripted([round(time) for time in every(1000 / 30.0, 300)], 30.0)
        assert choose_frames("v.mkv", 30).tolist() == list(range(300))
        assert choose_frames("v.mkv", 10).tolist() == list(range(0, 300, 3))

    def test_times_count_from_the_first_frame(self, scripted):
        for start in (0, 40, 12345.6):
            scripted([start + time for time in every(40, 11)])
            assert choose_frames("v.avi", 5).tolist() == [0, 5, 10]

    def test_times_that_are_missing_at_the_end(self, scripted):
        scripted(every(40, 8) + [0.0, 0.0, 0.0])
        assert choose_frames("v.mp4", 5).tolist() == [0, 5, 10]

    def test_frames_that_come_at_any_time(self, scripted):
        scripted([0, 10, 20, 500, 510, 2000, 2040, 2060], rate=90.0, stated=185)
        assert choose_frames("v.webm", 20).tolist() == [0, 3, 5, 7]

    def test_a_limit_and_no_look_behind_it(self, scripted):
        video = scripted(every(40, 100))
        assert choose_frames("v.mp4", 5, limit=3).tolist() == [0, 5, 10]
        assert video.grabbed == 11
        assert choose_frames("v.mp4", limit=1000).tolist() == list(range(100))

    @pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
    def test_rates_that_are_none(self, scripted, rate):
        scripted(every(40, 5))
        with pytest.raises(SourceError, match="frames a second cannot be taken"):
            choose_frames("v.mp4", rate)

    def test_an_opencv_without_ffmpeg(self, scripted):
        scripted(every(40, 5), backend=ScriptedVideo.CAP_GSTREAMER)
        assert len(choose_frames("v.mp4")) == 5

    @pytest.mark.parametrize(
        ("frames", "stated", "rate"),
        # No header, one that knows no number, one that guesses a rate of 1000 a second, or a few frames out.
        [(50, 0, 25.0), (50, -9e18, 25.0), (50, 2000, 1000.0), (46, 50, 25.0), (60, 50, 25.0), (50, 50, 0.0)],
    )
    def test_headers_that_state_something_else(self, scripted, frames, stated, rate):
        scripted(every(40, frames), rate, stated)
        assert len(choose_frames("v.mkv")) == frames

    def test_much_less_than_the_header_states(self, scripted):
        scripted(every(40, 58), 25.0, 121)
        with pytest.raises(SourceError, match="v.avi is damaged, or was trimmed") as caught:
            choose_frames("v.avi")
        assert caught.value.context == ("frames stated   121", "frames decoded  58")
        assert caught.value.hint.startswith("copy it again, or keep what can be read: ffmpeg")
        assert len(choose_frames("v.avi", limit=58)) == 58

    def test_no_frame(self, scripted):
        scripted([], stated=10)
        with pytest.raises(SourceError, match="v.mp4 has no frame that can be decoded"):
            choose_frames("v.mp4")


class TestReading:
    def test_only_what_is_wanted(self, scripted):
        video = scripted(every(40, 30))
        assert [int(frame[0, 0, 0]) for frame in read_frames("v.mp4", [0, 3, 4, 9])] == [0, 3, 4, 9]
        assert video.grabbed == 10

    def test_several_videos(self, scripted):
        scripted(every(40, 30))
        frames, groups = np.array([0, 1, 2, 0, 7]), np.array([3, 3, 4, 5, 5])
        assert [int(frame[0, 0, 0]) for frame in read_clips(["v.mp4"] * 5, frames, groups)] == [0, 1, 2, 0, 7]

    def test_a_video_that_is_shorter_than_before(self, scripted):
        scripted(every(40, 5))
        with pytest.raises(SourceError, match="v.mp4 ends after 5 frames, and had more when it was opened"):
            list(read_frames("v.mp4", [0, 5]))


def test_without_opencv_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "v.mp4").write_bytes(b"x")
    with pytest.raises(SourceError, match="OpenCV is not installed, and videos need it") as caught:
        open_source(tmp_path / "v.mp4", [SPEC], GRAY)
    assert caught.value.hint.startswith("pip install 'coachc[video]'")


@pytest.mark.needs("cv2")
class TestFiles:
    @pytest.mark.parametrize("extension", sorted(CODECS))
    def test_frames_in_order(self, tmp_path, extension):
        levels = list(range(10, 250, 8))
        path = str(write_video(tmp_path / ("v" + extension), grays(levels)))
        chosen = choose_frames(path)
        frames = list(read_frames(path, chosen))
        assert chosen.tolist() == list(range(30))
        assert {(frame.shape, frame.dtype.name) for frame in frames} == {((48, 64, 3), "uint8")}
        assert np.abs([frame.mean() for frame in frames] - np.array(levels)).max() <= TOLERANCE
        assert choose_frames(path, 20).tolist() == [index for index in range(30) if index % 5 != 1]
        assert choose_frames(path, 25).tolist() == list(range(30))

    def test_colours_are_red_green_blue(self, tmp_path):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :, 0], picture[:, :, 1] = 200, 100
        path = str(write_video(tmp_path / "v.avi", [picture] * 3))
        frame = next(read_frames(path, [1]))
        assert np.abs(frame.mean(axis=(0, 1)) - [200, 100, 0]).max() <= TOLERANCE

    @pytest.mark.parametrize("extension", [".avi", ".mkv"])
    def test_files_that_are_cut_short(self, tmp_path, extension):
        pictures = [np.random.RandomState(i).randint(0, 256, (48, 64, 3)).astype(np.uint8) for i in range(40)]
        path = write_video(tmp_path / ("v" + extension), pictures)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(SourceError, match="v[.]... is damaged, or was trimmed without coding it anew|cannot read"):
            choose_frames(str(path))

    def test_files_that_are_no_videos(self, tmp_path, capfd):
        path = write_video(tmp_path / "v.mp4", grays(range(10)))
        data = path.read_bytes()
        for content in (b"hello\n" * 100, data[: len(data) // 2], data[:40]):
            path.write_bytes(content)
            with pytest.raises(SourceError, match="cannot read .*v.mp4 as a video") as caught:
                choose_frames(str(path))
            assert "ffmpeg -i OLD" in caught.value.hint
        path.write_bytes(b"")
        with pytest.raises(SourceError, match="v.mp4 is empty"):
            choose_frames(str(path))

    def test_a_name_that_opencv_would_end_the_process_at(self, tmp_path):
        name = os.fsdecode(os.fsencode(str(write_video(tmp_path / "v.avi", grays([20, 40])))) + b"\xe9.avi")
        os.rename(str(tmp_path / "v.avi"), name)
        with pytest.raises(
            SourceError, match=r"the name of .*v.avi\\xe9.avi is no UTF-8, which OpenCV needs"
        ) as caught:
            choose_frames(name)
        assert caught.value.hint == "rename it"

    def test_names_that_look_like_addresses_or_patterns(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("rtsp:x.avi", "50%.avi", "a b%02d.avi"):
            write_video(tmp_path / name, grays([20, 40]))
            assert len(choose_frames(name)) == 2


def levels_of(source):
    return [int(round(float(feed["input"][row].mean()))) for feed in source for row in range(len(feed["input"]))]


def near(found, wanted):
    return len(found) == len(wanted) and np.abs(np.array(found) - np.array(wanted)).max() <= TOLERANCE


@pytest.mark.needs("cv2")
@pytest.mark.needs("PIL")
class TestSources:
    def folder(self, path):
        """Two classes: a (10, 20, 30, 40; 110, 120, 130, 140, 150), b (210, 220, 230)."""
        write_video(path / "a" / "1.avi", grays([10, 20, 30, 40]))
        write_video(path / "a" / "2.mp4", grays([110, 120, 130, 140, 150]))
        write_video(path / "b" / "1.mp4", grays([210, 220, 230]))
        return path

    def test_one_video(self, tmp_path):
        path = write_video(tmp_path / "v.avi", grays([10, 60, 110, 160, 210]))
        source = open_source(path, [SPEC], GRAY)
        assert isinstance(source, ImageSource)
        assert (len(source), source.labels, source.groups.tolist()) == (5, None, [0] * 5)
        for _ in range(2):
            assert near(levels_of(source), [10, 60, 110, 160, 210])
        assert [image.shape for image in source.images()] == [(2, 2, 1)] * 5

    def test_one_folder_per_class(self, tmp_path):
        source = open_source(self.folder(tmp_path / "d"), [SPEC], GRAY)
        assert (source.labels.dtype, source.groups.dtype) == (np.int64, np.int64)
        assert source.labels.tolist() == [0] * 9 + [1] * 3
        assert source.groups.tolist() == [0] * 4 + [1] * 5 + [2] * 3
        assert near(levels_of(source), [10, 20, 30, 40, 110, 120, 130, 140, 150, 210, 220, 230])

    def test_a_list_of_labels(self, tmp_path):
        root = self.folder(tmp_path / "d")
        (root / "labels.csv").write_text("file,label\nb/1.mp4,7\na/1.avi,2\n")
        source = open_source(root, [SPEC], GRAY)
        assert source.labels.tolist() == [7] * 3 + [2] * 4
        assert source.groups.tolist() == [0] * 3 + [1] * 4
        assert near(levels_of(source), [210, 220, 230, 10, 20, 30, 40])

    def test_loose_videos(self, tmp_path):
        source = open_source(self.folder(tmp_path / "d") / "a", [SPEC], GRAY)
        assert (source.labels, source.groups.tolist()) == (None, [0] * 4 + [1] * 5)

    def test_frames_a_second(self, tmp_path):
        write_video(tmp_path / "d" / "1.avi", grays(range(0, 200, 20)), rate=10)
        write_video(tmp_path / "d" / "2.avi", grays(range(0, 200, 20)), rate=5)
        source = open_source(tmp_path / "d", [SPEC], GRAY, frames_per_second=2.5)
        assert source.groups.tolist() == [0] * 3 + [1] * 5
        assert near(levels_of(source), [0, 80, 160, 0, 40, 80, 120, 160])

    def test_a_batch_is_of_one_video(self, tmp_path):
        spec = SPEC._replace(shape=(2, 1, 2, 2))
        source = open_source(self.folder(tmp_path / "d"), [spec], GRAY)
        feeds = list(source)
        assert (len(source), len(feeds)) == (5, 5)
        assert source.groups.tolist() == [0] * 4 + [1] * 4 + [2] * 2
        assert source.labels.tolist() == [0] * 8 + [1] * 2
        assert near(levels_of(feeds), [10, 20, 30, 40, 110, 120, 130, 140, 210, 220])
        with pytest.raises(SourceError, match="1.mp4 gives 3 frames, which do not fill a batch of 4"):
            open_source(tmp_path / "d", [SPEC._replace(shape=(4, 1, 2, 2))], GRAY)

    def test_a_limit(self, tmp_path):
        spec = SPEC._replace(shape=(2, 1, 2, 2))
        (self.folder(tmp_path / "d") / "b" / "1.mp4").write_bytes(b"never opened")
        source = open_source(tmp_path / "d", [spec], GRAY, limit=3, spread=False)
        assert (len(source), source.labels.tolist(), source.groups.tolist()) == (3, [0] * 6, [0] * 4 + [1] * 2)
        assert near(levels_of(source), [10, 20, 30, 40, 110, 120])

    def test_a_limit_is_shared_by_the_videos_of_classes(self, tmp_path):
        root = self.folder(tmp_path / "d")
        source = open_source(root, [SPEC], GRAY, limit=7)
        # Two videos of class a with 4 and 5 frames, one of class b with 3: 3 + 2 + 2.
        assert source.labels.tolist() == [0] * 5 + [1] * 2
        assert source.groups.tolist() == [0] * 3 + [1] * 2 + [2] * 2
        assert near(levels_of(source), [10, 20, 30, 110, 120, 210, 220])
        # Fewer tasks than videos: of all classes.
        few = open_source(root, [SPEC], GRAY, limit=2)
        assert (few.labels.tolist(), few.groups.tolist()) == ([0, 1], [0, 1])
        # Where a video has less, the next ones have more; loose videos are a stream.
        assert open_source(root, [SPEC], GRAY, limit=15).groups.tolist() == [0] * 4 + [1] * 5 + [2] * 3
        assert open_source(root / "a", [SPEC], GRAY, limit=5).groups.tolist() == [0] * 4 + [1]

    @pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1.0), ("float16", 255.0), ("float64", 255.0)])
    def test_frames_for_inputs_of_other_types(self, tmp_path, dtype, scale):
        root = self.folder(tmp_path / "d") / "a"
        preprocess = GRAY._replace(pixel_scale=scale)
        found = [feed[SPEC.name] for feed in open_source(root, [SPEC._replace(dtype=dtype)], preprocess)]
        wanted = [feed[SPEC.name] for feed in open_source(root, [SPEC], preprocess)]
        assert len(found) == len(wanted) > 0
        assert {feed.dtype for feed in found} == {np.dtype(dtype)}
        assert np.array_equal(found, np.array(wanted).astype(dtype))
        with pytest.raises(SourceError, match="images do not suit input .*: it takes int32"):
            open_source(root, [SPEC._replace(dtype="int32")], preprocess)

    def test_the_same_way_from_pixels_to_inputs_as_for_images(self, tmp_path):
        preprocess = Preprocess(
            (24, 24), "bilinear", "bgr", "nhwc", 255.0, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "center", (30,)
        )
        rows, columns = np.mgrid[:48, :64]
        picture = np.stack([rows * 5, columns * 4, rows + columns], axis=-1).astype(np.uint8)
        path = write_video(tmp_path / "v.avi", [picture] * 2)
        feeds = list(open_source(path, [TensorSpec("x", "float32", (1, 24, 24, 3))], preprocess))
        frame = next(read_frames(str(path), [1]))
        assert np.array_equal(feeds[1]["x"], normalize(pixels(frame, preprocess), preprocess))
        assert np.abs(frame.astype(int) - picture).mean() < 3

    def test_memory_does_not_grow_with_the_video(self, tmp_path):
        count, frame_bytes = 200, 192 * 256 * 3
        path = write_video(tmp_path / "v.avi", grays(range(count), 192, 256))
        open_source(path, [SPEC], GRAY, limit=1)
        tracemalloc.start()
        try:
            assert sum(1 for _ in open_source(path, [SPEC], GRAY)) == count
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10 * frame_bytes < count * frame_bytes / 10

    def test_what_is_no_source(self, tmp_path):
        root = self.folder(tmp_path / "d")
        with pytest.raises(SourceError, match="is a video, but the bundle does not say how to preprocess them"):
            open_source(root / "a" / "1.avi", [SPEC], None)
        with pytest.raises(SourceError, match="no such source: .*3.avi"):
            open_source(root / "a" / "3.avi", [SPEC], GRAY)
        (root / "labels.csv").write_text("file,label\na/1.avi,0\na/9.avi,1\n")
        with pytest.raises(SourceError, match="labels.csv line 3: no such file 'a/9.avi'") as caught:
            open_source(root, [SPEC], GRAY)
        assert caught.value.hint == "paths are relative to the folder of labels.csv"
        (root / "a" / "p.png").write_bytes(b"x")
        for text in ("file,label\na/1.avi,0\na/p.png,1\n", None):
            if text is None:
                (root / "labels.csv").unlink()
            else:
                (root / "labels.csv").write_text(text)
            with pytest.raises(SourceError, match="d holds both images and videos") as caught:
                open_source(root, [SPEC], GRAY)
            assert caught.value.hint == "give each kind a folder of its own"
        write_video(root / "loose.avi", grays([1, 2]))
        with pytest.raises(SourceError, match="d holds videos both loose and in folders"):
            open_source(root, [SPEC], GRAY)
