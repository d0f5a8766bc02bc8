"""The last word on an imported model: onnx's checker with full inference, then a load in ONNX Runtime."""

from __future__ import annotations

import onnx
import onnx.checker

from coachc.errors import ModelError
from coachc.frontend import ort


def check(model: onnx.ModelProto) -> None:
    """Check a normalised model.

    Parameters
    ----------
    model : ModelProto

    Raises
    ------
    ModelError
        onnx's checker or ONNX Runtime refuses it. Without onnxruntime the second part is left out.
    """
    try:
        data = model.SerializeToString()
        onnx.checker.check_model(data, full_check=True)
    except Exception as exc:  # ValidationError, InferenceError, and protobuf's for messages above 2 GiB
        raise ModelError(
            "onnx's checker refuses the model",
            context=(f"onnx says    {' '.join(str(exc).split())}",),
            hint="mend the named node and export again",
        ) from exc
    if ort.available():
        ort.session(data)
