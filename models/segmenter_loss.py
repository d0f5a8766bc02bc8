"""What the small segmenter is trained towards."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from coachc.models.canvases import SIZE, Scene

# Of a background pixel against one of ink, of which there are few. Much less, and ink would grow over its edge.
BACKGROUND_WEIGHT = 0.4
# Pixels of the picture to one of the coarse map, in x and y. That map is asked for as well, because which digit it is
# was not learnt in 600 steps from single pixels alone.
COARSE = 8


def coarse_target(scene: Scene) -> np.ndarray:
    """For each place of the 16x16 map the class whose box its middle lies in, or near whose middle it lies; else -1."""
    target = np.full((SIZE // COARSE, SIZE // COARSE), -1)
    y, x = (np.mgrid[: len(target), : len(target)] + 0.5) * COARSE
    for (x1, y1, x2, y2), digit in zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True):
        # Small boxes may hold no place at all.
        beyond_x = np.abs(x - (x1 + x2) / 2) > max(COARSE, (x2 - x1) / 2)
        beyond_y = np.abs(y - (y1 + y2) / 2) > max(COARSE, (y2 - y1) / 2)
        target[~(beyond_x | beyond_y)] = digit + 1
    return target


def segmenter_loss(net: torch.nn.Module, pictures: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
    """Weighted cross entropy of the pixels, and that of the digits on the coarse map."""
    logits, coarse = net(pictures)
    wanted = torch.from_numpy(np.stack([scene.mask for scene in scenes]).astype(np.int64))
    weight = torch.ones(logits.shape[1])
    weight[0] = BACKGROUND_WEIGHT
    middles = torch.from_numpy(np.stack([coarse_target(scene) for scene in scenes]))
    return F.cross_entropy(logits, wanted, weight) + F.cross_entropy(coarse, middles, ignore_index=-1)
