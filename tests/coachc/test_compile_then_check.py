"""Whatever compiles passes its own check: networks made at random, for every device, and models from elsewhere."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest

from coachc.models import synthetic
from tests.helpers.bundles import save
from tests.helpers.commands import coachc
from tests.helpers.narrow import in_float16
from tests.helpers.onnx_models import constant, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

DEVICES = ("tx2", "xavier-nx", "orin-nano")
SYNTHETIC = ("chain", "diamond", "residual", "inception", "dense", "nested", "two_inputs", "two_outputs")


def random_network(seed: int) -> onnx.ModelProto:
    """Twelve operators on tensors of rank 0 to 5 and of several types, each reading what some earlier ones made.

    Among them are some that one device or another has no form of: Hardmax, GridSample and uint8 on a TX2.
    """
    rng = np.random.default_rng(seed)
    values: list[tuple[str, tuple[int, ...]]] = [("x", (1, 4, 8, 8))]
    nodes, weights, ends = [], [], []

    def weight(array):
        weights.append(constant(f"w{len(weights)}", array))
        return weights[-1].name

    for index in range(12):
        name, shape = values[-1] if rng.random() < 0.6 else values[int(rng.integers(len(values)))]
        made = f"v{index}"
        choices = ["Relu", "Sigmoid", "Add", "Cast", "ReduceMax", "Reshape"]
        if len(shape) >= 2:
            choices += ["Transpose", "Softmax", "Hardmax", "ReduceMean", "Concat"]
        if len(shape) == 4 and min(shape[2:]) >= 2:
            choices += ["Conv", "MaxPool", "Resize", "GlobalAveragePool", "Split", "GridSample"] * 2
        kind = str(rng.choice(choices))
        shapes = {made: shape}
        if kind == "Conv":
            weights.append(random_weight(f"k{index}", 4, shape[1], 3, 3))
            nodes.append(op(kind, f"{name} k{index}", made, pads=[1] * 4, strides=[int(rng.integers(1, 3))] * 2))
            stride = nodes[-1].attribute[1].ints[0]
            shapes[made] = (shape[0], 4, *((side - 1) // stride + 1 for side in shape[2:]))
        elif kind == "MaxPool":
            nodes.append(op(kind, name, made, kernel_shape=[2, 2], strides=[2, 2]))
            shapes[made] = (*shape[:2], *(side // 2 for side in shape[2:]))
        elif kind == "Resize":
            nodes.append(op(kind, f"{name} _ {weight(np.float32([1, 1, 1.3, 1.3]))}", made, mode="nearest"))
            shapes[made] = (*shape[:2], *(int(np.float32(side) * np.float32(1.3)) for side in shape[2:]))
        elif kind == "GlobalAveragePool":
            nodes.append(op(kind, name, made))
            shapes[made] = (*shape[:2], 1, 1)
        elif kind == "GridSample":
            grid = weight(rng.uniform(-1, 1, (shape[0], 3, 3, 2)).astype(np.float32))
            nodes.append(op(kind, f"{name} {grid}", made))
            shapes[made] = (*shape[:2], 3, 3)
        elif kind == "Split" and shape[1] >= 2:
            sizes = weight(np.int64([1, shape[1] - 1]))
            nodes.append(op(kind, f"{name} {sizes}", f"{made} {made}b", axis=1))
            shapes = {made: (shape[0], 1, *shape[2:]), f"{made}b": (shape[0], shape[1] - 1, *shape[2:])}
        elif kind == "Cast":
            to = int(rng.choice([onnx.TensorProto.INT32, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8]))
            nodes += [op("Cast", name, f"{made}i", to=to), op("Cast", f"{made}i", made, to=onnx.TensorProto.FLOAT)]
        elif kind == "ReduceMax":
            nodes.append(op(kind, name, made, keepdims=0))
            shapes[made] = ()
        elif kind == "ReduceMean":
            nodes.append(op(kind, name, made, axes=[len(shape) - 1], keepdims=0))
            shapes[made] = shape[:-1]
        elif kind == "Transpose":
            order = rng.permutation(len(shape)).tolist()
            nodes.append(op(kind, name, made, perm=order))
            shapes[made] = tuple(shape[axis] for axis in order)
        elif kind == "Reshape":
            other = (*(1,) * int(rng.integers(5)), -1)
            nodes.append(op(kind, f"{name} {weight(np.int64(other))}", made))
            shapes[made] = (*other[:-1], int(np.prod(shape)))
        elif kind == "Concat":
            nodes.append(op(kind, f"{name} {name}", made, axis=len(shape) - 1))
            shapes[made] = (*shape[:-1], shape[-1] * 2)
        elif kind in ("Softmax", "Hardmax"):
            nodes.append(op(kind, name, made, axis=-1))
        elif kind == "Add":
            nodes.append(op(kind, f"{name} {weight(np.float32(0.5))}", made))
        else:
            nodes.append(op("Relu" if kind == "Split" else kind, name, made))
        values += shapes.items()
    read = {name for node in nodes for name in node.input}
    ends = [info(name, shape) for name, shape in values[1:] if name not in read]
    return net(nodes, [info("x", (1, 4, 8, 8))], ends, weights, opset=16)


def assert_compiles_or_says_why(path, device, bundle):
    outcome = coachc("compile", path, "--device", device, "-o", bundle, "--calib", "random", "--samples", 2,
                     "--bandwidth", "200Mbit")  # fmt: skip
    if outcome.code:
        assert outcome.code == 1, outcome.err
        assert "no plan builds on both sides" in outcome.err or "computes anything" in outcome.err, outcome.err
        assert not bundle.exists()
        return
    checked = coachc("check", bundle, "--samples", 1)
    assert checked.code == 0, checked.out + checked.err
    shutil.rmtree(bundle)


@pytest.mark.parametrize("seed", range(10))
def test_random_networks(seed, tmp_path):
    path = save(random_network(seed), tmp_path / "m.onnx")
    for device in DEVICES:
        assert_compiles_or_says_why(path, device, tmp_path / "o.coach")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_networks(name, device, tmp_path):
    assert_compiles_or_says_why(save(getattr(synthetic, name)(), tmp_path / "m.onnx"), device, tmp_path / "o.coach")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["LayerNormalization", "Gelu", "Mish", "HardSwish", "GroupNormalization"])
def test_half_precision_that_is_written_anew_for_a_device(kind, device, tmp_path):
    """Taken apart, an operator rounds in other places: the type's bound holds, on the device alone as in a half."""
    middle = {
        "LayerNormalization": op(kind, "a s b", "m", axis=-1),
        "GroupNormalization": op(kind, "a g h", "m", num_groups=2),
    }.get(kind, op(kind, "a", "m"))
    nodes = [op("Conv", "x w", "a"), middle, op("Conv", "m v", "c"), op("Relu", "c", "y")]
    weights = [
        random_weight("w", 4, 4, 1, 1), random_weight("v", 4, 4, 1, 1), random_weight("s", 8), random_weight("b", 8),
        random_weight("g", 4), random_weight("h", 4),
    ]  # fmt: skip
    used = {name for node in nodes for name in node.input}
    model = in_float16(net(nodes, ["x"], ["y"], [each for each in weights if each.name in used], opset=21))
    path, bundle = save(model, tmp_path / "m.onnx"), tmp_path / "o.coach"
    for mode in ("split", "device-only"):
        flags = ("--device", device, "--calib", "random", "--samples", 2, "--mode", mode, "--force")
        done = coachc("compile", path, "-o", bundle, *flags)
        assert done.code == 0, done.err
        done = coachc("check", bundle, "--samples", 1)
        assert done.code == 0, done.err
