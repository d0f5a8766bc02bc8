"""What sending JPEGs would cost: measured on pictures, estimated on noise, refused where there is no picture."""

from __future__ import annotations

import io

import numpy as np
import pytest

from coachc.calib.certificate import by_unit, expects_proof
from coachc.calib.dataset import open_dataset
from coachc.calib.division import undivided
from coachc.calib.jpeg import DECODE_PIXELS_PER_S, ENCODE_PIXELS_PER_S, estimate_jpeg, jpeg_step, measure_jpeg
from coachc.calib.reference_answers import Trial, trial_of
from coachc.core.graph import Value
from coachc.frontend import ort
from coachc.runtime.bundle.manifest_types import Preprocess
from tests.helpers.onnx_models import imported, info, net, op, random_weight
from tests.helpers.real_data import DATA, needs_data

pytestmark = pytest.mark.needs("onnxruntime")

RGB = Preprocess((24, 32), "bilinear", "rgb", "nchw", 255.0, (0.5,) * 3, (0.25,) * 3)


def classifier(folder, shape):
    """Flatten and a linear layer, so that every pixel counts."""
    count = int(np.prod(shape[1:]))
    nodes = [op("Flatten", "x", "f"), op("Gemm", "f k", "y")]
    return imported(net(nodes, [info("x", shape)], [info("y", (shape[0], 5))], [random_weight("k", count, 5)]), folder)[
        0
    ]


def unjudged(source, inputs):
    """Samples of which only the sizes are wanted."""
    data = open_dataset(str(source), inputs, None, max_samples=100, ordered=source != "random")
    return Trial(data, None, undivided(data.samples, None))


@pytest.mark.parametrize(
    "shapes",
    [[(1, 4, 8, 8)], [(2, 3, 8, 8)], [(1, 3, 64)], [(1, 10)], [(1, 3, 8, 8), (1, 3, 8, 8)]],
    ids=["four channels", "batch", "three axes", "vector", "two inputs"],
)
def test_no_picture_no_jpeg(shapes):
    inputs = [Value(f"x{i}", "float32", shape) for i, shape in enumerate(shapes)]
    assert measure_jpeg(None, inputs, unjudged("random", inputs), 0.1) is None


@pytest.mark.parametrize(
    ("shape", "pixels", "size_bytes", "bits"),
    [
        ((1, 3, 24, 32), 768, 1008, 3.94), ((1, 24, 32, 3), 768, 1008, 3.94), ((1, 1, 10, 20), 200, 434, 4.13),
        ((1, 3, 224, 224), 50176, 16309, 2.5),
    ],
    ids=["nchw", "nhwc", "gray", "large"],
)  # fmt: skip
def test_noise_is_estimated(shape, pixels, size_bytes, bits):
    value = Value("x", "float32", shape)
    found = measure_jpeg(None, [value], unjudged("random", [value]), 0.1)
    assert found.size_bytes == pytest.approx(size_bytes, abs=1)
    assert (found.encode_s, found.decode_s) == (pixels / ENCODE_PIXELS_PER_S, pixels / DECODE_PIXELS_PER_S)
    assert (found.accuracy, found.keeps_budget) == (None, False)
    assert found.note == f"quality 90, size estimated at {bits:.2f} bits a pixel"


@needs_data
@pytest.mark.needs("PIL")
@pytest.mark.parametrize("side", [32, 64, 96, 160, 224])
def test_the_estimate_is_near_what_real_photographs_take(side):
    """Published by nobody: measured on 40 ImageNet photographs."""
    import io
    import zipfile

    from PIL import Image

    sizes = []
    with zipfile.ZipFile(DATA / "images" / "imagenet_sample_1per_class_1000.zip") as archive:
        for name in [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))][::25]:
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            stream = io.BytesIO()
            picture.resize((side, side), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=90)
            sizes.append(stream.tell())
    found = estimate_jpeg([Value("x", "float32", (1, 3, side, side))])
    assert found.size_bytes == pytest.approx(sum(sizes) / len(sizes), rel=0.15)


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


