"""Real data for the online tables: CIFAR pictures, ImageNet folders, UCF101 clips split by group, VGG16 features."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import normalize, pixels
from coachc.runtime.bundle.video import choose_frames, read_frames

UCF_CLASSES = ("Punch", "YoYo", "ApplyEyeMakeup")
#: MobileNetV2's input, as its publisher prepares it.
MOBILENET = Preprocess((224, 224), "bilinear", "rgb", "nchw", 127.5, (1.0,) * 3, (1.0,) * 3)


def cifar(data: Path, images: str, path: Path, rows: slice = slice(None)) -> str:
    """A CIFAR .npz, or some of its rows, as the ResNets take it."""
    with np.load(data / "images" / f"{images}.npz") as stored:
        picture, labels = stored["images"][rows], stored["labels"][rows]
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    arrays = (picture.astype(np.float32) / 255 - mean) / std
    np.savez(path, input=np.ascontiguousarray(arrays.transpose(0, 3, 1, 2)), labels=labels.astype(np.int64))
    return str(path)


def imagenet(data: Path, archive: str, folder: Path) -> str:
    """A zip of labelled pictures as a folder."""
    with zipfile.ZipFile(data / "images" / f"{archive}.zip") as stored:
        rows = list(csv.DictReader(stored.read("labels.csv").decode().splitlines()))
        stored.extractall(folder, members=[row["file"] for row in rows])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *((row["file"], row["label0"]) for row in rows)])
    return str(folder)


def ucf_model(data: Path, path: Path) -> str:
    """MobileNetV2 with the three-class head in place of its last convolution."""
    model = onnx.load(data / "weights" / "imagenet_mobilenet_v2_1.0_224.onnx")
    with np.load(data / "weights" / "ucf101x3_head_for_imagenet_mobilenet_v2.npz") as head:
        new = {"conv_36.weight": head["weight"].reshape(3, -1, 1, 1), "conv_36.bias": head["bias"]}
    for tensor in model.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))
    # What was inferred for 1000 classes is inferred again.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(model, path)
    return str(path)


def ucf_frames(data: Path, groups: Sequence[str], path: Path, frames_per_second: float) -> str:
    """Frames of the clips of some groups ("Punch_g01", ...; "ApplyEyeMakeup_test" for the zip) as a .npz with groups.

    The zip's clips are 25 frames each, spread over the clip, so they are taken as they are.
    """
    rows, labels, clips = [], [], []
    crop = MOBILENET._replace(crop="center-square")
    videos = sorted((data / "video" / "ucf101").glob("*.avi"))
    for number, video in enumerate(v for v in videos if any(f"v_{group}_" in v.name for group in groups)):
        frames = choose_frames(str(video), frames_per_second)
        for picture in read_frames(str(video), frames.tolist()):
            rows.append(normalize(pixels(picture, crop), crop))
            labels.append(UCF_CLASSES.index(video.name.split("_")[1]))
            clips.append(number)
    for group in groups:
        if group.startswith("ApplyEyeMakeup_test"):
            with zipfile.ZipFile(data / "video" / "ucf101" / "ApplyEyeMakeup_test_7clips_x25frames.zip") as stored:
                names = sorted(name for name in stored.namelist() if name.endswith(".jpg"))
                folders = sorted({name.split("/")[0] for name in names})
                chosen = folders[:3] if group.endswith("first") else folders[3:]
                for folder in chosen:
                    number = max(clips, default=-1) + 1
                    for name in (n for n in names if n.startswith(folder)):
                        rows.append(normalize(pixels(stored.read(name), crop), crop))
                        labels.append(UCF_CLASSES.index("ApplyEyeMakeup"))
                        clips.append(number)
    np.savez(path, input=np.concatenate(rows), labels=np.array(labels), groups=np.array(clips))
    return str(path)
