"""Whether the manifest of a bundle describes the models that lie beside it: names, types, shapes, and who runs what.

Every function raises `CheckFailure` at the first difference, with what was expected and what was found.
"""

from __future__ import annotations

import onnx

from coachc.checks.bundle_half import Half
from coachc.core.graph import GraphView
from coachc.errors import CheckFailure
from coachc.frontend.model import Model
from coachc.passes.cut import outputs_on_cloud, outputs_on_device
from coachc.passes.quantizer_nodes import feature_name, has_feature
from coachc.runtime.bundle.manifest_types import Cut, Manifest
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed

Halves = tuple[Half, Half]


def check_description(manifest: Manifest, model: Model) -> None:
    """Whether the manifest describes the values of the model that is in the bundle."""
    for what, specs, names in (
        ("inputs", manifest.model.inputs, model.inputs),
        ("outputs", manifest.model.outputs, model.outputs),
    ):
        _equal(f"{what} of the model", [_described(model, name) for name in names], [tuple(spec) for spec in specs])
    for cut in manifest.cuts:
        for value in cut.values:
            if value.name not in model.values:
                raise CheckFailure(f"cut '{cut.name}' sends '{value.name}', which is no value of the model")
            expected, found = _described(model, value.name), (value.name, value.dtype, value.shape)
            _equal(f"value '{value.name}' of cut '{cut.name}'", expected, found)


def device_mask(graph: GraphView, halves: Halves, cut: Cut) -> int:
    """Which operators are on the device, read from the halves themselves: each in exactly one of them."""
    on_device, on_cloud = (half.nodes for half in halves)
    mask = 0
    for index, node in enumerate(graph.nodes):
        device, cloud = set(node.members) <= on_device, set(node.members) <= on_cloud
        if device == cloud:
            raise CheckFailure(
                f"operator '{node.name}' is in {'both halves' if device else 'neither half'} of '{cut.name}'"
            )
        mask |= device << index
    crossing = set(graph.cut_values(mask))
    listed = {value.name for value in cut.values}
    if crossing != listed or not graph.is_ideal(mask):
        raise CheckFailure(
            f"cut '{cut.name}' is not a frontier of the model",
            context=[f"expected {sorted(crossing)}", f"found    {sorted(listed)}"],
        )
    return mask


def check_ends(graph: GraphView, mask: int, halves: Halves, cut: Cut) -> None:
    """Whether both halves take and give what the manifest says, which is all that `coachc run` goes by.

    Segments may leave an input of the model alone, and give each other other values of the model.
    """
    codes = tuple(value.codes for value in cut.values)
    sides = outputs_on_device(graph, mask), outputs_on_cloud(graph, mask)
    names = [
        (set(half.inputs), half.outputs - (set(graph.values) - {*codes, *made} if half.is_shared else set()))
        for half, made in zip(halves, sides, strict=True)
    ]
    if halves[0].is_shared:
        names[0][0].update(graph.inputs)
    # The device has the inputs of the model, whether or not a half gives them as outputs.
    names[0] = names[0][0], names[0][1] | set(graph.inputs).intersection(sides[0])
    parameters = [quantizer_feed(cut, side) for side in ("device", "cloud")]
    features = {feature_name(v.name) for v in cut.packed_values if has_feature(v.shape)}
    for what, expected, found in (
        ("device_outputs", sides[0], cut.device_outputs),
        ("cloud_outputs", sides[1], cut.cloud_outputs),
        ("features", features.intersection(cut.features), cut.features),
        ("inputs of the device half", {*graph.inputs, *parameters[0]}, names[0][0]),
        ("outputs of the device half", {*codes, *sides[0], *cut.features}, names[0][1]),
        ("inputs of the cloud half", {*codes, *parameters[1]}, names[1][0]),
        ("outputs of the cloud half", set(sides[1]), names[1][1]),
    ):
        _equal(f"{what} of cut '{cut.name}'", sorted(expected), sorted(found))
    for half, side, arrays in zip(halves, ("device", "cloud"), parameters, strict=True):
        for name, item in half.inputs.items():
            if name in arrays:
                wanted = arrays[name]
                _equal(f"input '{name}' of the {side} half", (wanted.dtype.name, wanted.shape), _type_of(item))


def _described(model: Model, name: str) -> tuple[str, str, tuple[int, ...]]:
    return name, model.values[name].dtype, model.values[name].shape


def _type_of(item: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...]]:
    tensor = item.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return dtype.name, tuple(dim.dim_value for dim in tensor.shape.dim)


def _equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise CheckFailure(f"{what}: the manifest differs", context=[f"expected {expected}", f"found    {found}"])
