"""Paddings and what resizes or samples."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import constant, info

_TWICE = (1, 1, 2, 2)
_TF = "tf_half_pixel_for_nn"


def _pad(pads, *, shape=(3, 3), dtype: str = "float32", fill=None, **given) -> onnx.ModelProto:
    weights = [constant("p", pads, np.int64)]
    if fill is not None:
        weights.append(constant("v", fill, np.dtype(dtype)))
    return one("Pad", "x p" if fill is None else "x p v", x=(shape, dtype), weights=weights, **given)


def _pad_along_computed_axes() -> onnx.ModelProto:
    weights, more = [constant("p", [1, 1])], [info("a", (1,), "int64")]
    model = one("Pad", "x p _ a", weights=weights, more=more, opset=18)
    model.graph.output[0].CopyFrom(info("y", ("n", "c", "h", "w")))
    return model


def _resize(scales=None, sizes=None, *, shape=(1, 1, 4, 4), dtype: str = "float32", **given) -> onnx.ModelProto:
    inputs = "x _ s" if sizes is None else "x _ _ z"
    weights = [constant("s", scales, np.float32)] if sizes is None else [constant("z", sizes, np.int64)]
    return one("Resize", inputs, x=(shape, dtype), weights=weights, **given)


def _upsample(inputs: str = "x s", *, dtype: str = "float32", **given) -> onnx.ModelProto:
    weights = [] if given else [constant("s", _TWICE, np.float32)]
    return one("Upsample", inputs, x=((1, 1, 2, 2), dtype), weights=weights, opset=9, **given)


def _sample(mode: str, opset: int) -> onnx.ModelProto:
    given = {"mode": mode} if mode else {}
    return one("GridSample", "x g", more=[info("g", (1, 3, 3, 2))], opset=opset, **given)


def _align(**given) -> onnx.ModelProto:
    more, weights = [info("r", (2, 4))], [constant("i", [0, 0])]
    return one("RoiAlign", "x r i", more=more, weights=weights, output_height=2, output_width=2, **given)


def _open_axes(inputs: str, sizes: onnx.ValueInfoProto, axes) -> onnx.ModelProto:
    return one("Resize", inputs, more=[sizes], mode="nearest", axes=axes, opset=18)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "pad-negative": Sides(
        taken=(_pad([1, 0, 0, 0]), _pad([0, 0, 0, 0])),
        refused=(
            _pad([-1, 0, 0, 0]),
            _pad([-1, 2, 1, -1], fill=5.0),
            _pad([-1, 0, -1, 0], mode="edge"),
            _pad([-1, 0, 0, -2], shape=(5, 5), mode="reflect"),
            _pad([-1, 2, 0, 0], dtype="int32"),
            _pad([-1, 2, 0, 0], dtype="float16"),
        ),
        rtx="it takes negative pads, as TensorRT 10.4 and newer do",
    ),
    "pad-fill": Sides(
        taken=(
            _pad([1, 0, 0, 0], fill=5.0),
            _pad([1, 0, 0, 0], dtype="int32", fill=0),
            _pad([1, 0, 0, 0], dtype="int32"),
        ),
        refused=(
            _pad([1, 0, 0, 2], dtype="int32", fill=5),
            _pad([1, 1, 1, 1], dtype="int64", fill=5),
            _pad([1, 0, 0, 0], dtype="float16", fill=1),
            _pad([1, 0, 0, 0], dtype="float16", fill=0),
            _pad([1, 0, 0, 0], dtype="int8", fill=1),
            _pad([1, 0, 0, 0], dtype="bool", fill=True),
        ),
    ),
    "pad-half-fill": Sides(
        taken=(_pad([1, 0, 0, 0], dtype="float16", fill=0), _pad([1, 0, 0, 0], fill=5.0)),
        refused=(_pad([1, 0, 0, 0], dtype="float16", fill=1),),
    ),
    "pad-length": Sides(
        taken=(_pad([1, 0, 0, 0]), one("Pad", "x p", x=((3, 3), "float32"), more=[info("p", (4,), "int64")])),
        refused=(one("Pad", "x p", x=((3, 3), "float32"), more=[info("p", ("n",), "int64")]),),
    ),
    "pad-axes": Sides(
        taken=(
            one("Pad", "x p _ a", weights=[constant("p", [1, 1]), constant("a", [2])], opset=18),
            _pad([1, 0, 0, 0], opset=18),
        ),
        refused=(_pad_along_computed_axes(),),
    ),
    "resize-integers": Sides(
        taken=(_resize(_TWICE), _resize(_TWICE, dtype="float16"), _resize(_TWICE, dtype="int8")),
        refused=(
            _resize(_TWICE, dtype="int32", mode="nearest"),
            _resize(None, (1, 1, 6, 3), dtype="int32", mode="nearest"),
        ),
    ),
    "resize-bytes": Sides(
        taken=(_resize(_TWICE), _resize(_TWICE, dtype="int8")),
        refused=(_resize(_TWICE, dtype="uint8", mode="nearest"),),
    ),
    "resize-tf-rounding": Sides(
        taken=(
            _resize((1, 1, 1, 1.5), mode="nearest", coordinate_transformation_mode=_TF),
            _resize((1, 1, 1, 1.5), mode="nearest", nearest_mode="floor"),
        ),
        refused=tuple(
            _resize(scales, mode="nearest", coordinate_transformation_mode=_TF, nearest_mode=mode)
            for scales, mode in (((1, 1, 1, 1.5), "floor"), ((1, 1, 2, 3), "ceil"), ((1, 1, 0.5, 0.75), "floor"))
        ),
    ),
    "resize-tf-mode": Sides(
        taken=(_resize(_TWICE, mode="nearest", coordinate_transformation_mode=_TF), _resize(_TWICE, mode="linear")),
        refused=(
            _resize(_TWICE, mode="linear", coordinate_transformation_mode=_TF),
            _resize((1, 1, 1.5, 0.5), mode="linear", coordinate_transformation_mode=_TF),
        ),
    ),
    "resize-tf-sizes": Sides(
        taken=(_resize(_TWICE, mode="nearest", coordinate_transformation_mode=_TF), _resize(None, (1, 1, 8, 8))),
        refused=(
            _resize(None, (1, 1, 8, 8), mode="nearest", coordinate_transformation_mode=_TF),
            _resize(None, (1, 1, 3, 7), mode="nearest", coordinate_transformation_mode=_TF),
        ),
    ),
    "transformation": Sides(
        taken=(_resize(_TWICE, mode="linear"), _resize(_TWICE, coordinate_transformation_mode="asymmetric")),
        refused=(
            one(
                "Resize",
                "x r s",
                mode="linear",
                coordinate_transformation_mode="tf_crop_and_resize",
                weights=[constant("r", [0, 0, 0, 0, 1, 1, 0.5, 0.5], np.float32), constant("s", _TWICE, np.float32)],
            ),
            *(
                _resize(scales, mode=mode, coordinate_transformation_mode="half_pixel_symmetric", opset=19)
                for mode in ("linear", "nearest")
                for scales in (_TWICE, (1, 1, 1.4, 0.7))
            ),
        ),
    ),
    "aspect-ratio": Sides(
        taken=(one("Resize", "x _ _ z", weights=[constant("z", [2, 6])], mode="linear", axes=[2, 3], opset=18),),
        refused=tuple(
            one(
                "Resize",
                "x _ _ z",
                weights=[constant("z", [2, 6])],
                mode="linear",
                axes=[2, 3],
                keep_aspect_ratio_policy=policy,
                opset=18,
            )
            for policy in ("not_larger", "not_smaller")
        ),
    ),
    "antialias": Sides(
        taken=(
            _resize((1, 1, 0.5, 0.5), mode="linear", opset=18),
            _resize(_TWICE, mode="linear", antialias=0, opset=18),
        ),
        refused=(
            _resize((1, 1, 0.5, 0.5), mode="linear", antialias=1, opset=18),
            _resize(None, (1, 1, 3, 5), shape=(1, 1, 11, 9), mode="linear", antialias=1, opset=18),
            _resize(None, (1, 1, 3, 5), shape=(1, 1, 11, 9), mode="cubic", antialias=1, opset=18),
            _resize((1, 1, 0.6, 2), mode="cubic", antialias=1, opset=18),
        ),
    ),
    "mode": Sides(
        taken=(_resize(_TWICE, mode="linear"), _resize(_TWICE, mode="nearest")),
        refused=(
            _resize(_TWICE, mode="cubic"),
            _resize(
                None, (1, 1, 7, 3), mode="cubic", cubic_coeff_a=-0.5, coordinate_transformation_mode="align_corners"
            ),
            _resize((1, 1, 2, 1), mode="cubic", coordinate_transformation_mode="asymmetric"),
            _resize(_TWICE, mode="cubic", exclude_outside=1, coordinate_transformation_mode="pytorch_half_pixel"),
        ),
    ),
    "resize-cubic-axes": Sides(
        taken=(
            _resize(_TWICE, mode="cubic"),
            _resize(None, (1, 8, 8, 1), shape=(1, 4, 4, 1), mode="cubic"),
            _resize((1, 2, 2, 1), shape=(1, 4, 4, 1), mode="linear"),
        ),
        refused=(_resize((1, 2, 2, 1), shape=(1, 4, 4, 1), mode="cubic"),),
    ),
    "resize-scales": Sides(
        taken=(_resize(_TWICE), _resize(None, (1, 1, 8, 8))),
        refused=(one("Resize", "x _ s", more=[info("s", (4,))], mode="nearest"),),
    ),
    "resize-axes": Sides(
        taken=(
            _open_axes("x _ _ z", info("z", (2,), "int64"), [2, 3]),
            one("Resize", "x _ s", weights=[constant("s", [2], np.float32)], axes=[2], opset=18),
        ),
        refused=(
            _open_axes("x _ _ z", info("z", (2,), "int64"), [3, 2]),
            _open_axes("x _ _ z", info("z", (1,), "int64"), [2]),
        ),
    ),
    "upsample-scales": Sides(taken=(_upsample(),), refused=(_upsample(more=[info("s", (4,))]),)),
    "upsample-types": Sides(taken=(_upsample(),), refused=(_upsample(dtype="int32"), _upsample(dtype="uint8"))),
    "upsample-bytes": Sides(taken=(_upsample(),), refused=(_upsample(dtype="uint8"),)),
    "gridsample-linear": Sides(
        taken=(_sample("bilinear", 16), _sample("", 20), _sample("nearest", 20)), refused=(_sample("linear", 20),)
    ),
    "gridsample-cubic": Sides(taken=(_sample("bicubic", 16), _sample("nearest", 20)), refused=(_sample("cubic", 20),)),
    "sampling-ratio": Sides(
        taken=(_align(sampling_ratio=2), _align(sampling_ratio=0)), refused=(_align(), _align(mode="max"))
    ),
}
