"""Whether a machine suits one side of a bundle: the target's TensorRT and GPU, built engines, memory, disk."""

from typing import Any, List, Sequence, Tuple

from ..bundle.manifest_types import Manifest
from ..programs import command_of
from .board import MIB, disk, memory_of, size
from .findings import MISSING, OK, WRONG, Finding
from .gpu import Accelerator, parse_release
from .machine import Machine
from .modules import usable_tensorrt
from .system import System

#: Compute capabilities whose TensorRT has no INT8: networks with QuantizeLinear do not build there.
WITHOUT_INT8 = ("5.3", "6.0", "6.2")
#: Estimates: loading a ResNet101 of 170 MiB in ONNX Runtime and running it took 673 MiB at most, 46 of them before.
PER_MODEL_BYTE = 4
PROCESS_BYTES = 200 * MIB


def suits(
    system: System, machine: Machine, found: Accelerator, manifest: Manifest, side: str, capability: str, cache: str
) -> List[Finding]:
    """What a bundle asks of this machine.

    Parameters
    ----------
    manifest : Manifest
    side : {"device", "cloud"}
    capability : str
        Compute capability of the bundle's target, where the caller knows it.
    cache : str
        Folder of engines.
    """
    target = manifest.device if side == "device" else manifest.cloud
    findings = [Finding("target", OK, "{}, precision {}".format(_name(target), target.get("precision") or "fp32"))]
    findings += _gpu_of(target, capability, found)
    findings += _tensorrt_of(system, machine, target, found)
    findings += _engines_of(manifest, side, found)
    sizes = model_bytes(manifest, side)
    findings += _memory_for(system, machine, found, sizes)
    if found.tensorrt_module:
        findings += [
            each._replace(name="disk for its engines")
            for each in disk(system, cache, 2 * sum(sizes), needed=bool(sizes))
        ]
    return findings + _modules_for(system, machine, manifest, side)


def model_bytes(manifest: Manifest, side: str) -> Tuple[int, ...]:
    """Sizes of the models that a side loads: of all cuts, each once."""
    known = {artefact.path: artefact.size_bytes for artefact in manifest.artefacts}
    return tuple(known.get(path, 0) for path in manifest.run_by(side))


def _name(target: Any) -> str:
    return str(target.get("target") or target.get("name") or "not stated")


def _gpu_of(target: Any, capability: str, found: Accelerator) -> List[Finding]:
    here = found.compute_capability
    if target.get("tensorrt") and not found.works:
        mend = "see GPU above; on the CPU, at other times than planned: run it with --engine ort"
        return [Finding("its GPU", MISSING, "none that works", "the {}'s".format(_name(target)), mend)]
    if target.get("precision") == "int8" and here in WITHOUT_INT8:
        mend = "coachc compile for this board: --device tx2"
        said = "compute capability {}, without INT8".format(here)
        return [Finding("its precision", WRONG, said, "a GPU with INT8", mend)]
    if not capability or not here or capability == here:
        return []
    said = "compute capability {}".format(here)
    expected = "{}, the target's: its times are not this machine's".format(capability)
    mend = "coachc compile for this machine: coachc devices lists the targets"
    return [Finding("its GPU", WRONG, said, expected, mend, needed=False)]


def _tensorrt_of(system: System, machine: Machine, target: Any, found: Accelerator) -> List[Finding]:
    """The target's TensorRT against the one that is here. A newer one parses what an older one does."""
    wanted = parse_release(str(target.get("tensorrt") or ""))[:2]
    if not wanted:
        module = system.module("onnxruntime")
        if module is not None and not module.error:
            return [Finding("its engine", OK, "ONNX Runtime " + module.version)]
        return [Finding("its engine", MISSING, "none", "ONNX Runtime", machine.install("onnxruntime"))]
    name, text = "its TensorRT", "{}.{}".format(*wanted)
    if not found.tensorrt_module:
        module = system.module("onnxruntime")
        mend = "see TensorRT above"
        said = "none"
        if module is not None and not module.error:
            said, mend = "none; ONNX Runtime runs it, at other times than planned", mend + ", or run with --engine ort"
        return [Finding(name, MISSING, said, "{} or newer".format(text), mend)]
    here = found.tensorrt_version
    if found.tensorrt_module == "tensorrt_rtx":
        # Its releases count anew; it parses what TensorRT 11 does.
        return [Finding(name, OK, "TensorRT-RTX {}, planned for {}".format(here, text))]
    if parse_release(here)[:2] < wanted:
        mend = "coachc compile for this machine's TensorRT, or install {}".format(text)
        return [Finding(name, WRONG, here, "{} or newer".format(text), mend)]
    if not usable_tensorrt(system, found):
        return [Finding(name, OK, "{}, planned for {}; --engine trt also needs pycuda and a GPU".format(here, text))]
    return [Finding(name, OK, "{}, planned for {}".format(here, text))]


def _engines_of(manifest: Manifest, side: str, found: Accelerator) -> List[Finding]:
    """Engines that were built ahead, for the cloud; where they do not fit, others are built here."""
    findings = []
    if side != "cloud":
        return []
    product = "TensorRT-RTX " if found.tensorrt_module == "tensorrt_rtx" else "TensorRT "
    for engine in manifest.engines:
        here = "{}{}, compute capability {}".format(product, found.tensorrt_version, found.compute_capability)
        wanted = "{}, compute capability {}".format(engine.builder, engine.compute_capability)
        fits = here == wanted
        findings.append(
            Finding("engine " + engine.path, OK, here)
            if fits
            else Finding(
                "engine " + engine.path,
                WRONG,
                here if found.tensorrt_version else "no TensorRT",
                wanted,
                command_of("build") + " BUNDLE --side cloud builds one for this machine",
                needed=False,
            )
        )
    return findings


def _memory_for(system: System, machine: Machine, found: Accelerator, sizes: Sequence[int]) -> List[Finding]:
    needed = PROCESS_BYTES + PER_MODEL_BYTE * sum(sizes)
    amounts = memory_of(system)
    findings = []
    if "MemAvailable" in amounts:
        free, text = amounts["MemAvailable"], "about {}".format(size(needed))
        if free < needed:
            mend = "end other programs, or serve and run one cut only: --cut NAME"
            findings.append(Finding("memory for it", WRONG, "{} free".format(size(free)), text, mend))
        else:
            findings.append(Finding("memory for it", OK, "{} free, {} taken".format(size(free), text)))
    weights = PER_MODEL_BYTE * sum(sizes)
    if found.works and not machine.jetson and 0 < found.memory_bytes < weights:
        mend = "serve one cut only: --cut NAME, or take a larger GPU"
        said, text = size(found.memory_bytes), "about {}".format(size(weights))
        findings.append(Finding("GPU memory for it", WRONG, said, text, mend))
    return findings


def _modules_for(system: System, machine: Machine, manifest: Manifest, side: str) -> List[Finding]:
    """pillow, where the cloud gets JPEG or the device reads images."""
    jpeg = any(cut.mode == "cloud-jpeg" for cut in manifest.cuts)
    images = manifest.preprocess is not None
    if not (jpeg if side == "cloud" else images) or system.module("PIL") is not None:
        return []
    what = "one of its cuts sends JPEG" if side == "cloud" else "its source may be images"
    mend = machine.install("pillow")
    return [Finding("pillow for it", MISSING, "none", what, mend, needed=side == "cloud")]
