"""Every network that published times are about, by the name the data file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

from coachc.core.graph import GraphView
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.models.published import detectors, inception, plain, residual

NETWORKS: Mapping[str, Callable[[], Model]] = {
    **{f"resnet_v1_{depth}": partial(residual.slim_resnet_v1, depth) for depth in residual.BOTTLENECKS},
    **{f"resnet_v2_{depth}": partial(residual.slim_resnet_v2, depth) for depth in residual.BOTTLENECKS},
    **{f"resnet{depth}": partial(residual.resnet, depth) for depth in (*residual.BASIC, *residual.BOTTLENECKS)},
    **{f"vgg{depth}": partial(plain.vgg, depth) for depth in plain.VGG},
    **{f"vgg{depth}_bn": partial(plain.vgg, depth, norm=True) for depth in plain.VGG},
    **{f"densenet{depth}": partial(plain.densenet, depth) for depth in plain.DENSENET},
    "inception_v1": inception.inception_v1,
    "inception_v3": inception.inception_v3,
    "inception_v4": inception.inception_v4,
    "inception_resnet_v2": inception.inception_resnet_v2,
    "mobilenet_v1_1.0_224": partial(plain.mobilenet_v1, 1.0, 224),
    "mobilenet_v1_0.5_160": partial(plain.mobilenet_v1, 0.5, 160),
    "mobilenet_v1_0.25_128": partial(plain.mobilenet_v1, 0.25, 128),
    "mobilenet_v2": plain.mobilenet_v2,
    **{
        f"yolov8{size}_{pixels}": partial(detectors.yolov8, size, pixels)
        for size in detectors.YOLOV8
        for pixels in (320, 640)
    },
    "alexnet": plain.alexnet,
    "squeezenet1_0": partial(plain.squeezenet, "1.0"),
    "squeezenet1_1": partial(plain.squeezenet, "1.1"),
}


@cache
def published_graph(name: str) -> GraphView:
    """Fused operators of a network of `NETWORKS`."""
    return fuse(NETWORKS[name]())
