"""Weights for a torch module: read from a file, or seeded where there are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from coachc.errors import FileError, ModelError, ToolchainError, UsageError

if TYPE_CHECKING:
    import torch

# Training counters: no part of the network's function, and absent from files older than torch 0.4.1.
_COUNTER = "num_batches_tracked"

_SHOWN = 5


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of weights without executing anything that it holds.

    Parameters
    ----------
    path : Path
        `.safetensors`, or `.pth` / `.pt` as `torch.save` writes it. A wrapping `{"state_dict": ...}` and the
        `module.` prefix that data-parallel training leaves on every key are removed.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    FileError, UsageError
        If the file is missing; if its suffix is unknown.
    ModelError
        If it cannot be read, or holds something else than named tensors.
    ToolchainError
        If `safetensors` is needed and not installed.
    """
    if not path.is_file():
        raise FileError(f"no weights at {path}", hint="--weights FILE.pth or FILE.safetensors")
    if path.suffix == ".safetensors":
        state: object = _read_safetensors(path)
    elif path.suffix in {".pth", ".pt"}:
        state = _read_torch(path)
    else:
        raise UsageError(f"cannot tell the format of {path} by its suffix", hint="use .pth, .pt or .safetensors")
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    return _named_tensors(state, path)


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as exc:
        raise ToolchainError(f"reading {path} needs safetensors", hint="pip install 'coachc[export]'") from exc
    try:
        return load_file(path)
    except (SafetensorError, OSError) as exc:
        raise ModelError(f"cannot read the weights in {path}: {exc}") from exc


def _read_torch(path: Path) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file surfaces as any of a dozen classes of pickle, zipfile and torch.
    except Exception as exc:
        raise ModelError(
            f"cannot read the weights in {path}",
            context=[str(exc).splitlines()[0] if str(exc) else type(exc).__name__],
            hint="save them with torch.save(model.state_dict(), path); a pickled whole model is not accepted",
        ) from exc


def _named_tensors(state: object, path: Path) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(state, Mapping) or not state:
        raise ModelError(f"{path} holds no state dict but {type(state).__name__}")
    strangers = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, torch.Tensor)]
    if strangers:
        raise ModelError(
            f"{path} holds entries that are not tensors: {_some(map(str, strangers))}",
            hint="save model.state_dict() alone",
        )
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def load_weights(
    module: torch.nn.Module,
    path: Path,
    *,
    rename: Callable[[str], str] | None = None,
    ignored: tuple[str, ...] = (),
) -> None:
    """Fill `module` from a file; nothing may be left over on either side.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    path : Path
        See `read_state_dict`.
    rename : function, optional
        From a key of an old file to today's key.
    ignored : tuple of str
        Prefixes of keys that belong to parts of the published network which this one leaves out.

    Raises
    ------
    ModelError
        If keys are missing or unexpected, or shapes differ. Names the first few of each and counts all.
    """
    found = {(rename(key) if rename else key): value for key, value in read_state_dict(path).items()}
    found = {key: value for key, value in found.items() if not key.startswith(ignored) and not key.endswith(_COUNTER)}
    wanted = {key: value for key, value in module.state_dict().items() if not key.endswith(_COUNTER)}
    context = _differences(wanted, found)
    if context:
        classes = _other_classes(wanted, found)
        raise ModelError(
            f"the weights in {path} do not fit {type(module).__name__}",
            context=context,
            hint=f"--classes {classes} makes the last layer as large as in these weights" if classes else "",
        )
    module.load_state_dict(found, strict=False)


def _differences(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    reshaped = [
        f"{key} {list(found[key].shape)} instead of {list(value.shape)}"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return [f"{len(group)} {what}: {_some(group)}" for what, group in groups if group]


def _other_classes(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> int:
    """Outputs of a last layer that alone was trained for other classes; 0 where that is not all that differs."""
    if wanted.keys() != found.keys():
        return 0
    other = [(key, found[key].shape) for key, value in wanted.items() if found[key].shape != value.shape]
    counts = {shape[0] for key, shape in other if shape and shape[1:] == wanted[key].shape[1:]}
    layers = {key.rpartition(".")[0] for key, _ in other}
    return int(counts.pop()) if len(counts) == len(layers) == 1 else 0


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def seed_weights(module: torch.nn.Module, shape: tuple[int, ...], *, seed: int = 0) -> None:
    """Give `module` random weights under which activations keep their scale from input to output.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    shape : tuple of int
        Input shape without the batch axis.
    seed : int
        Same seed, same weights. The caller's random state is left alone.

    Notes
    -----
    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10. That alone suffices without shortcuts;
    with them, and with batch normalisation at its initial mean 0 and variance 1, every residual block would double
    the variance: 2**50 after ResNet-152. So the running statistics are then measured on one batch of noise.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.normal_(part.weight, std=math.sqrt(2.0 / part.weight[0].numel()))
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.weight, mean=1.0, std=0.01)
            else:
                continue
            # Not zero, nor the scales above exactly one: the exporter stores equal parameters once and puts Identity
            # nodes in front of the other uses, which no trained network has.
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.01)
        normalisations = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        if normalisations:
            _measure_statistics(module, normalisations, torch.randn(4, *shape))


def _measure_statistics(
    module: torch.nn.Module, normalisations: list[torch.nn.BatchNorm2d], sample: torch.Tensor
) -> None:
    import torch

    module.eval()
    momenta = [part.momentum for part in normalisations]
    for part in normalisations:
        part.train()
        part.momentum = 1.0  # Nothing of the statistics before this batch is kept.
    with torch.no_grad():
        module(sample)
    for part, momentum in zip(normalisations, momenta, strict=True):
        part.eval()
        part.momentum = momentum
