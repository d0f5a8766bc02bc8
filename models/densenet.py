"""DenseNet-121 with torchvision's state-dict keys.

Source: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, table 1 (DenseNet-BC, growth 32).
"""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
from torch import nn

GROWTH = 32
BOTTLENECK = 4 * GROWTH

# The published file predates the rule that module names hold no dot: `denselayer1.norm.1.weight` is `norm1.weight`.
_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def current_key(key: str) -> str:
    """The name that a key of a published checkpoint has today; today's names are returned unchanged."""
    return _OLD_KEY.sub(r"\1\2", key)


class DenseLayer(nn.Module):
    """Normalise first, then 1x1 and 3x3: [N, inputs, H, W] -> [N, inputs + 32, H, W], the input kept in front."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        new = self.conv1(self.relu1(self.norm1(x)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat([x, new], dim=1)


def dense_block(inputs: int, count: int) -> nn.Sequential:
    """`count` dense layers, each adding 32 channels."""
    layers = ((f"denselayer{i + 1}", DenseLayer(inputs + i * GROWTH)) for i in range(count))
    return nn.Sequential(OrderedDict(layers))


def transition(inputs: int) -> nn.Sequential:
    """Halve the channels and the resolution."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inputs),
            relu=nn.ReLU(),
            conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, stride=2),
        )
    )


class DenseNet(nn.Module):
    """[N, 3, 224, 224] -> logits [N, classes].

    Parameters
    ----------
    counts : tuple of int
        Dense layers in each block.
    classes : int
    """

    def __init__(self, counts: tuple[int, ...], classes: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(64),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = 64
        for block, count in enumerate(counts, start=1):
            layers[f"denseblock{block}"] = dense_block(channels, count)
            channels += count * GROWTH
            if block < len(counts):
                layers[f"transition{block}"] = transition(channels)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.features(x))
        return self.classifier(self.avgpool(x).flatten(1))


def densenet121(classes: int = 1000) -> DenseNet:
    """DenseNet-121, 8.0 M parameters."""
    return DenseNet((6, 12, 24, 16), classes)
