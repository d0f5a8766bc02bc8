"""SqueezeNet 1.1 with torchvision's state-dict keys.

Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", arXiv 1602.07360, in the
authors' revision 1.1 (3x3 stem of 64 channels, earlier pooling), which needs 2.4 times fewer operations than 1.0.
"""

from __future__ import annotations

import torch
from torch import nn


class Fire(nn.Module):
    """Squeeze by 1x1, then expand by 1x1 and 3x3 side by side: [N, inputs, H, W] -> [N, 2 * expand, H, W]."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], dim=1)


def pool() -> nn.MaxPool2d:
    """The overlapping pool between groups; rounding up is part of the published network."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class SqueezeNet(nn.Module):
    """[N, 3, 224, 224] -> logits [N, classes]. The logits are a mean of ReLU outputs, so never negative.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        # The dropout does nothing here; it keeps the convolution at torchvision's index 1.
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_1(classes: int = 1000) -> SqueezeNet:
    """SqueezeNet 1.1, 1.2 M parameters."""
    return SqueezeNet(classes)
