"""YOLOv8 up to the raw maps of its heads; SiLU is written as another activation, which costs the same here."""

from __future__ import annotations

from coachc.frontend.model import Model
from coachc.models.published.layer_writer import Layers

#: Share of the blocks, share of the channels, most channels before that share is taken.
YOLOV8 = {
    "n": (1 / 3, 0.25, 1024),
    "s": (1 / 3, 0.5, 1024),
    "m": (2 / 3, 0.75, 768),
    "l": (1, 1, 512),
    "x": (1, 1.25, 512),
}


def yolov8(size: str, pixels: int = 640) -> Model:
    depth, width, most = YOLOV8[size]
    net = Layers(f"yolov8{size}", (1, 3, pixels, pixels))

    def channels(count: int) -> int:
        return round(min(count, most) * width)

    def stage(x: str, count: int, blocks: int, *, shortcut: bool) -> str:
        """Half of the channels through a chain of small residual blocks, all of its values kept."""
        half = channels(count) // 2
        kept = [net.conv(x, half), net.conv(x, half)]
        for _ in range(max(round(blocks * depth), 1)):
            inner = net.conv(net.conv(kept[-1], half, 3), half, 3)
            kept.append(net.add(kept[-1], inner) if shortcut else inner)
        return net.conv(net.concat(*kept), channels(count))

    x = net.conv(net.conv("x", channels(64), 3, 2), channels(128), 3, 2)
    x = stage(x, 128, 3, shortcut=True)
    eighth = stage(net.conv(x, channels(256), 3, 2), 256, 6, shortcut=True)
    sixteenth = stage(net.conv(eighth, channels(512), 3, 2), 512, 6, shortcut=True)
    x = stage(net.conv(sixteenth, channels(1024), 3, 2), 1024, 3, shortcut=True)
    pools = [net.conv(x, channels(1024) // 2)]
    for _ in range(3):
        pools.append(net.pool(pools[-1], 5, 1))
    top = net.conv(net.concat(*pools), channels(1024))

    middle = stage(net.concat(net.enlarge(top), sixteenth), 512, 3, shortcut=False)
    low = stage(net.concat(net.enlarge(middle), eighth), 256, 3, shortcut=False)
    middle = stage(net.concat(net.conv(low, channels(256), 3, 2), middle), 512, 3, shortcut=False)
    top = stage(net.concat(net.conv(middle, channels(512), 3, 2), top), 1024, 3, shortcut=False)
    boxes, classes = max(16, channels(256) // 4, 64), max(channels(256), 80)
    heads = []
    for level in (low, middle, top):
        box = net.conv(net.conv(level, boxes, 3), boxes, 3)
        label = net.conv(net.conv(level, classes, 3), classes, 3)
        heads += [net.conv(box, 64, norm=False, relu=False), net.conv(label, 80, norm=False, relu=False)]
    return net.model(*heads)
