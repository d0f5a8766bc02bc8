"""Handwritten digits: the data set, the network trained on it, and the committed `digits.onnx`.

    python -m coachc.models.digits train -o models/digits.onnx
    python -m coachc.models.digits data --calib calib.npz --test test.npz

The images are scikit-learn's `load_digits` (1797 of 8x8 pixels), enlarged to 64x64 so that early feature maps outweigh
late ones as they do on photographs. Two thirds serve training and calibration; the held-out third is never trained on.
`data` needs numpy and scikit-learn only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from coachc.errors import CoachError, ToolchainError
from coachc.models.onnx_writer import replacing, write_onnx

if TYPE_CHECKING:
    import torch

    from coachc.models.digits_net import DigitsNet

SIZE = 64
INPUT_SHAPE = (1, SIZE, SIZE)

# Chosen on a quarter of the training images, held back for that purpose; the held-out third played no part.
EPOCHS = 16
BATCH = 32
LEARNING_RATE = 0.1
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.05
# Fixed because the rounding depends on it. One, because two threads wait for each other after every layer: 24 epochs
# took them 28 s on two idle cores, but 660 s on two busy ones, where one thread took 51 s.
THREADS = 1


@dataclass(frozen=True, slots=True)
class Digits:
    """Images float32 [n, 1, 64, 64] in [0, 1] and labels int64 [n], in the data set's own order."""

    calib_images: np.ndarray
    calib_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def upscale(images: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Enlarge square images bilinearly, pixel centres aligned as OpenCV, Pillow and torch align them.

    Parameters
    ----------
    images : ndarray, shape (n, s, s)
    size : int
        New height and width.

    Returns
    -------
    ndarray of float32, shape (n, size, size)
        Within the range of `images`; beyond the outermost pixel centres the edge is repeated.
    """
    old = images.shape[-1]
    centre = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    left = np.minimum(centre.astype(np.int64), old - 2)
    weight = np.zeros((size, old))
    weight[np.arange(size), left] = 1 - (centre - left)
    weight[np.arange(size), left + 1] = centre - left
    return (weight @ images @ weight.T).astype(np.float32)


def held_out(labels: np.ndarray) -> np.ndarray:
    """Which images are the test set: every third of each class.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)
        True for ceil(n / 3) images. No random generator is involved, so no library version can move an image across.
    """
    by_class = np.argsort(labels, kind="stable")
    mask = np.zeros(len(labels), dtype=bool)
    mask[by_class[::3]] = True
    return mask


def scans() -> tuple[np.ndarray, np.ndarray]:
    """The data set as it was scanned: images float64 [1797, 8, 8] in [0, 1] and labels int64 [1797].

    Raises
    ------
    ToolchainError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as exc:
        raise ToolchainError("the digits need scikit-learn", hint="pip install 'coachc[digits]'") from exc
    raw = load_digits()
    # 16 is the largest grey value of the data set.
    return raw.images / 16.0, raw.target.astype(np.int64)


def load() -> Digits:
    """The data set, enlarged and split: 1198 images to train and calibrate, 599 to test.

    Raises
    ------
    ToolchainError
        If scikit-learn is not installed.
    """
    scanned, labels = scans()
    images = upscale(scanned)[:, np.newaxis]
    test = held_out(labels)
    return Digits(images[~test], labels[~test], images[test], labels[test])


def write_data(calib_path: Path, test_path: Path) -> tuple[int, int]:
    """Write both parts as npz with arrays `input` float32 [n, 1, 64, 64] and `labels` int64 [n].

    Returns
    -------
    tuple of int
        Images in the calibration file and in the test file.
    """
    digits = load()
    _write_npz(calib_path, digits.calib_images, digits.calib_labels)
    _write_npz(test_path, digits.test_images, digits.test_labels)
    return len(digits.calib_labels), len(digits.test_labels)


def _write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    # Through an open file, because numpy appends .npz to a name that lacks it.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, input=images, labels=labels)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seeded, deterministic algorithms and a fixed thread count inside; torch's settings as before afterwards."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)


