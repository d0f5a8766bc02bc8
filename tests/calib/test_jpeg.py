"""What sending JPEGs would cost: measured on pictures, estimated on noise, refused where there is no picture."""

from __future__ import annotations

import io

import numpy as np
import pytest

from coachc.calib.dataset import open_dataset
from coachc.calib.jpeg import DECODE_PIXELS_PER_S, ENCODE_PIXELS_PER_S, PHOTO_BITS_PER_PIXEL, measure_jpeg
from coachc.calib.reference_answers import trials_of
from coachc.core.graph import Value
from coachc.runtime.bundle.manifest_types import Preprocess
from tests.helpers.onnx_models import imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")

RGB = Preprocess((24, 32), "bilinear", "rgb", "nchw", 255.0, (0.5,) * 3, (0.25,) * 3)


def classifier(folder, shape):
    """Flatten and a linear layer, so that every pixel counts."""
    count = int(np.prod(shape[1:]))
    nodes = [op("Flatten", "x", "f"), op("Gemm", "f k", "y")]
    return imported(net(nodes, [info("x", shape)], [info("y", (shape[0], 5))], [random_weight("k", count, 5)]), folder)[
        0
    ]


@pytest.mark.parametrize(
    "shapes",
    [[(1, 4, 8, 8)], [(2, 3, 8, 8)], [(1, 3, 64)], [(1, 10)], [(1, 3, 8, 8), (1, 3, 8, 8)]],
    ids=["four channels", "batch", "three axes", "vector", "two inputs"],
)
def test_no_picture_no_jpeg(shapes):
    inputs = [Value(f"x{i}", "float32", shape) for i, shape in enumerate(shapes)]
    data = open_dataset("random", inputs, None, max_samples=1)
    assert measure_jpeg(None, inputs, data, None, 0.1) is None


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [((1, 3, 24, 32), 768), ((1, 24, 32, 3), 768), ((1, 1, 10, 20), 200)],
    ids=["nchw", "nhwc", "gray"],
)
def test_noise_is_estimated(shape, pixels):
    value = Value("x", "float32", shape)
    found = measure_jpeg(None, [value], open_dataset("random", [value], None, max_samples=1), None, 0.1)
    assert found.size_bytes == round(pixels * PHOTO_BITS_PER_PIXEL / 8)
    assert (found.encode_s, found.decode_s) == (pixels / ENCODE_PIXELS_PER_S, pixels / DECODE_PIXELS_PER_S)
    assert (found.accuracy, found.keeps_budget) == (None, False)
    assert found.note == "quality 90, size estimated at 2.63 bits a pixel"


