"""Every style of head says the same boxes: decoded as its keys say, it finds what the raw outputs hold."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from coachc.errors import UsageError
from coachc.models import detector_heads
from coachc.models.canvases import SIZE, as_input, scenes
from coachc.models.detector_heads import MOST, SCORE, STYLES, export, spec_of
from coachc.models.detector_outputs import IOU, boxes_and_scores
from coachc.models.scene_scores import suppress
from coachc.runtime.decode.decoder import decoder_of

END_TO_END = ("nms", "efficient_nms", "selected_indices")


def run(model, pictures):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": pictures}), strict=True))


def clipped(boxes):
    """As some decoders clip before they suppress and others leave it to what follows, compared is what is inside."""
    return boxes.clip(0, SIZE)


@pytest.fixture(scope="module")
def pictures():
    return as_input([one.picture for one in scenes(6, 5)])


@pytest.fixture(scope="module")
def expected(pictures):
    """For each picture rows of x1, y1, x2, y2, score, class, by falling score, read from the raw outputs here."""
    found = []
    raw = list(run(export("fcos"), pictures).values())
    for boxes, scores in zip(*boxes_and_scores(raw), strict=True):
        rows = []
        for digit in range(10):
            sure = np.flatnonzero(scores[:, digit] > SCORE)
            kept = sure[suppress(boxes[sure], scores[sure, digit], IOU)]
            rows += [[*clipped(boxes[place]), scores[place, digit], digit] for place in kept]
        found.append(np.array(sorted(rows, key=lambda row: -row[4]), np.float32).reshape(-1, 6))
    return found


@pytest.mark.needs("sklearn", "onnxruntime")
@pytest.mark.parametrize("style", STYLES)
def test_each_style_says_the_same_boxes(style, pictures, expected):
    model, spec = export(style), spec_of(style)
    # Suppression inside the model is for one picture at a time.
    batches = [pictures[place : place + 1] for place in range(len(pictures))] if style in END_TO_END else [pictures]
    found = []
    for batch in batches:
        outputs = run(model, batch)
        decoder = decoder_of(spec, {name: array.shape for name, array in outputs.items()}, (SIZE, SIZE))
        found += decoder.decode(outputs)
    assert len(found) == len(expected)
    assert sum(len(rows) for rows in expected) > 10
    for ours, rows in zip(found, expected, strict=True):
        # Logarithms and a division by the objectness round: a thousandth of a pixel, a hundred thousandth of a score.
        np.testing.assert_allclose(ours.scores, rows[:, 4], atol=1e-5)
        assert ours.classes.tolist() == rows[:, 5].tolist()
        np.testing.assert_allclose(clipped(ours.boxes), rows[:, :4], atol=2e-3)


@pytest.mark.parametrize("style", STYLES)
def test_the_shapes_are_known_and_the_keys_are_json(style):
    model, spec = export(style), spec_of(style)
    assert (model.ir_version, model.opset_import[0].version) == (7, 13)
    assert json.loads(json.dumps(spec)) == spec
    names = [value.name for value in model.graph.output]
    assert sorted(names) == sorted(spec["outputs"])
    for value in model.graph.output:
        first, *others = (dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        assert all(isinstance(length, int) for length in others)
        assert first == (1 if style in END_TO_END else "N") or value.name == "selected"


def test_the_shapes_of_the_published_layouts():
    def shape(style):
        (value,) = export(style).graph.output
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert shape("yolov8") == ["N", 14, 320]
    assert shape("yolov5") == shape("yolox") == ["N", 320, 15]
    assert shape("nms") == [1, MOST, 6]


@pytest.mark.needs("sklearn", "onnxruntime")
def test_rows_below_the_last_are_zero(pictures):
    (rows,) = run(export("nms"), pictures[:1])["output"]
    count = int((rows[:, 4] > 0).sum())
    assert 0 < count < MOST
    assert (np.diff(rows[:, 4]) <= 0).all()
    assert not rows[count:].any()
    assert run(export("efficient_nms"), pictures[:1])["num_dets"].tolist() == [[count]]


def test_the_committed_file_is_left_as_it_is():
    before = detector_heads.DETECTOR_FILE.read_bytes()
    nodes = len(onnx.load(detector_heads.DETECTOR_FILE).graph.node)
    assert len(export("fcos").graph.node) == nodes
    assert len(export("yolov8").graph.node) > nodes
    assert detector_heads.DETECTOR_FILE.read_bytes() == before


@pytest.mark.parametrize("ask", [export, spec_of])
def test_an_unknown_style(ask):
    with pytest.raises(UsageError, match="there is no head 'yolov9'") as caught:
        ask("yolov9")
    assert "yolov8" in caught.value.hint
