"""Every rewrite: by operator, which definition it comes before or what it is made of; by limit, what mends it."""

from __future__ import annotations

from coachc.passes.lower import (
    activations,
    affine_grid,
    batch_norm,
    casts,
    comparisons,
    cumulative,
    einsum,
    gather_indices,
    global_pools,
    grid_sample,
    mend_arithmetic,
    mend_spatial,
    mend_structure,
    normalizations,
    one_hot,
    pads,
    pools,
    qdq_versions,
    qdq_weights,
    recurrent,
    reductions,
    region_align,
    remainders,
    resizes,
    scatters,
    small_integers,
    splits,
    triangles,
    views,
)
from coachc.passes.lower.builder import Rewrite

#: Operator -> the older form of a node, used where the operator has another definition at the older opset. An operator
#: that is not here keeps its form: attributes that the older definition lacks must have their defaults, its types must
#: be among the older ones (`passes.lower.schema.fit`). True of those whose later definitions only added types.
OLDER: dict[str, Rewrite] = {
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
         "ReduceProd", "ReduceSumSquare"),
        reductions.axes_as_attribute,
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), small_integers.through_int32),
    "Relu": small_integers.relu_as_max,
    "AveragePool": pools.undilated,
    "LpPool": pools.undilated,
    "BatchNormalization": batch_norm.inference_only,
    "Cast": casts.plain_cast,
    "DequantizeLinear": qdq_versions.dequantize,
    "QuantizeLinear": qdq_versions.quantize,
    "GRU": recurrent.time_first,
    "LSTM": recurrent.time_first,
    "RNN": recurrent.time_first,
    "GridSample": grid_sample.names_of_images,
    "Pad": pads.pads_of_all_axes,
    "Reshape": views.reshape_without_allowzero,
    "Resize": resizes.of_all_axes,
    "RoiAlign": region_align.unshifted,
    "ScatterElements": scatters.overwriting,
    "ScatterND": scatters.overwriting,
    "Shape": views.shape_without_window,
    "Split": splits.sizes_instead_of_count,
}  # fmt: skip

#: Operator -> what it is made of, for targets that do not have it. Others that ONNX itself defines as functions of
#: simpler operators (Attention, CenterCropPad, RotaryEmbedding, Shrink ...) take that definition.
PARTS: dict[str, Rewrite] = {
    "AffineGrid": affine_grid.as_matmul,
    "CastLike": casts.cast_to_known_type,
    "Celu": activations.celu,
    "CumSum": cumulative.by_triangle,
    "DequantizeLinear": qdq_weights.through_float,
    "Einsum": einsum.as_matmul,
    "Gather": gather_indices.from_the_front,
    "Gelu": activations.gelu,
    "GlobalAveragePool": global_pools.as_reduction,
    "GlobalMaxPool": global_pools.as_reduction,
    "GreaterOrEqual": comparisons.or_equal,
    "GroupNormalization": normalizations.group_norm,
    "HardSigmoid": activations.hard_sigmoid,
    "HardSwish": activations.hard_swish,
    "InstanceNormalization": normalizations.instance_norm,
    "IsInf": comparisons.equal_to_infinity,
    "IsNaN": comparisons.not_equal_to_itself,
    "LayerNormalization": normalizations.layer_norm,
    "LessOrEqual": comparisons.or_equal,
    "Mish": activations.mish,
    "Mod": remainders.integer_mod,
    "OneHot": one_hot.compared,
    "RMSNormalization": normalizations.rms_norm,
    "Reciprocal": comparisons.one_divided,
    "Swish": activations.swish,
    "Trilu": triangles.masked,
    "Xor": comparisons.either_but_not_both,
}

#: "Operator/limit" -> what takes the place of a node that a target refuses for that limit, before `PARTS` is asked.
MENDED: dict[str, Rewrite] = {**mend_spatial.MENDS, **mend_arithmetic.MENDS, **mend_structure.MENDS}
