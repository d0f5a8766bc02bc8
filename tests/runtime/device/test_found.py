"""Boxes and masks of a run in the source pictures' pixels, and the files they go to."""

import json

import numpy as np
import pytest

from coachc.runtime.bundle.feeds import Source
from coachc.runtime.decode.decoder import decoder_of
from coachc.runtime.decode.detections import Detections, Placement
from coachc.runtime.device.found import Findings, answers_file
from coachc.runtime.device.outcome import Done, Failed
from coachc.runtime.errors import CoachRuntimeError, UsageError

BOXES = decoder_of(
    {"kind": "boxes", "head": "nms", "form": "rows", "classes": ["cat", "dog"], "outputs": ["y"], "score": 0.5},
    {"y": (1, 4, 6)},
    (64, 64),
)
MASKS = decoder_of({"kind": "mask", "head": "argmax", "classes": 3, "outputs": ["y"]}, {"y": (1, 3, 4, 4)}, (4, 4))


class Pictures(Source):
    """Two pictures a task, twice as large as the input; or arrays."""

    def __init__(self, placed=True):
        self.placed = placed

    def __len__(self):
        return 3

    def __iter__(self):
        return iter(())

    def name_of(self, row):
        return "p{}.png".format(row)

    def placement(self, row):
        return Placement(0.5, 0.5, 0.0, 0.0, 8, 8) if self.placed else None


def detections(*boxes):
    made = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(made, np.linspace(0.9, 0.4, len(made)).astype(np.float32), np.arange(len(made), dtype=np.int32))


def test_what_is_found_is_where_it_is_in_the_picture():
    seen = []
    findings = Findings(Pictures(), (4, 4), 2, [lambda name, found: seen.append((name, found))])
    for task, taken in ((0, 0), (2, 1)):  # task 1 could not be read
        findings.expect(task, taken)
    findings.end(Done(2, (detections((1, 1, 3, 2)), detections()), 0.0, 0.0))
    findings.end(Failed(1, "input", "no picture"))
    findings.end(Done(0, (np.eye(4, dtype=np.uint8), np.zeros((4, 4), np.uint8)), 0.0, 0.0))
    assert [name for name, _ in seen] == ["p2.png", "p3.png", "p0.png", "p1.png"]
    assert seen[0][1].boxes.tolist() == [[2, 2, 6, 4]]
    assert len(seen[1][1].boxes) == 0
    assert np.array_equal(seen[2][1], np.repeat(np.repeat(np.eye(4), 2, axis=0), 2, axis=1))


def test_arrays_are_no_pictures_and_what_is_found_stays_in_the_input():
    seen = []
    findings = Findings(Pictures(placed=False), (4, 4), 1, [lambda name, found: seen.append(found)])
    findings.expect(0, 0)
    findings.end(Done(0, (detections((1, 1, 3, 2)),), 0.0, 0.0))
    findings.end(Done(7, (detections((1, 1, 3, 2)),), 0.0, 0.0))  # nobody expects it
    assert [one.boxes.tolist() for one in seen] == [[[1, 1, 3, 2]]]


def test_boxes_are_lines_of_json(tmp_path):
    file = answers_file(str(tmp_path / "found.jsonl"), BOXES)
    file("a.png", detections((1, 2, 3.126, 4), (0, 0, 1, 1)))
    file("b.png", detections())
    file.close()
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    # The second scores less than the decoder shows: whoever asked for it got it, the file is for people.
    assert lines == [
        {"picture": "a.png", "boxes": [{"box": [1.0, 2.0, 3.13, 4.0], "score": 0.9, "class": 0, "name": "cat"}]},
        {"picture": "b.png", "boxes": []},
    ]
    assert file.dropped == 0


def test_masks_are_arrays_by_the_name_of_the_picture(tmp_path):
    file = answers_file(str(tmp_path / "found.npz"), MASKS)
    for number in range(3):
        file("clip.mp4" if number else "a/b.png", np.full((2, 3), number, np.uint8))
    file.close()
    with np.load(str(tmp_path / "found.npz")) as stored:
        assert {name: stored[name].tolist() for name in stored.files} == {
            "a/b.png": [[0] * 3] * 2, "clip.mp4": [[1] * 3] * 2, "clip.mp4 2": [[2] * 3] * 2
        }  # fmt: skip


@pytest.mark.parametrize(("decoder", "name"), [(BOXES, "x.npz"), (MASKS, "x.jsonl"), (MASKS, "x")])
def test_a_file_of_the_other_kind_is_refused(decoder, name, tmp_path):
    with pytest.raises(UsageError, match="go to a "):
        answers_file(str(tmp_path / name), decoder)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(("decoder", "name"), [(BOXES, "x.jsonl"), (MASKS, "x.npz")])
def test_a_place_that_there_is_not_is_said_at_once(decoder, name, tmp_path):
    with pytest.raises(CoachRuntimeError, match="cannot write"):
        answers_file(str(tmp_path / "none" / name), decoder)


def test_a_full_disk_ends_the_file_and_not_the_run(tmp_path, monkeypatch):
    boxes = answers_file(str(tmp_path / "x.jsonl"), BOXES)
    masks = answers_file(str(tmp_path / "x.npz"), MASKS)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(masks._zip, "writestr", full)
    monkeypatch.setattr(boxes._file._file, "write", full)
    for _ in range(2):
        boxes("a.png", detections((0, 0, 1, 1)))
        masks("a.png", np.zeros((2, 2), np.uint8))
    assert (boxes.dropped, masks.dropped) == (2, 2)
    boxes.close()
    masks.close()
