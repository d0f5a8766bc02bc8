"""Weights are read from every common form of file, and anything that does not fit is named."""

from __future__ import annotations

import re

import pytest

from coachc.errors import FileError, ModelError, ToolchainError, UsageError

pytestmark = pytest.mark.needs("torch")


def seeded(name="squeezenet1_1", seed=7):
    """A network with weights that `zoo.build` would not choose."""
    from coachc.models import zoo
    from coachc.models.weights import seed_weights

    net = zoo.build(name)
    seed_weights(net, zoo.INPUT_SHAPE, seed=seed)
    return net


def assert_same_weights(net, other):
    """Equal in everything but the training counters."""
    import torch

    ours, theirs = net.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, theirs[key]), key


@pytest.mark.parametrize(
    "suffix", [".pth", ".pt", pytest.param(".safetensors", marks=pytest.mark.needs("safetensors"))]
)
def test_every_format_loads(tmp_path, suffix):
    import torch

    from coachc.models import zoo

    net, path = seeded(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    assert_same_weights(zoo.build("squeezenet1_1", weights=path), net)


def test_wrapper_and_data_parallel_prefix_are_removed(tmp_path):
    import torch

    from coachc.models import zoo

    net, path = seeded(), tmp_path / "checkpoint.pth"
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({"epoch": 90, "state_dict": state}, path)
    assert_same_weights(zoo.build("squeezenet1_1", weights=path), net)


def test_counters_may_be_absent(tmp_path):
    import torch

    from coachc.models import zoo

    net, path = seeded("mobilenet_v2"), tmp_path / "old.pth"
    torch.save({k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}, path)
    assert_same_weights(zoo.build("mobilenet_v2", weights=path), net)


def test_old_densenet_file_loads(tmp_path):
    import torch

    from coachc.models import zoo

    net, path = seeded("densenet121"), tmp_path / "densenet121.pth"
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", k): v for k, v in net.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, path)
    assert_same_weights(zoo.build("densenet121", weights=path), net)


def test_googlenet_auxiliary_classifiers_are_ignored_by_name(tmp_path):
    import torch

    from coachc.models import zoo

    net, path = seeded("googlenet"), tmp_path / "googlenet.pth"
    auxiliary = {"aux1.conv.conv.weight": torch.zeros(128, 512, 1, 1), "aux2.fc2.bias": torch.zeros(1000)}
    torch.save({**net.state_dict(), **auxiliary}, path)
    assert_same_weights(zoo.build("googlenet", weights=path), net)

    torch.save({**net.state_dict(), "aux3.fc2.bias": torch.zeros(1000)}, path)
    with pytest.raises(ModelError, match="do not fit GoogLeNet") as caught:
        zoo.build("googlenet", weights=path)
    assert caught.value.context == ("1 unexpected: aux3.fc2.bias",)


def test_a_mismatch_names_keys_and_shapes(tmp_path):
    import torch

    from coachc.models import zoo

    path = tmp_path / "other.pth"
    state = seeded().state_dict()
    for i in range(3, 10):
        state.pop(f"features.{i}.squeeze.bias", None)
    state["classifier.1.weight"] = torch.zeros(10, 512, 1, 1)
    state["head.weight"] = torch.zeros(1)
    torch.save(state, path)
    with pytest.raises(ModelError) as caught:
        zoo.build("squeezenet1_1", weights=path)
    assert caught.value.message == f"the weights in {path} do not fit SqueezeNet"
    assert caught.value.context == (
        "5 missing: features.3.squeeze.bias, features.4.squeeze.bias, features.6.squeeze.bias, "
        "features.7.squeeze.bias, features.9.squeeze.bias",
        "1 unexpected: head.weight",
        "1 of another shape: classifier.1.weight [10, 512, 1, 1] instead of [1000, 512, 1, 1]",
    )


def test_only_the_first_differences_are_listed(tmp_path):
    import torch

    from coachc.models import zoo

    path = tmp_path / "resnet.pth"
    torch.save(seeded("resnet18").state_dict(), path)
    with pytest.raises(ModelError) as caught:
        zoo.build("resnet34", weights=path)
    # ResNet-34 has 16 convolutions and 16 normalisations (of 4 tensors) more.
    assert re.fullmatch(r"80 missing: (layer\S+, ){4}layer\S+ and 75 more", caught.value.context[0])


def test_a_damaged_file_is_refused(tmp_path):
    from coachc.models.weights import read_state_dict

    for name in ("damaged.pth", "damaged.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"\x00not weights")
        with pytest.raises(ModelError, match=f"cannot read the weights in .*{name}"):
            read_state_dict(path)


def test_a_pickled_module_is_not_executed(tmp_path):
    import torch

    from coachc.models.weights import read_state_dict

    path = tmp_path / "whole.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="cannot read the weights") as caught:
        read_state_dict(path)
    assert "a pickled whole model is not accepted" in caught.value.hint


def test_entries_that_are_no_tensors_are_named(tmp_path):
    import torch

    from coachc.models.weights import read_state_dict

    path = tmp_path / "mixed.pth"
    torch.save({"epoch": 3, "fc.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="entries that are not tensors: epoch"):
        read_state_dict(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ModelError, match="holds no state dict but list"):
        read_state_dict(path)


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    from coachc.models.weights import read_state_dict

    with pytest.raises(FileError, match=r"no weights at .*absent\.pth"):
        read_state_dict(tmp_path / "absent.pth")
    (tmp_path / "weights.h5").touch()
    with pytest.raises(UsageError, match=r"cannot tell the format of .*weights\.h5"):
        read_state_dict(tmp_path / "weights.h5")


def test_missing_safetensors_says_what_to_install(tmp_path, monkeypatch):
    import sys

    from coachc.models.weights import read_state_dict

    (tmp_path / "weights.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ToolchainError, match="needs safetensors") as caught:
        read_state_dict(tmp_path / "weights.safetensors")
    assert caught.value.hint == "pip install 'coachc[export]'"


def test_seeded_weights_repeat_and_leave_the_callers_generator_alone():
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = seeded("mobilenet_v2", seed=1)
    # Constructing a torch module draws its default weights; seeding it must add nothing to that.
    torch.manual_seed(3)
    from coachc.models.weights import seed_weights

    seed_weights(first, (3, 224, 224), seed=1)
    assert torch.equal(torch.rand(4), expected)
    assert_same_weights(first, seeded("mobilenet_v2", seed=1))
    assert not torch.equal(first.classifier[1].weight, seeded("mobilenet_v2", seed=2).classifier[1].weight)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121", "squeezenet1_1", "googlenet"])
def test_untrained_activations_neither_vanish_nor_explode(name):
    import torch

    from coachc.models import zoo

    sample = torch.randn(2, *zoo.INPUT_SHAPE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = zoo.build(name)(sample)
    assert 0.1 < logits.std() < 10
    assert (logits[0] - logits[1]).abs().max() > 0.05


def fine_tuned(path, classes):
    import torch

    from coachc.models.squeezenet import squeezenet1_1
    from coachc.models.weights import seed_weights

    net = squeezenet1_1(classes)
    seed_weights(net, (3, 64, 64))
    torch.save(net.state_dict(), path)
    return net.eval()


def test_fine_tuned_weights_say_which_classes_they_need(tmp_path):
    from coachc.models import zoo

    net = fine_tuned(tmp_path / "ten.pth", 10)
    with pytest.raises(ModelError, match="do not fit SqueezeNet") as caught:
        zoo.build("squeezenet1_1", weights=tmp_path / "ten.pth")
    assert caught.value.hint.startswith("--classes 10 makes the last layer as large")
    assert_same_weights(zoo.build("squeezenet1_1", weights=tmp_path / "ten.pth", classes=10), net)
    with pytest.raises(ModelError) as caught:
        zoo.build("squeezenet1_1", weights=tmp_path / "ten.pth", classes=7)
    assert caught.value.hint.startswith("--classes 10 ")


def test_other_differences_are_no_matter_of_classes(tmp_path):
    import torch

    from coachc.models import zoo

    state = fine_tuned(tmp_path / "ten.pth", 10).state_dict()
    state["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(ModelError) as caught:
        zoo.build("squeezenet1_1", weights=tmp_path / "grey.pth")
    assert caught.value.hint == ""


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "googlenet", "mobilenet_v2", "densenet121", "squeezenet1_1"])
def test_every_network_takes_a_number_of_classes(name):
    import importlib

    import torch

    from coachc.models import zoo

    assert zoo.NETWORKS[name].module.startswith("coachc.models.")  # all that a wheel holds
    make = getattr(importlib.import_module(zoo.NETWORKS[name].module), name)
    with torch.device("meta"):
        shapes = [{key: tuple(value.shape) for key, value in make(count).state_dict().items()} for count in (1000, 7)]
    other = {key for key in shapes[0] if shapes[0][key] != shapes[1][key]}
    assert {key.rpartition(".")[2] for key in other} == {"weight", "bias"}
    assert {shapes[1][key][0] for key in other} == {7}
