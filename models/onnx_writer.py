"""Writes a torch module as ONNX and proves that the file says what the module computes.

The TorchScript exporter is used on purpose: the newer exporter, asked for opset 13, prints a traceback and writes
opset 18, which TensorRT 8.2 (the last for Jetson TX2) cannot read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coachc.errors import FileError, ModelError, ToolchainError, UsageError

if TYPE_CHECKING:
    import torch

INPUT = "input"
OUTPUT = "logits"
BATCH_AXIS = "N"

# Found by trying each with torch 2.13. Below 9 the weights become graph inputs and batch normalisation stays
# unfolded; above 20 the exporter stamps the number asked for on a graph of opset 20.
MIN_OPSET = 9
MAX_OPSET = 20

# Relative to the largest logit. Only float32 rounding, which random weights amplify with depth: with opset 13 it
# measures 1e-6 (vgg19) to 3e-4 (resnet152). A graph that differs is wrong by far more.
TOLERANCE = 3e-3


def check_opset(opset: int) -> None:
    """Refuse an opset that the exporter does not write.

    Raises
    ------
    UsageError
        If `opset` lies outside [`MIN_OPSET`, `MAX_OPSET`].
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UsageError(
            f"cannot export opset {opset}: torch's exporter writes opset {MIN_OPSET} to {MAX_OPSET}",
            hint="--opset 13 suits every target, TensorRT 8.2 on a Jetson TX2 included",
        )


def check_output(path: Path) -> None:
    """Raise FileError if the folder of `path` does not exist or `path` is one: asked before the work."""
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}")
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder", hint=f"-o {path / 'model.onnx'}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to `path` on success, else removed; raises as `check_output`."""
    check_output(path)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_onnx(
    module: torch.nn.Module,
    shape: tuple[int, ...],
    path: Path,
    *,
    opset: int = 13,
    outputs: tuple[str, ...] = (OUTPUT,),
) -> bool:
    """Export `module` in evaluation mode, verify the file, and only then put it at `path`.

    Parameters
    ----------
    module : torch.nn.Module
        One input; one output, or a tuple of them; put into evaluation mode.
    shape : tuple of int
        Input shape without the batch axis, which becomes the dynamic axis `N`.
    path : Path
        The file to write.
    opset : int
        `MIN_OPSET` to `MAX_OPSET`.
    outputs : tuple of str
        Names of the module's outputs, in order.

    Returns
    -------
    bool
        Whether ONNX Runtime was there to compare the file with torch.

    Raises
    ------
    UsageError
        If the opset is out of range or `path` cannot be written.
    ModelError
        If the file does not have the opset asked for, fails the ONNX checker, or computes something else than torch.
    """
    check_opset(opset)
    module.eval()
    with replacing(path) as temporary:
        _export(module, shape, temporary, opset, outputs)
        _stamp_and_check(temporary, opset)
        return _compare(module, shape, temporary, outputs)


def _export(
    module: torch.nn.Module, shape: tuple[int, ...], path: Path, opset: int, outputs: tuple[str, ...] = (OUTPUT,)
) -> None:
    import torch

    with warnings.catch_warnings():
        # Both only announce that this exporter is the older one.
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        torch.onnx.export(
            module,
            (torch.zeros(1, *shape),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes={name: {0: BATCH_AXIS} for name in (INPUT, *outputs)},
        )


def _stamp_and_check(path: Path, opset: int) -> None:
    import onnx

    model = onnx.load(path)
    found = {entry.domain: entry.version for entry in model.opset_import}
    if found != {"": opset}:
        raise ModelError(f"torch wrote opset {found} where opset {opset} was asked for")
    # The oldest IR that holds the opset: old readers accept it and new ones lose nothing.
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    onnx.save(model, path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelError(f"torch wrote a model that the ONNX checker refuses: {exc}") from exc


def _compare(module: torch.nn.Module, shape: tuple[int, ...], path: Path, outputs: tuple[str, ...]) -> bool:
    import numpy as np
    import torch

    try:
        import onnxruntime
    except ImportError:
        return False
    # Batch 2, so that a batch size frozen into the graph shows.
    sample = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    with torch.inference_mode():
        computed = module(torch.from_numpy(sample))
    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait would slow down whatever else runs; two images are no hurry.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = session.run(list(outputs), {INPUT: sample})
    except Exception as exc:  # ONNX Runtime's exceptions share no public base class.
        raise ToolchainError(f"ONNX Runtime cannot run the exported model: {exc}") from exc
    expected = [one.numpy() for one in (computed if isinstance(computed, tuple) else (computed,))]
    for name, ours, torchs in zip(outputs, found, expected, strict=True):
        difference = float(np.abs(ours - torchs).max())
        limit = TOLERANCE * max(1.0, float(np.abs(torchs).max()))
        # Written so that NaN fails too.
        if not difference <= limit:
            raise ModelError(
                "the exported model does not compute what torch computes",
                context=[f"largest difference of {name} {difference:.3g}, allowed {limit:.3g}"],
            )
    return True