def photographs(folder, count, *, size=(24, 32), smooth=True):
    """PNG files in folders 0 and 1: gentle waves, which JPEG keeps, or noise, which it does not."""
    from PIL import Image

    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for index in range(count):
        phase = rng.uniform(0, 2 * np.pi, 3)
        if smooth:
            image = np.stack([127 + 90 * np.sin(columns / 9 + rows / 7 + p) for p in phase], axis=-1)
        else:
            image = rng.uniform(0, 255, (*size, 3))
        path = folder / str(index % 2)
        path.mkdir(exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(path / f"{index:03}.png")
    return str(folder)


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("smooth", [True, False], ids=["waves", "noise"])
def test_pictures_are_measured(tmp_path, smooth):
    from PIL import Image

    model = classifier(tmp_path, (1, 3, 24, 32))
    inputs = [model.values["x"]]
    folder = tmp_path / "pictures"
    folder.mkdir()
    data = open_dataset(photographs(folder, 40, smooth=smooth), inputs, RGB, max_samples=30)
    judge = trials_of(model.proto, data)[0].judge
    found = measure_jpeg(model.proto, inputs, data, judge, 0.2)
    sizes = []
    for path in data.source.paths[:30]:
        stream = io.BytesIO()
        Image.open(path).save(stream, "JPEG", quality=90)
        sizes.append(len(stream.getvalue()))
    assert found.size_bytes == round(np.mean(sizes))
    assert found.note == "quality 90, size measured on 30 images"
    assert found.accuracy.samples == 30
    assert found.accuracy.whole == pytest.approx(np.mean(judge.float_right))
    assert found.keeps_budget == (found.accuracy.loss_bound <= 0.2)
    if smooth:
        assert found.accuracy.split == pytest.approx(found.accuracy.whole, abs=0.1)
    else:
        assert found.size_bytes > 768


@pytest.mark.needs("PIL")
def test_arrays_that_were_pictures_give_a_size_but_no_accuracy(tmp_path):
    model = classifier(tmp_path, (1, 3, 24, 32))
    rows, columns = np.mgrid[:24, :32]
    waves = np.sin(columns / 9 + rows / 7 + np.arange(12)[:, None, None, None]) * np.ones((1, 3, 1, 1))
    np.savez(tmp_path / "waves.npz", x=waves.astype(np.float32))
    noise = np.random.default_rng(0).standard_normal((12, 3, 24, 32))
    np.savez(tmp_path / "noise.npz", x=noise.astype(np.float32))
    sizes = {}
    for name in ("waves", "noise"):
        data = open_dataset(str(tmp_path / f"{name}.npz"), [model.values["x"]], None, max_samples=100)
        found = measure_jpeg(model.proto, [model.values["x"]], data, trials_of(model.proto, data)[0].judge, 0.1)
        assert (found.accuracy, found.keeps_budget) == (None, False)
        assert found.note == "quality 90, size measured on 12 pictures made back from the arrays"
        sizes[name] = found.size_bytes
    assert 300 < sizes["waves"] < 0.8 * sizes["noise"]


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(("dtype", "low", "high"), [("bool", 0, 2), ("int8", -128, 128), ("uint8", 0, 256)])
def test_arrays_of_other_types_are_pictures_too(tmp_path, dtype, low, high):
    arrays = np.random.default_rng(0).integers(low, high, (4, 3, 24, 32)).astype(dtype)
    sizes = []
    for stretched in (arrays, np.round((arrays.astype(float) - low) / (high - 1 - low) * 255).astype(np.float32)):
        np.savez(tmp_path / "a.npz", x=stretched)
        value = Value("x", str(stretched.dtype), (1, 3, 24, 32))
        data = open_dataset(str(tmp_path / "a.npz"), [value], None, max_samples=100, ordered=True)
        sizes.append(measure_jpeg(None, [value], data, None, 0.1).size_bytes)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.002)


@pytest.mark.needs("PIL")
def test_a_camera_of_bytes_is_measured_as_the_floats_of_its_pixels(tmp_path):
    weight = random_weight("k", 2304, 5)
    found = []
    for dtype, nodes in (("uint8", [op("Cast", "x", "c", to=1)]), ("float32", [op("Identity", "x", "c")])):
        nodes += [op("Flatten", "c", "f"), op("Gemm", "f k", "y")]
        proto = net(nodes, [info("x", (1, 3, 24, 32), dtype)], [info("y", (1, 5))], [weight])
        (tmp_path / dtype).mkdir()
        folder = photographs(tmp_path / dtype, 8)
        pixels = RGB._replace(pixel_scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
        inputs = [Value("x", dtype, (1, 3, 24, 32))]
        data = open_dataset(folder, inputs, pixels, max_samples=100)
        found.append(measure_jpeg(proto, inputs, data, trials_of(proto, data)[0].judge, 0.1))
    assert found[0].accuracy is not None
    assert found[0] == found[1]


@pytest.mark.needs("PIL")
def test_without_pillow_the_size_is_estimated(tmp_path, monkeypatch):
    model = classifier(tmp_path, (1, 3, 24, 32))
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3, 24, 32), np.float32))
    data = open_dataset(str(tmp_path / "a.npz"), [model.values["x"]], None, max_samples=100)
    monkeypatch.setattr("coachc.calib.jpeg.find_spec", lambda name: None)
    found = measure_jpeg(model.proto, [model.values["x"]], data, None, 0.1)
    assert "estimated" in found.note
