"""GoogLeNet (Inception v1 with batch normalisation) with torchvision's state-dict keys.

Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1. Differs, each time as torchvision does,
because the published weights were trained that way:

- every convolution is followed by batch normalisation (eps 1e-3) and has no bias;
- the "5x5" branch of an inception block is a 3x3 convolution;
- the input is renormalised inside the network. Images are normalised by ImageNet's mean and standard deviation, as
  for every other network here, and the graph's first two nodes (Mul, Add) turn that into mean 0.5, deviation 0.5.
  torchvision switches this on (`transform_input`) whenever it loads the published weights.

The two auxiliary classifiers (`aux1.*`, `aux2.*` in the published file) serve training only and are left out.
"""

from __future__ import annotations

import torch
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ConvBn(nn.Module):
    """Convolution, batch normalisation, ReLU; keeps the size at stride 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four parallel branches, concatenated over channels: [N, inputs, H, W] -> [N, sum of outputs, H, W].

    Parameters
    ----------
    inputs : int
    direct : int
        Outputs of the 1x1 branch.
    middle, wide : tuple of (int, int)
        Channels after the reducing 1x1 and after the 3x3 of the second and the third branch.
    pooled : int
        Outputs of the 1x1 after the pooling branch.
    """

    def __init__(self, inputs: int, direct: int, middle: tuple[int, int], wide: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.branch1 = ConvBn(inputs, direct, 1)
        self.branch2 = nn.Sequential(ConvBn(inputs, middle[0], 1), ConvBn(*middle, 3))
        self.branch3 = nn.Sequential(ConvBn(inputs, wide[0], 1), ConvBn(*wide, 3))
        pool = nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True)
        self.branch4 = nn.Sequential(pool, ConvBn(inputs, pooled, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class GoogLeNet(nn.Module):
    """[N, 3, 224, 224], normalised as ImageNet usually is -> logits [N, classes].

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        # (x * std + mean - 0.5) / 0.5, kept out of the state dict, which must hold torchvision's keys only.
        self.register_buffer("input_scale", (std / 0.5).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("input_shift", ((mean - 0.5) / 0.5).reshape(1, 3, 1, 1), persistent=False)
        self.conv1 = ConvBn(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvBn(64, 64, 1)
        self.conv3 = ConvBn(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = Inception(256, 128, (128, 192), (32, 96), 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = Inception(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = Inception(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = Inception(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = Inception(528, 256, (160, 320), (32, 128), 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = Inception(832, 384, (192, 384), (48, 128), 128)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.input_scale + self.input_shift
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4c(self.inception4b(self.inception4a(x)))
        x = self.maxpool4(self.inception4e(self.inception4d(x)))
        x = self.inception5b(self.inception5a(x))
        return self.fc(self.avgpool(x).flatten(1))


def googlenet(classes: int = 1000) -> GoogLeNet:
    """GoogLeNet without its auxiliary classifiers, 6.6 M parameters."""
    return GoogLeNet(classes)
