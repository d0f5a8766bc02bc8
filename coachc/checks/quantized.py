"""Whether the quantized halves of a cut do what their manifest says, at every precision a task can take.

Each precision is compared with the whole model that has QuantizeLinear and DequantizeLinear where values cross: the
codes one by one, the outputs to float rounding. Where operators of the device half were taken apart for its target, a
value within float rounding of the border between two codes may get the other one. The precision chosen is compared on
every input, each other one on the first: only the numbers fed differ then, and each one more costs the whole model
loaded and run once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from coachc.checks.bundle_half import Half
from coachc.checks.recompose import TOLERANCE, Feed, Finding, compare
from coachc.checks.storing_session import StoringSession
from coachc.core.plan import Quantizer
from coachc.errors import CheckFailure
from coachc.frontend.model import Model
from coachc.frontend.opset import opset_of
from coachc.frontend.rounding import admissible
from coachc.passes.insert_qdq import insert_reference
from coachc.passes.quantizer_nodes import codes_name, feature_name
from coachc.runtime.bundle.manifest_types import Cut, CutValue
from coachc.runtime.bundle.quantizer_inputs import value_inputs

#: Bits of each packed value.
Bits = Mapping[str, int]


def precisions(cut: Cut) -> list[Bits]:
    """The precision chosen, then all values of a cut at each number of bits that one of them has.

    A value without a quantizer at that number of bits stays at its own. Only the first where the quantizers of a half
    are constants.
    """
    chosen = {value.name: value.bits for value in cut.packed_values}
    if not (cut.device_parameters and cut.cloud_parameters):
        return [chosen]
    known = {value.name: {level.bits for level in value.levels} for value in cut.packed_values}
    rungs = [
        {name: bits if bits in known[name] else chosen[name] for name in chosen}
        for bits in sorted(set().union(*known.values()))
    ]
    return [chosen, *(rung for rung in rungs if rung != chosen)]


def parameter_inputs(cut: Cut, side: str, bits: Bits) -> dict[str, np.ndarray]:
    """What the runtime feeds the quantizers of a half ("device" or "cloud")."""
    inputs = {}
    for value in cut.packed_values:
        inputs.update(value_inputs(cut, value, side, bits[value.name]))
    return inputs


def check_quantized(
    cut: Cut,
    halves: tuple[Half, Half],
    model: Model,
    cloud_nodes: AbstractSet[str],
    feeds: Sequence[Feed],
    floats: Sequence[Mapping[str, np.ndarray]],
    *,
    kind: str,
) -> Iterator[Finding]:
    """Compare the halves with the whole model at every precision.

    Parameters
    ----------
    cut : Cut
    halves : (Half, Half)
    model : Model
    cloud_nodes : set of str
        Names of the model's nodes on the cloud.
    feeds : sequence of mapping
        Inputs of the model.
    floats : sequence of mapping
        The boundary values, by name, that the whole model makes of each.
    kind : str
        Of the inputs, for messages.

    Raises
    ------
    CheckFailure
        A code, an output or a feature differs.
    """
    device, cloud = (half.load() for half in halves)
    # Operators written in another way round in other places.
    apart = admissible(model.proto, TOLERANCE)
    tolerance = apart if was_rewritten(halves[0], model) else 0.0
    of_outputs = apart if tolerance or was_rewritten(halves[1], model) else TOLERANCE
    rungs, tasks = precisions(cut), list(zip(feeds, floats, strict=True))
    codes, at_border, worst, worst_feature = 0, 0, 0.0, 0.0
    for index, bits in enumerate(rungs):
        quantizers = [_quantizer(value, bits) for value in cut.values]
        reference = StoringSession(insert_reference(model, quantizers, cloud_nodes))
        for feed, values in tasks if index == 0 else tasks[:1]:
            expected = reference.run(feed)
            made = device.run({**feed, **parameter_inputs(cut, "device", bits)})
            made = {**{name: feed[name] for name in cut.device_outputs if name in feed}, **made}
            where = f"cut '{cut.name}', {kind} inputs, {_in_words(bits)}"
            sent = {}
            for value, quantizer in zip(cut.values, quantizers, strict=True):
                sent[value.codes], moved = _codes(
                    value, quantizer, made, expected, values[value.name], where, tolerance
                )
                at_border += moved
            codes += sum(sent[value.codes].size for value in cut.packed_values)
            answered = cloud.run({**sent, **parameter_inputs(cut, "cloud", bits)})
            together = {**made, **{name: answered[name] for name in cut.cloud_outputs}}
            outputs = {name: expected[name] for name in model.outputs}
            worst = max(worst, compare(outputs, together, where, of_outputs))
            worst_feature = max(worst_feature, _check_features(cut, made, values, max(tolerance, TOLERANCE)))
    yield Finding(
        "quantized",
        f"{codes} codes at {len(rungs)} {'precision' if len(rungs) == 1 else 'precisions'} equal QuantizeLinear's, "
        + (f"but for {at_border} at the border between two, " if at_border else "")
        + f"outputs within {worst:.1e} of the Q/DQ reference",
    )
    if cut.features:
        yield Finding("features", f"{len(cut.features)} equal the mean of their value within {worst_feature:.1e}")


def _codes(
    value: CutValue, quantizer: Quantizer, made: Feed, expected: Feed, real: np.ndarray, where: str, tolerance: float
) -> tuple[np.ndarray, int]:
    """What the cloud half is given of a value, having compared the device half's codes with QuantizeLinear's.

    Returns
    -------
    codes : ndarray
        QuantizeLinear's where a value is at the border between two codes, so that the cloud half is compared on equal
        terms.
    count : int
        How many these are.
    """
    found = made[value.codes]
    if not value.packed:
        return found, 0
    wanted = expected[codes_name(value.name)]
    differing = int(np.sum(found != wanted))
    if differing:
        wide, other = wanted.astype(np.int64), found.astype(np.int64)
        scale, zero_point = (
            np.broadcast_to(
                np.reshape(numbers, [1, -1, *[1] * (real.ndim - 2)] if len(numbers) > 1 else []), real.shape
            )
            for numbers in (quantizer.scale, quantizer.zero_point)
        )
        border = (np.minimum(wide, other) + 0.5 - zero_point) * scale
        near = np.abs(real.astype(np.float64) - border) <= tolerance * float(np.max(np.abs(real)))
        admissible = near & (np.abs(wide - other) == 1) & (tolerance > 0)
        wrong = int(np.sum((found != wanted) & ~admissible))
        if wrong:
            raise CheckFailure(
                f"codes of '{value.name}' differ from QuantizeLinear",
                context=[f"{wrong} of {wanted.size} codes, {where}"],
                hint="recompile the bundle; report this if it happens again",
            )
    return wanted.astype(np.uint8), differing


def was_rewritten(half: Half, model: Model) -> bool:
    """Whether an operator of the model is made of others there, or is that of another opset.

    The last of the others has its name. Of another opset ONNX Runtime may have another kernel, which adds in another
    order: AveragePool's, from 19 on, by 2.4e-7 on noise.
    """
    operators = {node.name: node.op_type for node in model.proto.graph.node}
    apart = any(
        operators.get(node.name, node.op_type) != node.op_type for proto in half.models for node in proto.graph.node
    )
    return apart or any(opset_of(proto) != model.opset for proto in half.models)


def _check_features(cut: Cut, made: Feed, values: Feed, tolerance: float) -> float:
    """Largest difference of a feature from the mean of its value, relative to the value's largest magnitude."""
    worst = 0.0
    for value in cut.values:
        name = feature_name(value.name)
        if name not in cut.features:
            continue
        array = values[value.name].astype(np.float64)
        mean, found = array.mean(axis=tuple(range(2, array.ndim))), made[name]
        finite = np.isfinite(mean)
        same = np.array_equal(found[~finite], mean[~finite], equal_nan=True)
        difference = np.max(np.abs(found - mean)[finite], initial=0.0)
        relative = float(difference / (np.max(np.abs(array[np.isfinite(array)]), initial=0.0) or 1.0))
        if not (same and relative <= tolerance):
            raise CheckFailure(
                f"'{name}' is not the mean of its value at cut '{cut.name}'",
                context=[f"relative difference {relative:.3g}", f"admissible {tolerance:g}"],
            )
        worst = max(worst, relative)
    return worst


def _quantizer(value: CutValue, bits: Bits) -> Quantizer:
    if not value.packed:
        return Quantizer(value.name, value.codec, value.bits)
    level = value.level(bits[value.name])
    return Quantizer(value.name, value.codec, level.bits, level.scale, level.zero_point)


def _in_words(bits: Bits) -> str:
    return ", ".join(f"{count} bits" for count in sorted(set(bits.values()))) or "nothing packed"
