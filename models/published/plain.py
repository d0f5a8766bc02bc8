"""Networks of other kinds: VGG, AlexNet, SqueezeNet, DenseNet, MobileNets."""

from __future__ import annotations

from coachc.frontend.model import Model
from coachc.models.published.layer_writer import VALID, Layers

VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
DENSENET = {121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def vgg(depth: int, *, norm: bool = False) -> Model:
    """Simonyan and Zisserman 2015, table 1."""
    net = Layers(f"vgg{depth}", (1, 3, 224, 224))
    x = "x"
    for stage, layers in enumerate(VGG[depth]):
        for _ in range(layers):
            x = net.conv(x, min(64 << stage, 512), 3, norm=norm)
        x = net.pool(x, 2, 2)
    return net.model(net.dense(net.dense(net.dense(x, 4096, relu=True), 4096, relu=True), 1000))


def alexnet() -> Model:
    """torchvision's, one tower."""
    net = Layers("alexnet", (1, 3, 224, 224))
    x = net.pool(net.conv("x", 64, 11, 4, norm=False), 3, 2, VALID)
    x = net.pool(net.conv(x, 192, 5, norm=False), 3, 2, VALID)
    for width in (384, 256, 256):
        x = net.conv(x, width, 3, norm=False)
    x = net.pool(x, 3, 2, VALID)
    return net.model(net.dense(net.dense(net.dense(x, 4096, relu=True), 4096, relu=True), 1000))


def squeezenet(version: str) -> Model:
    """torchvision's 1.0 and 1.1."""
    net = Layers(f"squeezenet{version.replace('.', '_')}", (1, 3, 224, 224))
    if version == "1.0":
        x, pooled = net.conv("x", 96, 7, 2, VALID, norm=False), (0, 3, 7)
    else:
        x, pooled = net.conv("x", 64, 3, 2, VALID, norm=False), (0, 2, 4)
    for place, (narrow, wide) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if place in pooled:
            x = net.pool(x, 3, 2, VALID)
        inner = net.conv(x, narrow, norm=False)
        x = net.concat(net.conv(inner, wide, norm=False), net.conv(inner, wide, 3, norm=False))
    return net.model(net.global_pool(net.conv(x, 1000, norm=False)))


def densenet(depth: int) -> Model:
    """torchvision's: normalization and activation before each convolution."""
    net = Layers(f"densenet{depth}", (1, 3, 224, 224))
    growth, width = (48, 96) if depth == 161 else (32, 64)
    x = net.pool(net.conv("x", width, 7, 2), 3, 2)
    for stage, layers in enumerate(DENSENET[depth]):
        for _ in range(layers):
            inner = net.conv(net.norm_relu(x), 4 * growth)
            x = net.concat(x, net.conv(inner, growth, 3, norm=False, relu=False))
        if stage < 3:
            x = net.conv(net.norm_relu(x), net.shape(x)[1] // 2, norm=False, relu=False)
            x = net.pool(x, 2, 2, mean=True)
    return net.model(net.dense(net.global_pool(net.norm_relu(x)), 1000))


def mobilenet_v1(width: float, size: int) -> Model:
    """Howard et al. 2017, table 1."""
    net = Layers(f"mobilenet_v1_{width:g}_{size}", (1, 3, size, size))
    x = net.conv("x", round(32 * width), 3, 2)
    for channels, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)
    ):  # fmt: skip
        x = net.conv(net.depthwise(x, stride), round(channels * width))
    return net.model(net.conv(net.global_pool(x), 1001, norm=False, relu=False))


def mobilenet_v2() -> Model:
    """Sandler et al. 2018, table 2."""
    net = Layers("mobilenet_v2", (1, 3, 224, 224))
    x = net.conv("x", 32, 3, 2)
    for expand, width, blocks, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for block in range(blocks):
            stride, channels = first if block == 0 else 1, net.shape(x)[1]
            inner = net.conv(x, channels * expand) if expand > 1 else x
            inner = net.conv(net.depthwise(inner, stride), width, relu=False)
            x = net.add(x, inner) if stride == 1 and channels == width else inner
    return net.model(net.dense(net.global_pool(net.conv(x, 1280)), 1000))
