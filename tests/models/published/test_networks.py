"""Networks without weights against what is published of them, and against torch's own export."""

from __future__ import annotations

import math

import pytest

from coachc.models.published.networks import NETWORKS, published_graph
from tests.helpers import networks

#: Millions of parameters and of multiply-adds, from the papers and from torchvision's and Ultralytics' tables.
PUBLISHED = {
    "resnet18": (11.69, 1814), "resnet34": (21.80, 3664), "resnet50": (25.56, 4089), "resnet101": (44.55, 7801),
    "resnet152": (60.19, 11514), "vgg11": (132.86, 7609), "vgg16": (138.36, 15470), "vgg19": (143.67, 19632),
    "alexnet": (61.10, 714), "squeezenet1_0": (1.25, 819), "squeezenet1_1": (1.24, 349), "densenet121": (7.98, 2834),
    "densenet161": (28.68, 7728), "densenet169": (14.15, 3360), "densenet201": (20.01, 4291),
    "mobilenet_v2": (3.50, 301), "mobilenet_v1_1.0_224": (4.24, 569), "mobilenet_v1_0.5_160": (1.34, 77),
    "mobilenet_v1_0.25_128": (0.47, 14), "inception_v3": (23.83, 5713), "inception_v4": (42.7, 12300),
    "inception_resnet_v2": (55.8, 13200), "yolov8n_640": (3.2, 4350), "yolov8s_640": (11.2, 14300),
    "yolov8m_640": (25.9, 39450), "yolov8l_640": (43.7, 82600), "yolov8x_640": (68.2, 128900),
}  # fmt: skip
#: Squeezenet 1.0's table has no padding in its pools as Caffe has it.
LOOSER = {"yolov8n_640": 0.02, "squeezenet1_0": 0.06, "mobilenet_v1_0.25_128": 0.06}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds(name):
    model = NETWORKS[name]()
    # Means and variances of batch normalizations are no parameters.
    learnt = sum(
        math.prod(weight.dims) for weight in model.proto.graph.initializer if not weight.name.endswith((".2", ".3"))
    )
    parameters, multiply_adds = PUBLISHED[name]
    assert learnt / 1e6 == pytest.approx(parameters, rel=LOOSER.get(name, 0.01))
    assert sum(node.work.flops for node in published_graph(name).nodes) / 2e6 == pytest.approx(
        multiply_adds, rel=LOOSER.get(name, 0.01)
    )


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "densenet121", "mobilenet_v2", "squeezenet1_1"])
def test_the_same_work_as_torchs_export(name):
    """Operator by operator: kind, FLOPs, and elements read and written."""
    ours, theirs = published_graph(name), networks.exported(name)

    def works(graph):
        return sorted(
            (node.work.kind, node.work.flops, node.work.input_elements, node.work.output_elements)
            for node in graph.nodes
            if not node.work.free and node.work.flops
        )

    assert works(ours) == works(theirs)
    launches = [sum(node.unfused_operators for node in graph.nodes) for graph in (ours, theirs)]
    # torch's SqueezeNet ends in a reshape that the table does not have.
    assert launches[1] - launches[0] == (name == "squeezenet1_1")
