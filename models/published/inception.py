"""Inception v1, v3, v4 and Inception-ResNet v2 as TensorFlow-Slim defines them (5x5 of v1 as 3x3)."""

from __future__ import annotations

from coachc.frontend.model import Model
from coachc.models.published.layer_writer import SAME, VALID, Layers, Size

Step = tuple[int, Size] | tuple[int, Size, int]
A, B = (1, 7), (7, 1)
C, D = (1, 3), (3, 1)


def _chain(net: Layers, x: str, *steps: Step, padding: str = SAME) -> str:
    """Convolutions one after the other: width, kernel and, where it is not 1, stride; only those of stride 2 valid."""
    for width, kernel, *stride in steps:
        x = net.conv(x, width, kernel, stride[0] if stride else 1, VALID if stride else padding)
    return x


def _pooled(net: Layers, x: str, width: int) -> str:
    return net.conv(net.pool(x, 3, 1, mean=True), width)


def _classify(net: Layers, x: str) -> Model:
    return net.model(net.conv(net.global_pool(x), 1001, norm=False, relu=False))


def inception_v1() -> Model:
    net = Layers("inception_v1", (1, 3, 224, 224))
    x = net.pool(net.conv("x", 64, 7, 2), 3, 2)
    x = net.pool(net.conv(net.conv(x, 64), 192, 3), 3, 2)
    mixed = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for widths in mixed:
        if widths is None:
            x = net.pool(x, 3, 2)
            continue
        one, three_in, three, five_in, five, pool = widths
        x = net.concat(
            net.conv(x, one),
            _chain(net, x, (three_in, 1), (three, 3)),
            _chain(net, x, (five_in, 1), (five, 3)),
            net.conv(net.pool(x, 3, 1), pool),
        )
    return _classify(net, x)


def _stem(net: Layers) -> str:
    x = _chain(net, "x", (32, 3, 2))
    x = net.conv(x, 32, 3, padding=VALID)
    return net.conv(x, 64, 3)


def _narrow_stem(net: Layers) -> str:
    x = net.conv(net.pool(_stem(net), 3, 2, VALID), 80, padding=VALID)
    return net.pool(net.conv(x, 192, 3, padding=VALID), 3, 2, VALID)


def inception_v3() -> Model:
    net = Layers("inception_v3", (1, 3, 299, 299))
    x = _narrow_stem(net)
    for pool in (32, 64, 64):
        x = net.concat(
            net.conv(x, 64),
            _chain(net, x, (48, 1), (64, 5)),
            _chain(net, x, (64, 1), (96, 3), (96, 3)),
            _pooled(net, x, pool),
        )
    x = net.concat(_chain(net, x, (384, 3, 2)), _chain(net, x, (64, 1), (96, 3), (96, 3, 2)), net.pool(x, 3, 2, VALID))
    for width in (128, 160, 160, 192):
        x = net.concat(
            net.conv(x, 192),
            _chain(net, x, (width, 1), (width, A), (192, B)),
            _chain(net, x, (width, 1), (width, B), (width, A), (width, B), (192, A)),
            _pooled(net, x, 192),
        )
    x = net.concat(
        _chain(net, x, (192, 1), (320, 3, 2)),
        _chain(net, x, (192, 1), (192, A), (192, B), (192, 3, 2)),
        net.pool(x, 3, 2, VALID),
    )
    for _ in range(2):
        wide, deep = net.conv(x, 384), _chain(net, x, (448, 1), (384, 3))
        x = net.concat(
            net.conv(x, 320),
            net.conv(wide, 384, C), net.conv(wide, 384, D),
            net.conv(deep, 384, C), net.conv(deep, 384, D),
            _pooled(net, x, 192),
        )  # fmt: skip
    return _classify(net, x)


def inception_v4() -> Model:
    net = Layers("inception_v4", (1, 3, 299, 299))
    x = _stem(net)
    x = net.concat(net.pool(x, 3, 2, VALID), _chain(net, x, (96, 3, 2)))
    x = net.concat(
        net.conv(net.conv(x, 64), 96, 3, padding=VALID),
        net.conv(_chain(net, x, (64, 1), (64, A), (64, B)), 96, 3, padding=VALID),
    )
    x = net.concat(_chain(net, x, (192, 3, 2)), net.pool(x, 3, 2, VALID))
    for _ in range(4):
        x = net.concat(
            net.conv(x, 96),
            _chain(net, x, (64, 1), (96, 3)),
            _chain(net, x, (64, 1), (96, 3), (96, 3)),
            _pooled(net, x, 96),
        )
    x = net.concat(
        _chain(net, x, (384, 3, 2)), _chain(net, x, (192, 1), (224, 3), (256, 3, 2)), net.pool(x, 3, 2, VALID)
    )
    for _ in range(7):
        x = net.concat(
            net.conv(x, 384),
            _chain(net, x, (192, 1), (224, A), (256, B)),
            _chain(net, x, (192, 1), (192, B), (224, A), (224, B), (256, A)),
            _pooled(net, x, 128),
        )
    x = net.concat(
        _chain(net, x, (192, 1), (192, 3, 2)),
        _chain(net, x, (256, 1), (256, A), (320, B), (320, 3, 2)),
        net.pool(x, 3, 2, VALID),
    )
    for _ in range(3):
        wide, deep = net.conv(x, 384), _chain(net, x, (384, 1), (448, D), (512, C))
        x = net.concat(
            net.conv(x, 256),
            net.conv(wide, 256, C), net.conv(wide, 256, D),
            net.conv(deep, 256, C), net.conv(deep, 256, D),
            _pooled(net, x, 256),
        )  # fmt: skip
    return _classify(net, x)


def inception_resnet_v2() -> Model:
    net = Layers("inception_resnet_v2", (1, 3, 299, 299))
    x = _narrow_stem(net)
    x = net.concat(
        net.conv(x, 96),
        _chain(net, x, (48, 1), (64, 5)),
        _chain(net, x, (64, 1), (96, 3), (96, 3)),
        _pooled(net, x, 64),
    )
    x = _residuals(net, x, 10, ((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
    x = net.concat(
        _chain(net, x, (384, 3, 2)), _chain(net, x, (256, 1), (256, 3), (384, 3, 2)), net.pool(x, 3, 2, VALID)
    )
    x = _residuals(net, x, 20, ((192, 1),), ((128, 1), (160, A), (192, B)))
    x = net.concat(
        _chain(net, x, (256, 1), (384, 3, 2)),
        _chain(net, x, (256, 1), (288, 3, 2)),
        _chain(net, x, (256, 1), (288, 3), (320, 3, 2)),
        net.pool(x, 3, 2, VALID),
    )
    x = _residuals(net, x, 10, ((192, 1),), ((192, 1), (224, C), (256, D)))
    return _classify(net, net.conv(x, 1536))


def _residuals(net: Layers, x: str, count: int, *branches: tuple[Step, ...]) -> str:
    for _ in range(count):
        joined = net.concat(*(_chain(net, x, *steps) for steps in branches))
        # The factor on the branch is folded into its convolution.
        x = net.relu(net.add(x, net.conv(joined, net.shape(x)[1], norm=False, relu=False)))
    return x
