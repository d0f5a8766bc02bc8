import numpy as np
import pytest

from coachc.runtime.decode.detections import Detections, Placement, in_source, mask_in_source

LETTERBOX = Placement(0.5, 0.25, 16.0, 8.0, 640, 480)


def found(*boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.linspace(1, 0.5, len(boxes)).astype(np.float32), np.arange(len(boxes), dtype=np.int32))


def test_boxes_go_to_the_source_and_back():
    rng = np.random.RandomState(0)
    low = rng.uniform(0, [600, 440], (50, 2))
    source = np.concatenate([low, low + rng.uniform(1, 40, (50, 2))], axis=1)
    placed = source * [0.5, 0.25, 0.5, 0.25] + [16, 8, 16, 8]
    back = in_source(found(*placed), LETTERBOX)
    assert back.boxes.dtype == np.float32
    assert np.allclose(back.boxes, source, atol=1e-3)
    assert back.classes.tolist() == list(range(50))


def test_boxes_are_clipped_to_the_source_and_empty_ones_go():
    beyond = [0, 0, 1000, 1000]
    left_of_it = [0, 10, 15, 20]
    flat = [20, 20, 40, 20]
    inside = [20, 10, 40, 20]
    back = in_source(found(beyond, left_of_it, flat, inside), LETTERBOX)
    assert back.boxes.tolist() == [[0, 0, 640, 480], [8, 8, 48, 48]]
    assert back.classes.tolist() == [0, 3]
    assert back.scores.tolist() == found(beyond, left_of_it, flat, inside).scores[[0, 3]].tolist()


def test_no_boxes_stay_no_boxes():
    back = in_source(found(), LETTERBOX)
    assert (back.boxes.shape, back.scores.shape, back.classes.shape) == ((0, 4), (0,), (0,))
    assert (back.boxes.dtype, back.scores.dtype, back.classes.dtype) == (np.float32, np.float32, np.int32)


@pytest.mark.parametrize("coarse", [1, 2, 4])
@pytest.mark.parametrize("at", [Placement(0.5, 0.5, 4.0, 0.0, 16, 32), Placement(2.0, 1.0, -8.0, -3.0, 16, 20)])
def test_masks_take_the_nearest_element(at, coarse):
    mask = np.arange(16 * 16 // coarse**2, dtype=np.uint16).reshape(16 // coarse, 16 // coarse)
    back = mask_in_source(mask, at, (16, 16))
    assert (back.shape, back.dtype) == ((at.height, at.width), np.uint16)
    last = 16 // coarse - 1
    for row in range(at.height):
        for column in range(at.width):
            y = int(np.floor(((row + 0.5) * at.scale_y + at.offset_y) / coarse))
            x = int(np.floor(((column + 0.5) * at.scale_x + at.offset_x) / coarse))
            assert back[row, column] == mask[min(max(y, 0), last), min(max(x, 0), last)]


def test_padding_of_a_letterbox_is_cut_away():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6] = 7
    assert (mask_in_source(mask, Placement(0.5, 0.5, 0.0, 2.0, 16, 8), (8, 8)) == 7).all()
