"""ResNet 18, 34, 50, 101 and 152 with torchvision's state-dict keys.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. Differs: as in torchvision, the
stride of a bottleneck sits in its 3x3 convolution, not in the first 1x1 (known as ResNet v1.5).
"""

from __future__ import annotations

import torch
from torch import nn


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution that keeps the size at stride 1, without bias, and the normalisation that follows it."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The 1x1 shortcut where a block changes shape, else None: the shortcut is then the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(*conv_bn(inputs, outputs, 1, stride))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, inputs, H, W] -> [N, width, H/stride, W/stride]."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(inputs, width, 3, stride)
        self.conv2, self.bn2 = conv_bn(width, width, 3)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut: [N, inputs, H, W] -> [N, 4 * width, H/stride, W/stride]."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = conv_bn(inputs, width, 1)
        self.conv2, self.bn2 = conv_bn(width, width, 3, stride)
        self.conv3, self.bn3 = conv_bn(width, outputs, 1)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + shortcut)


def stack(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, count: int, stride: int
) -> nn.Sequential:
    """`count` blocks of one width; the first changes the resolution by `stride`."""
    first = block(inputs, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width) for _ in range(count - 1)))


class ResNet(nn.Module):
    """[N, 3, 224, 224] -> logits [N, classes].

    Parameters
    ----------
    block : class
        `BasicBlock` or `Bottleneck`.
    counts : tuple of int
        Blocks in each of the four layers.
    classes : int
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], counts: tuple[int, int, int, int], classes: int
    ) -> None:
        super().__init__()
        grow = block.expansion
        self.conv1, self.bn1 = conv_bn(3, 64, 7, 2)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stack(block, 64, 64, counts[0], stride=1)
        self.layer2 = stack(block, 64 * grow, 128, counts[1], stride=2)
        self.layer3 = stack(block, 128 * grow, 256, counts[2], stride=2)
        self.layer4 = stack(block, 256 * grow, 512, counts[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * grow, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(classes: int = 1000) -> ResNet:
    """ResNet-18, 11.7 M parameters."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes)


def resnet34(classes: int = 1000) -> ResNet:
    """ResNet-34, 21.8 M parameters."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes)


def resnet50(classes: int = 1000) -> ResNet:
    """ResNet-50, 25.6 M parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes)


def resnet101(classes: int = 1000) -> ResNet:
    """ResNet-101, 44.5 M parameters."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes)


def resnet152(classes: int = 1000) -> ResNet:
    """ResNet-152, 60.2 M parameters."""
    return ResNet(Bottleneck, (3, 8, 36, 3), classes)
