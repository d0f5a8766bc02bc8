"""What the small detector is trained towards: which places answer for which digit, and how wrong their answers are."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from coachc.models.canvases import Scene
from coachc.models.detector_outputs import STRIDES, places

# A digit whose longer side is at most this many pixels is the fine level's, a larger one the coarse level's.
FINE_UP_TO = 26
# The places that answer for a digit lie within so many strides of its middle, in x and in y: about four of them.
REACH = 1.0
# Weight of the boxes against the classes.
BOX_WEIGHT = 1.0


def assign(scene: Scene) -> np.ndarray:
    """For each place the digit it answers for, as its index in the scene, or -1: int64 (320,)."""
    middles, strides = places()
    boxes = scene.boxes
    if not len(boxes):
        return np.full(len(middles), -1)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1)
    far = np.abs(middles[:, np.newaxis] - centres).max(2) / strides
    level = np.where(sides <= FINE_UP_TO, STRIDES[0], STRIDES[1])
    far[(far > REACH) | (strides != level)] = np.inf
    nearest = far.argmin(1)
    return np.where(np.isfinite(far[np.arange(len(far)), nearest]), nearest, -1)


def flat(outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's maps -> distances [N, 320, 4] and logits [N, 320, CLASSES]."""
    joined = [torch.cat([one.flatten(2) for one in outputs[first::2]], 2).transpose(1, 2) for first in (0, 1)]
    return joined[0], joined[1]


def detector_loss(net: torch.nn.Module, pictures: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
    """Cross entropy of the classes and generalised IoU loss of the boxes, a digit's place on average.

    Notes
    -----
    The score aimed at is the IoU that the place's box has, so that of two boxes on one digit the better one survives
    non-maximum suppression: Li et al., "Generalized Focal Loss", NeurIPS 2020, section 3.2. Differs: the focal weight,
    there the squared distance to the aim, is here the squared score, at the places that answer for no digit alone.
    At the others it would all but silence what tells a three from an eight: with it, boxes were right and digits wrong.
    The boxes' loss is of Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019, algorithm 1.
    """
    distances, logits = flat(net(pictures))
    wanted = np.stack([assign(scene) for scene in scenes])
    picture, place = np.nonzero(wanted >= 0)
    chosen = [(scenes[i], wanted[i, j]) for i, j in zip(picture, place, strict=True)]
    middles, strides = places()
    boxes = np.stack([scene.boxes[k] for scene, k in chosen])
    near = (middles[place] - boxes[:, :2]) / strides[place]
    far = (boxes[:, 2:] - middles[place]) / strides[place]
    overlap, generalised = _ious(distances[picture, place], torch.from_numpy(np.concatenate([near, far], 1)))

    target = torch.zeros_like(logits)
    target[picture, place, np.array([scene.classes[k] for scene, k in chosen])] = overlap.detach()
    weight = logits.sigmoid().detach().square()
    weight[picture, place] = 1
    class_loss = (weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum()
    return (class_loss + BOX_WEIGHT * (1 - generalised).sum()) / len(chosen)


def _ious(found: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU of boxes given as distances [n, 4] from one point, the same point in both."""

    def area(one: torch.Tensor) -> torch.Tensor:
        return (one[:, 0] + one[:, 2]).clamp(min=0) * (one[:, 1] + one[:, 3]).clamp(min=0)

    shared = area(torch.minimum(found, wanted))
    union = area(found) + area(wanted) - shared
    hull = area(torch.maximum(found, wanted))
    overlap = shared / union
    return overlap, overlap - (hull - union) / hull
