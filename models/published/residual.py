"""ResNets: of TensorFlow-Slim, versions 1 and 2, and of torchvision."""

from __future__ import annotations

from coachc.frontend.model import Model
from coachc.models.published.layer_writer import Layers

#: Blocks of each stage by depth.
BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


def slim_resnet_v1(depth: int, size: int = 224) -> Model:
    """Stride in the 3x3 convolution of a stage's last block, whose shortcut is every other pixel."""
    net = Layers(f"resnet_v1_{depth}", (1, 3, size, size))
    x = net.pool(net.conv("x", 64, 7, 2), 3, 2)
    for stage, blocks in enumerate(BOTTLENECKS[depth]):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if block == blocks - 1 and stage < 3 else 1
            if net.shape(x)[1] != 4 * width:
                shortcut = net.conv(x, 4 * width, relu=False)
            else:
                shortcut = net.pool(x, 1, stride) if stride > 1 else x
            inner = net.conv(net.conv(x, width), width, 3, stride)
            x = net.relu(net.add(net.conv(inner, 4 * width, relu=False), shortcut))
    return net.model(net.conv(net.global_pool(x), 1000, norm=False, relu=False))


def slim_resnet_v2(depth: int, size: int = 299) -> Model:
    """Batch normalization and activation come before each block."""
    net = Layers(f"resnet_v2_{depth}", (1, 3, size, size))
    x = net.pool(net.conv("x", 64, 7, 2, norm=False, relu=False), 3, 2)
    for stage, blocks in enumerate(BOTTLENECKS[depth]):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if block == blocks - 1 and stage < 3 else 1
            before = net.norm_relu(x)
            if net.shape(x)[1] != 4 * width:
                shortcut = net.conv(before, 4 * width, norm=False, relu=False)
            else:
                shortcut = net.pool(x, 1, stride) if stride > 1 else x
            inner = net.conv(net.conv(before, width), width, 3, stride)
            x = net.add(net.conv(inner, 4 * width, norm=False, relu=False), shortcut)
    return net.model(net.conv(net.global_pool(net.norm_relu(x)), 1001, norm=False, relu=False))


def resnet(depth: int, size: int = 224) -> Model:
    """torchvision's: stride in the 3x3 convolution of a stage's first block (version 1.5)."""
    net = Layers(f"resnet{depth}", (1, 3, size, size))
    x = net.pool(net.conv("x", 64, 7, 2), 3, 2)
    for stage, blocks in enumerate(BOTTLENECKS[depth] if depth in BOTTLENECKS else BASIC[depth]):
        width = 64 << stage
        wide = 4 * width if depth in BOTTLENECKS else width
        for block in range(blocks):
            stride = 2 if block == 0 and stage else 1
            other = net.shape(x)[1] != wide or stride > 1
            shortcut = net.conv(x, wide, 1, stride, relu=False) if other else x
            if depth in BOTTLENECKS:
                inner = net.conv(net.conv(net.conv(x, width), width, 3, stride), wide, relu=False)
            else:
                inner = net.conv(net.conv(x, width, 3, stride), width, 3, relu=False)
            x = net.relu(net.add(inner, shortcut))
    return net.model(net.dense(net.global_pool(x), 1000))