def as_jpegs(model, paths):
    """Bytes of each picture as Pillow saves it, and the scores of what comes back."""
    from PIL import Image

    sizes, scores = [], []
    for path in paths:
        stream = io.BytesIO()
        Image.open(path).save(stream, "JPEG", quality=90)
        sizes.append(len(stream.getvalue()))
        pixels = np.asarray(Image.open(stream), np.float32).transpose(2, 0, 1) / 255
        scores.append(ort.run(model.proto, {"x": ((pixels - 0.5) / 0.25)[None]})["y"])
    return np.array(sizes), scores


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("smooth", [True, False], ids=["waves", "noise"])
@pytest.mark.parametrize("budget", [0.2, 0.01], ids=["with some kept back", "with none kept back"])
def test_pictures_are_measured(tmp_path, smooth, budget):
    """Every step of it by Pillow: what is seen is measured, and `jpeg_step` looks at the others."""
    model = classifier(tmp_path, (1, 3, 24, 32))
    inputs = [model.values["x"]]
    folder = tmp_path / "pictures"
    folder.mkdir()
    data = open_dataset(photographs(folder, 60, smooth=smooth), inputs, RGB, max_samples=50)
    trial = trial_of(model.proto, data, "classify", budget)
    assert trial.division.proves == (budget == 0.2)
    sizes, scores = as_jpegs(model, data.source.paths[:50])
    lost = trial.judge.right.astype(float) - (np.array([one.argmax() for one in scores]) == data.labels)
    found = measure_jpeg(model.proto, inputs, trial, budget)
    seen, kept = trial.seen, trial.kept
    assert found.size_bytes == round(np.mean(sizes[seen]))
    assert found.note == f"quality 90, size measured on {len(seen)} images"
    assert (found.accuracy.samples, found.accuracy.kind) == (len(seen), "labels")
    assert found.accuracy.whole == pytest.approx(trial.judge.right[seen].mean())
    assert found.accuracy.loss == pytest.approx(lost[seen].mean())
    if trial.division.proves:
        assert found.keeps_budget == expects_proof(by_unit(lost[seen, None], seen, 1, whole=True), len(kept), budget)
        step = jpeg_step(model.proto, inputs[0], trial, found.lost)
        assert step.seen().lost[:, 0].tolist() == lost[seen].tolist()
        assert step.kept().lost[:, 0].tolist() == lost[kept].tolist()
    else:
        assert found.keeps_budget == (lost.mean() <= budget)
    if smooth:
        assert found.accuracy.split == pytest.approx(found.accuracy.whole, abs=0.1)
    else:
        assert found.size_bytes > 768


@pytest.mark.needs("PIL")
def test_outputs_of_pictures_are_judged_in_their_own_scale(tmp_path):
    model = classifier(tmp_path, (1, 3, 24, 32))
    inputs = [model.values["x"]]
    (tmp_path / "pictures").mkdir()
    data = open_dataset(photographs(tmp_path / "pictures", 60), inputs, RGB, max_samples=60)
    trial = trial_of(model.proto, data, "outputs", 0.2)
    _, scores = as_jpegs(model, data.source.paths)
    expected = np.array([trial.judge.lost(place, trial.judge.answer(place, [one])) for place, one in enumerate(scores)])
    accuracy = measure_jpeg(model.proto, inputs, trial, 0.2).accuracy
    assert (accuracy.kind, accuracy.worst) == ("outputs", "y")
    assert accuracy.loss == pytest.approx(expected[trial.seen].mean(), rel=1e-3)
    assert 0 < accuracy.loss < 0.2


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
        found = measure_jpeg(
            model.proto, [model.values["x"]], unjudged(tmp_path / f"{name}.npz", [model.values["x"]]), 0.1
        )
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
        sizes.append(measure_jpeg(None, [value], unjudged(tmp_path / "a.npz", [value]), 0.1).size_bytes)
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
        found.append(measure_jpeg(proto, inputs, trial_of(proto, data, "classify", 0.1), 0.1))
    assert found[0].accuracy is not None
    assert found[0] == found[1]


@pytest.mark.needs("PIL")
def test_without_pillow_the_size_is_estimated(tmp_path, monkeypatch):
    model = classifier(tmp_path, (1, 3, 24, 32))
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3, 24, 32), np.float32))
    trial = unjudged(tmp_path / "a.npz", [model.values["x"]])
    monkeypatch.setattr("coachc.calib.jpeg.find_spec", lambda name: None)
    found = measure_jpeg(model.proto, [model.values["x"]], trial, 0.1)
    assert "estimated" in found.note
