"""Every style of mask, decoded as its keys say, is the one that the logits hold."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.errors import UsageError
from coachc.models.canvases import SIZE, as_input, scenes
from coachc.models.segmenter_heads import STYLES, export, spec_of
from coachc.runtime.decode.decoder import decoder_of


def run(style, pictures):
    import onnxruntime

    session = onnxruntime.InferenceSession(export(style).SerializeToString(), providers=["CPUExecutionProvider"])
    (value,) = session.get_outputs()
    return {value.name: session.run([value.name], {"input": pictures})[0]}


@pytest.mark.needs("sklearn", "onnxruntime")
def test_each_style_says_the_same_mask():
    pictures = as_input([one.picture for one in scenes(2, 5)])
    logits = run("logits", pictures)["logits"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    ink = 1 - shares[:, 0] / shares.sum(1)
    for style in STYLES:
        outputs = run(style, pictures)
        decoder = decoder_of(spec_of(style), {name: array.shape for name, array in outputs.items()}, (SIZE, SIZE))
        masks = np.stack(decoder.decode(outputs))
        if style == "threshold":
            # A pixel that is even may fall to either side by rounding.
            sure = np.abs(ink - 0.5) > 1e-5
            assert ((masks == 1) == (ink > 0.5))[sure].all()
            assert sure.mean() > 0.99
        else:
            assert (masks == logits.argmax(1)).all()
            assert len(np.unique(masks)) > 5


@pytest.mark.parametrize(
    ("style", "shape", "kind"), [("argmax", ["N", 128, 128], 7), ("threshold", ["N", 1, 128, 128], 1)]
)
def test_shapes_and_types(style, shape, kind):
    (value,) = export(style).graph.output
    assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == shape
    assert value.type.tensor_type.elem_type == kind


@pytest.mark.parametrize("ask", [export, spec_of])
def test_an_unknown_style(ask):
    with pytest.raises(UsageError, match="there is no mask 'deeplab'") as caught:
        ask("deeplab")
    assert caught.value.hint == "one of logits, argmax, threshold"
