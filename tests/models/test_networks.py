"""The torch definitions have torchvision's parameters under torchvision's keys, and the traits its weights rely on."""

from __future__ import annotations

import pytest

# name: parameters, entries of the state dict (num_batches_tracked included), keys at places that are easily wrong.
NETWORKS = {
    "resnet18": (11_689_512, 122, ("conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.bn2.weight", "fc.bias")),
    "resnet34": (21_797_672, 218, ("layer1.2.conv2.weight", "layer3.5.bn1.weight", "layer4.2.conv2.weight")),
    "resnet50": (25_557_032, 320, ("layer1.0.downsample.1.running_mean", "layer3.5.conv3.weight", "layer4.2.bn3.bias")),
    "resnet101": (44_549_160, 626, ("layer3.22.conv3.weight", "layer4.0.downsample.0.weight")),
    "resnet152": (60_192_808, 932, ("layer2.7.conv2.weight", "layer3.35.bn3.weight")),
    "vgg16": (138_357_544, 32, ("features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias")),
    "vgg19": (143_667_240, 38, ("features.34.weight", "classifier.3.weight")),
    "googlenet": (
        6_624_904,
        344,
        ("conv1.conv.weight", "inception3a.branch1.bn.weight", "inception4e.branch3.1.conv.weight",
         "inception5b.branch4.1.bn.running_mean", "fc.weight"),
    ),
    "mobilenet_v2": (
        3_504_872,
        314,
        ("features.0.1.weight", "features.1.conv.0.0.weight", "features.1.conv.2.running_var",
         "features.2.conv.1.0.weight", "features.17.conv.3.bias", "features.18.0.weight", "classifier.1.bias"),
    ),
    "densenet121": (
        7_978_856,
        727,
        ("features.conv0.weight", "features.denseblock1.denselayer1.norm1.weight", "features.transition3.conv.weight",
         "features.denseblock3.denselayer24.conv2.weight", "features.norm5.running_mean", "classifier.weight"),
    ),
    "squeezenet1_1": (
        1_235_496,
        52,
        ("features.0.weight", "features.3.squeeze.weight", "features.12.expand3x3.bias", "classifier.1.weight"),
    ),
}  # fmt: skip


def construct(name, device):
    """The bare network; on `meta` it takes no memory, which counting needs none of."""
    import importlib

    import torch

    from coachc.models import zoo

    with torch.device(device):
        return getattr(importlib.import_module(zoo.NETWORKS[name].module), name)()


def test_the_table_names_every_network():
    from coachc.models import zoo

    assert tuple(zoo.NETWORKS) == tuple(NETWORKS)
    assert set(zoo.NAMES) == {*NETWORKS, "digits"}


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_keys_are_torchvisions(name):
    parameters, entries, keys = NETWORKS[name]
    net = construct(name, "meta")
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert len(net.state_dict()) == entries
    assert set(keys) <= set(net.state_dict())


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_becomes_a_thousand_logits(name):
    import torch

    net = construct(name, "meta").eval()
    assert net(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


@pytest.mark.needs("torch")
def test_bottlenecks_stride_in_their_3x3():
    block = construct("resnet50", "meta").layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


@pytest.mark.needs("torch")
def test_googlenet_deviates_as_torchvision_does():
    from torch import nn

    net = construct("googlenet", "meta")
    assert net.inception3a.branch3[1].conv.kernel_size == (3, 3)
    assert {part.eps for part in net.modules() if isinstance(part, nn.BatchNorm2d)} == {1e-3}
    assert all(part.ceil_mode for part in net.modules() if isinstance(part, nn.MaxPool2d))


@pytest.mark.needs("torch")
def test_googlenet_renormalises_its_input():
    import torch

    net = construct("googlenet", "cpu").eval()
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    seen = []
    net.conv1.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        net((image - mean) / std)
    torch.testing.assert_close(seen[0], (image - 0.5) / 0.5)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("features.denseblock1.denselayer1.norm.1.weight", "features.denseblock1.denselayer1.norm1.weight"),
        ("features.denseblock4.denselayer16.conv.2.weight", "features.denseblock4.denselayer16.conv2.weight"),
        ("features.denseblock1.denselayer1.norm2.bias", "features.denseblock1.denselayer1.norm2.bias"),
        ("features.transition1.norm.weight", "features.transition1.norm.weight"),
    ],
)
def test_old_densenet_keys(old, new):
    from coachc.models.densenet import current_key

    assert current_key(old) == new
