"""VGG 16 and 19 with torchvision's state-dict keys.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
table 1, columns D and E. Differs: torchvision's adaptive pooling to 7x7 is left out, since at 224x224 the last
feature map already is 7x7.
"""

from __future__ import annotations

import torch
from torch import nn


def features(counts: tuple[int, ...]) -> nn.Sequential:
    """`counts[i]` 3x3 convolutions at each of the widths 64, 128, 256, 512, 512, each group closed by a 2x2 pool."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in zip((64, 128, 256, 512, 512), counts, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """[N, 3, 224, 224] -> logits [N, classes].

    Parameters
    ----------
    counts : tuple of int
        Convolutions in each of the five groups.
    classes : int
    """

    def __init__(self, counts: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.features = features(counts)
        # The dropouts do nothing here; they keep the linear layers at torchvision's indices 0, 3 and 6.
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


def vgg16(classes: int = 1000) -> VGG:
    """VGG-16 without batch normalisation, 138 M parameters."""
    return VGG((2, 2, 3, 3, 3), classes)


def vgg19(classes: int = 1000) -> VGG:
    """VGG-19 without batch normalisation, 144 M parameters."""
    return VGG((2, 2, 4, 4, 4), classes)
