"""Which opsets are read, and the lift of old ones to 13. The converted model must compute what the original did.

13 is the floor of everything later: per-channel QuantizeLinear starts there, and TensorRT 8.2 (TX2) parses it.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter

from coachc.errors import ModelError
from coachc.frontend import ort, walk

OLDEST_OPSET = 7  # the converter's adapters for opset 6 and below (broadcast attributes) are incomplete
# Measured with onnxruntime 1.32.0: it loads models up to opset 28, but implements QuantizeLinear, which the compiler
# inserts at the cut, up to 27 only. tests/coachc/frontend/test_opset.py compares this with the installed one.
NEWEST_OPSET = 27
LIFTED_OPSET = 13
_LOWEST_IR = 4  # from 4 on initializers need not be graph inputs

_VISION_HINT = f"re-export with opset_version={LIFTED_OPSET} or newer"


def newest_opset() -> int:
    """The newest ai.onnx opset that both the installed onnx and ONNX Runtime know."""
    return min(NEWEST_OPSET, onnx.defs.onnx_opset_version())


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ai.onnx, spelled either way; 0 when the model imports other domains only."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def check_opset(model: onnx.ModelProto) -> None:
    """Refuse an ai.onnx opset outside the supported range.

    Raises
    ------
    ModelError
    """
    found = opset_of(model)
    if not found:
        raise ModelError("the model imports no opset of ai.onnx", hint=_VISION_HINT)
    if not OLDEST_OPSET <= found <= newest_opset():
        wanted = LIFTED_OPSET if found < OLDEST_OPSET else 18
        raise ModelError(
            f"the model has opset {found}; coachc supports {OLDEST_OPSET} to {newest_opset()}",
            context=(f"expected     opset {OLDEST_OPSET} to {newest_opset()}", f"found        opset {found}"),
            hint=f"re-export with opset_version={wanted}",
        )


def stamp_ir(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the lowest IR version its opsets allow, so that older readers accept it; itself where it has that."""
    if model.ir_version == lowest_ir(model):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.ir_version = lowest_ir(model)
    return result


def lowest_ir(model: onnx.ModelProto) -> int:
    """The lowest IR version that a model's opsets allow and that initializers need."""
    return max(onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True), _LOWEST_IR)


def lift(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a model below opset 13 to 13, and prove by a run that it computes the same.

    Parameters
    ----------
    model : ModelProto
        Normalised, with static input shapes.

    Returns
    -------
    ModelProto
        `model` itself if nothing had to be done. New nodes are unnamed.

    Raises
    ------
    ModelError
        The converter lacks an adapter, or its result computes something else; names the operator.
    ToolchainError
        onnxruntime is not installed.
    """
    source = opset_of(model)
    if source >= LIFTED_OPSET:
        return model
    original = stamp_ir(model)
    try:
        # Adapters read ranks and dimensions: some rewrites (Softmax) are longer or impossible without.
        original = onnx.shape_inference.infer_shapes(original, data_prop=True)
        lifted = onnx.version_converter.convert_version(original, LIFTED_OPSET)
    except Exception as exc:  # RuntimeError, ConvertError and InferenceError share no nearer base
        raise ModelError(
            f"the model cannot be converted from opset {source} to {LIFTED_OPSET}",
            context=(f"onnx says    {' '.join(str(exc).split())}",),
            hint=_VISION_HINT,
        ) from exc
    if source < 11:
        _restore_resize_coordinates(lifted)
    lifted = stamp_ir(lifted)
    _verify(original, lifted, source)
    return lifted


def _restore_resize_coordinates(model: onnx.ModelProto) -> None:
    """Upsample and Resize before opset 11 sampled at x / scale, rounding down.

    onnx 1.23.2's converter leaves the new attributes at their defaults (half_pixel, round_prefer_floor): every linear
    resize would silently shift by half a pixel.
    """
    for node in walk.nodes(model.graph):
        if node.op_type == "Resize" and not node.domain:
            for name, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")):
                if walk.attribute(node, name) is None:
                    node.attribute.append(onnx.helper.make_attribute(name, value))


def _verify(original: onnx.ModelProto, lifted: onnx.ModelProto, source: int) -> None:
    feed = ort.seeded_inputs(original, seed=0)
    before, after = ort.run(original, feed), ort.run(lifted, feed)
    wrong = [name for name in before if not same(before[name], after[name])]
    if not wrong:
        return
    blamed = _first_difference(original, lifted, feed)
    raise ModelError(
        f"conversion from opset {source} to {LIFTED_OPSET} changes what {blamed} computes",
        context=(f"output       '{wrong[0]}' differs on a random input",),
        hint=_VISION_HINT,
    )


def same(expected: np.ndarray, found: np.ndarray) -> bool:
    """Equal up to float rounding: 1e-4 of the largest magnitude (1e-2 for float16); other types exactly."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    if expected.dtype.kind != "f":
        return bool(np.array_equal(expected, found))
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max()) if finite.size else 0.0
    tolerance = (1e-2 if expected.dtype == np.float16 else 1e-4) * scale
    return bool(np.allclose(expected, found, rtol=0, atol=tolerance, equal_nan=True))


def _first_difference(original: onnx.ModelProto, lifted: onnx.ModelProto, feed: dict[str, np.ndarray]) -> str:
    """The first node, in order, whose output of the same name differs."""
    common = {name for node in lifted.graph.node for name in node.output if name}
    kinds = {value.name: value.type.WhichOneof("value") for value in original.graph.value_info}
    outputs = {value.name for value in original.graph.output}
    for node in original.graph.node:
        for name in node.output:
            if name not in common or (name not in outputs and kinds.get(name) != "tensor_type"):
                continue
            before, after = (ort.run(with_outputs(model, (name,)), feed, (name,))[name] for model in (original, lifted))
            if not same(before, after):
                return walk.label(node)
    return "the model"


def with_outputs(model: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """A copy with these values as its only outputs, their types left to ONNX Runtime."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    del result.graph.output[:]
    for name in names:
        result.graph.output.append(known.get(name, onnx.ValueInfoProto(name=name)))
    return result
