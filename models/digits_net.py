"""The residual CNN for 64x64 digits: twenty weighted layers on the main path, small enough to commit as ONNX."""

from __future__ import annotations

import torch
from torch import nn

from coachc.models.resnet import BasicBlock, conv_bn, stack


class DigitsNet(nn.Module):
    """Grey digits [N, 1, 64, 64] in [0, 1] -> logits [N, 10].

    Stem 64 -> 32, then 2 basic blocks at 32x32x16, 2 at 16x16x24, 5 at 8x8x32, a global mean and a linear layer. The
    shapes shrink the way a ResNet's do, so that cutting it early, in the middle or late costs visibly different bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(1, 16, 3, stride=2)
        self.relu = nn.ReLU()
        self.layer1 = stack(BasicBlock, 16, 16, 2, stride=1)
        self.layer2 = stack(BasicBlock, 16, 24, 2, stride=2)
        self.layer3 = stack(BasicBlock, 24, 32, 5, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))
