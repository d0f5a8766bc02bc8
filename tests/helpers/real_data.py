"""Real weights and images, where the checkout has them beside it."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WEIGHTS = (
    "cifar10_densenet40_k12",
    "cifar10_resnet20",
    "cifar10_resnet56",
    "imagenet_mobilenet_v2_1.0_224",
    "imagenet_squeezenet_1.1",
)

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data: real weights and images")


def weights(name: str) -> Path:
    return DATA / "weights" / f"{name}.onnx"


def cifar_arrays(images: str, path: Path, limit: int | None = None) -> Path:
    """A CIFAR .npz as the ResNets take it: array `input`, preprocessed, and `labels`."""
    with np.load(DATA / "images" / f"{images}.npz") as stored:
        pixels, labels = stored["images"][:limit], stored["labels"][:limit]
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    arrays = (pixels.astype(np.float32) / 255 - mean) / std
    np.savez(path, input=np.ascontiguousarray(arrays.transpose(0, 3, 1, 2)), labels=labels.astype(np.int64))
    return path


def image_folder(archive: str, folder: Path, every: int = 1) -> Path:
    """A zip of pictures as a folder, its table with the columns `file` and `label`; every n-th picture only."""
    with zipfile.ZipFile(DATA / "images" / f"{archive}.zip") as stored:
        rows = list(csv.DictReader(stored.read("labels.csv").decode().splitlines()))[::every]
        stored.extractall(folder, members=[row["file"] for row in rows])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *((row["file"], row["label0"]) for row in rows)])
    return folder
