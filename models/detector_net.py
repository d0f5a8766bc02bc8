"""The small detector: one stage, no anchors, a neck that runs down and up again, strides 8 and 16."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from coachc.models.resnet import BasicBlock, conv_bn

CLASSES = 10

# A score before training, so that the thousands of empty places do not drown the few digits (RetinaNet's prior).
PRIOR_LOGIT = -4.6
# Half a digit's width in strides, about.
PRIOR_DISTANCE = 1.0


def conv_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, Relu."""
    conv, norm = conv_bn(inputs, outputs, kernel, stride=stride)
    return nn.Sequential(conv, norm, nn.ReLU())


class Head(nn.Module):
    """One level's map [N, 32, h, w] -> distances [N, 4, h, w], logits [N, CLASSES, h, w]: see `detector_outputs.py`."""

    def __init__(self) -> None:
        super().__init__()
        self.box_stem, self.class_stem = conv_relu(32, 32, 3), conv_relu(32, 32, 3)
        self.distances = nn.Conv2d(32, 4, 1)
        self.logits = nn.Conv2d(32, CLASSES, 1)
        nn.init.constant_(self.distances.bias, PRIOR_DISTANCE)
        nn.init.constant_(self.logits.bias, PRIOR_LOGIT)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.distances(self.box_stem(x)), self.logits(self.class_stem(x))


class DetectorNet(nn.Module):
    """RGB [N, 3, 128, 128] in [0, 1] -> (distances, logits) at stride 8, then at stride 16.

    The backbone hands on its maps of 32x32x24 (stride 4), 16x16x48 and 8x8x64. In the neck the coarse map meets the
    finer one on the way down (as in a feature pyramid) and again on the way up (as in a path aggregation network), so
    a cut between the two crossings carries two or three values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_relu(3, 16, 3, stride=2), conv_relu(16, 24, 3, stride=2))
        self.stage4 = BasicBlock(24, 24, stride=1)
        self.stage8 = BasicBlock(24, 48, stride=2)
        self.stage16 = BasicBlock(48, 64, stride=2)
        self.lateral16 = conv_relu(64, 32, 1)
        self.lateral8 = conv_relu(48, 32, 1)
        self.merge8 = conv_relu(64, 32, 3)
        self.coarsen = conv_relu(32, 32, 3, stride=2)
        self.merge16 = conv_relu(64, 32, 3)
        self.head8, self.head16 = Head(), Head()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        c8 = self.stage8(self.stage4(self.stem(x)))
        p16 = self.lateral16(self.stage16(c8))
        upsampled = F.interpolate(p16, scale_factor=2.0, mode="nearest")
        p8 = self.merge8(torch.cat([upsampled, self.lateral8(c8)], 1))
        n16 = self.merge16(torch.cat([self.coarsen(p8), p16], 1))
        return *self.head8(p8), *self.head16(n16)
