"""The small segmenter: a U-Net whose skip connections join every scale of the way down to the way up."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from coachc.models.detector_net import conv_relu
from coachc.models.resnet import BasicBlock

CLASSES = 11
#: Channels at 64x64, 32x32, 16x16 and 8x8. There is no scale of 128x128: a channel there costs as much as 256 at 8x8.
WIDTHS = (24, 32, 48, 64)


class SegmenterNet(nn.Module):
    """RGB [N, 3, 128, 128] in [0, 1] -> logits [N, CLASSES, 128, 128].

    In training it returns a second value, the logits [N, CLASSES, 16, 16] of the first map on the way up.

    Notes
    -----
    Source: Ronneberger et al., "U-Net", MICCAI 2015. Differs: logits are made at every scale on the way up and summed,
    as in Long et al., "Fully Convolutional Networks", CVPR 2015, so that which digit it is can be said where it is
    known, and only where its edges are is left to the last layer. That one makes four pixels of each place at 64x64.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_relu(3, WIDTHS[0], 3, stride=2)
        pairs = list(pairwise(WIDTHS))
        self.downs = nn.ModuleList(BasicBlock(fine, coarse, stride=2) for fine, coarse in pairs)
        # Narrowed before it is enlarged, so that the work is done on the small map.
        self.narrows = nn.ModuleList(conv_relu(coarse, fine, 1) for fine, coarse in pairs)
        self.merges = nn.ModuleList(conv_relu(2 * fine, fine, 3) for fine, _ in pairs)
        self.scores = nn.ModuleList(nn.Conv2d(fine, CLASSES, 1) for fine, _ in pairs)
        self.refine = nn.ConvTranspose2d(WIDTHS[0], CLASSES, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        maps = [self.stem(x)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        x = maps.pop()
        sums: list[torch.Tensor] = []
        for narrow, merge, score in reversed(list(zip(self.narrows, self.merges, self.scores, strict=True))):
            x = merge(torch.cat([enlarged(narrow(x)), maps.pop()], 1))
            sums.append(score(x) + enlarged(sums[-1]) if sums else score(x))
        logits = self.refine(x) + enlarged(sums[-1])
        return (logits, sums[0]) if self.training else logits


def enlarged(x: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W]."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