def augment(images: torch.Tensor) -> torch.Tensor:
    """Rotate, scale, shear and shift each image a little, and add noise.

    Parameters
    ----------
    images : torch.Tensor, shape (n, 1, h, w), in [0, 1]

    Returns
    -------
    torch.Tensor
        Same shape and range. Up to 0.2 rad, 10 % scale and shear, a sixteenth of the width; noise of deviation 0.05.
    """
    import torch
    from torch.nn import functional as F

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(len(images)) * 2 - 1) * limit

    angle, scale, shear = uniform(0.2), 1 + uniform(0.1), uniform(0.1)
    # Coordinates run from -1 to 1, so 0.125 of them is a sixteenth of the width.
    row_x = torch.stack([angle.cos() * scale, shear - angle.sin() * scale, uniform(0.125)], dim=1)
    row_y = torch.stack([angle.sin() * scale, angle.cos() * scale, uniform(0.125)], dim=1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, align_corners=False)
    return (moved + 0.05 * torch.randn_like(moved)).clamp(0, 1)


def train(images: np.ndarray, labels: np.ndarray, *, epochs: int = EPOCHS, seed: int = 0) -> DigitsNet:
    """Train the network; about half a minute on one core.

    Parameters
    ----------
    images : ndarray of float32, shape (n, 1, 64, 64), in [0, 1]
    labels : ndarray of int64, shape (n,)
    epochs : int
    seed : int
        The same seed gives the same weights on the same kind of processor, and nearly the same on another.

    Returns
    -------
    DigitsNet
        In evaluation mode.
    """
    import torch
    from torch.nn import functional as F

    from coachc.models.digits_net import DigitsNet

    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    # An incomplete last batch is left for another epoch's shuffle.
    batches = len(x) // BATCH
    with reproducible(seed):
        net = DigitsNet()
        optimiser = torch.optim.SGD(
            net.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, LEARNING_RATE, total_steps=epochs * batches, pct_start=0.2
        )
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for batch in order[: batches * BATCH].split(BATCH):
                loss = F.cross_entropy(net(augment(x[batch])), y[batch], label_smoothing=LABEL_SMOOTHING)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return net.eval()


def accuracy(net: DigitsNet, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images classified correctly, 0 to 1."""
    import torch

    with torch.inference_mode():
        predicted = net(torch.from_numpy(images)).argmax(1).numpy()
    return float((predicted == labels).mean())


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the digits network, or write its data.")


@app.command("train")
def train_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")],
    opset: Annotated[int, typer.Option(help="ONNX opset, 9 to 20.")] = 13,
) -> None:
    """Train on two thirds of the digits, write the network, print its accuracy on the held-out third."""
    digits = load()
    try:
        net = train(digits.calib_images, digits.calib_labels)
    except ModuleNotFoundError as exc:
        if exc.name != "torch":
            raise
        raise ToolchainError("training needs torch", hint="pip install 'coachc[export]'") from exc
    write_onnx(net, INPUT_SHAPE, output, opset=opset)
    share, count = accuracy(net, digits.test_images, digits.test_labels), len(digits.test_labels)
    right = math.floor(share * count + 0.5)
    typer.echo(f"{output}: {right} of {count} held-out digits right ({share:.2%})")


@app.command("data")
def data_command(
    calib: Annotated[Path, typer.Option(help="npz file to write with the 1198 images for calibration.")],
    test: Annotated[Path, typer.Option(help="npz file to write with the 599 held-out images.")],
) -> None:
    """Write the images and labels that the network was trained on, and those held out."""
    calib_count, test_count = write_data(calib, test)
    typer.echo(f"{calib}: {calib_count} images, {test}: {test_count} held-out images")


def run_program(program: typer.Typer) -> None:
    """Run a command line; a `CoachError` is printed without a traceback and exits with its code."""
    try:
        program()
    except CoachError as exc:
        typer.echo(exc.render(), err=True)
        raise SystemExit(exc.exit_code) from exc


def main() -> None:
    """Run the command line of this module."""
    run_program(app)


if __name__ == "__main__":
    main()
