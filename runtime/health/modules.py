"""Probes of Python modules: numpy, ONNX Runtime and what it really runs on, and what only some bundles need."""

import re
from typing import Any, Dict, List, NamedTuple

from .findings import MISSING, OK, WRONG, Finding
from .gpu import Accelerator
from .machine import Machine
from .system import Module, System

CUDA = "CUDAExecutionProvider"
#: Oldest numpy that is tested with.
NUMPY = (1, 19)


class Use(NamedTuple):
    """A module that some uses need: its name, its package, what for, and the sides that cannot do without."""

    module: str
    package: str
    use: str
    sides: Any = ()


OPTIONAL = (
    Use("PIL", "pillow", "images and JPEG"),
    Use("cv2", "opencv-python-headless", "videos"),
    Use("cryptography", "cryptography", "signatures: --trust, --key"),
    Use("pycuda", "pycuda", "--engine trt"),
    Use("uvicorn", "uvicorn", "serving", ("cloud",)),
    Use("httptools", "httptools", "serving", ("cloud",)),
)


def numpy(system: System, machine: Machine) -> List[Finding]:
    """numpy, which both programs need."""
    module = system.module("numpy")
    if module is None:
        return [Finding("numpy", MISSING, "none", _dotted(NUMPY) + " or newer", machine.install("numpy"))]
    if module.crashed and "illegal instruction" in module.error and machine.jetson:
        mend = "echo 'export OPENBLAS_CORETYPE=ARMV8' >> ~/.profile, then log in again"
        return [Finding("numpy", WRONG, "importing it ends in an illegal instruction", "OpenBLAS for this CPU", mend)]
    if module.error:
        mend = machine.install("numpy").replace("install numpy", "install --force-reinstall numpy")
        return [Finding("numpy", WRONG, "cannot be imported: " + module.error, "one that can", mend)]
    release = tuple(int(part) for part in re.findall(r"\d+", module.version)[:2])
    if release < NUMPY:
        mend = machine.install("numpy")
        return [Finding("numpy", WRONG, module.version, _dotted(NUMPY) + " or newer", mend, needed=False)]
    return [Finding("numpy", OK, module.version)]


def onnxruntime(system: System, machine: Machine, found: Accelerator) -> List[Finding]:
    """ONNX Runtime, the mixture of its two packages, and whether its GPU provider works or silently gives way."""
    name = "ONNX Runtime"
    module = system.module("onnxruntime")
    # Either engine will do.
    needed = not usable_tensorrt(system, found)
    gpu = found.works and not machine.jetson
    wanted = "onnxruntime-gpu" if gpu else "onnxruntime"
    if module is None:
        more = "" if needed else "; --engine trt works without"
        return [Finding(name, MISSING, "none" + more, wanted, machine.install(wanted), needed)]
    packages = [str(each) for each in module.facts.get("distributions", ())]
    both = {"onnxruntime", "onnxruntime-gpu"} <= set(packages)
    if both or (module.error and not module.crashed):
        what = "onnxruntime and onnxruntime-gpu share one folder, and both are installed"
        said = what if both else "cannot be used: " + module.error
        mend = "{} -m pip uninstall -y onnxruntime onnxruntime-gpu && {}".format(
            machine.interpreter, machine.install(wanted)
        )
        return [Finding(name, WRONG, said, "one of the two", mend, needed)]
    if module.error:
        mend = "echo 'export OPENBLAS_CORETYPE=ARMV8' >> ~/.profile, then log in again"
        return [
            Finding(name, WRONG, "importing it ends the process: " + module.error, "a build for this CPU", mend, needed)
        ]
    return [_provider_finding(name, machine, module, packages, gpu)]


def _provider_finding(name: str, machine: Machine, module: Module, packages: List[str], gpu: bool) -> Finding:
    offered = [str(each) for each in module.facts.get("providers", ())]
    session = [str(each) for each in module.facts.get("session", ())]
    text = "{}, {}".format(module.version, ", ".join(_short(each) for each in session or offered))
    if CUDA in offered and CUDA not in session:
        library = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open", module.facts.get("log", ""))
        why = "{} is not found".format(library.group(1)) if library else "see the log of a session"
        said = "{} offers CUDA and silently runs on the CPU: {}".format(module.version, why)
        asked = re.search(r"Require cuDNN (\d+)\S* and CUDA (\d+)", module.facts.get("log", ""))
        expected = "CUDA {} and cuDNN {} where the loader finds them".format(
            *(asked.group(2), asked.group(1)) if asked else ("and its libraries", "of its release")
        )
        if not gpu:
            expected = "a GPU, or ONNX Runtime for the CPU"
            mend = "{} -m pip uninstall -y onnxruntime-gpu && {}".format(
                machine.interpreter, machine.install("onnxruntime")
            )
            # It runs, as slowly as it would anyway.
            return Finding(name, WRONG, said, expected, mend, needed=False)
        mend = "sudo apt-get install cuda-libraries-{cuda}-0 libcudnn{cudnn}-cuda-{cuda} && sudo ldconfig".format(
            cuda=asked.group(2) if asked else "13", cudnn=asked.group(1) if asked else "9"
        )
        return Finding(name, WRONG, said, expected, mend)
    if gpu and CUDA not in offered:
        said = text + ": a GPU is here, and this package cannot use it"
        mend = "{} -m pip uninstall -y {} && {}".format(
            machine.interpreter, " ".join(packages) or "onnxruntime", machine.install("onnxruntime-gpu")
        )
        return Finding(name, WRONG, said, "onnxruntime-gpu", mend, needed=False)
    return Finding(name, OK, text)


def usable_tensorrt(system: System, found: Accelerator) -> bool:
    """Whether --engine trt can work here."""
    pycuda = system.module("pycuda")
    return bool(found.works and found.tensorrt_module and pycuda is not None and not pycuda.error)


def optional(system: System, machine: Machine, found: Accelerator, side: str) -> List[Finding]:
    """Modules that some uses need. pycuda is looked for where there is TensorRT."""
    findings = []
    for each in OPTIONAL:
        if each.sides and side not in each.sides:
            continue
        if each.module == "pycuda" and not found.tensorrt_module:
            continue
        module, needed = system.module(each.module), side in each.sides
        install = machine.install(each.package)
        if each.module == "pycuda":
            # Built apart, the release for Python 3.6 wants a numpy that no longer builds.
            given = "--no-build-isolation pycuda" if machine.python < (3, 8) else "pycuda"
            install = "PATH=/usr/local/cuda/bin:$PATH " + install.replace("install pycuda", "install " + given)
        if module is None:
            findings.append(Finding(each.module, MISSING, "none", "for " + each.use, install, needed))
        elif module.error:
            said = "cannot be imported: " + module.error
            findings.append(Finding(each.module, WRONG, said, "for " + each.use, install, needed))
        else:
            findings.append(Finding(each.module, OK, module.version or "installed"))
    return findings


def facts(system: System) -> Dict[str, Any]:
    """Versions by themselves, for scripts."""
    names = ("numpy", "onnxruntime") + tuple(each.module for each in OPTIONAL)
    modules = {name: system.module(name) for name in names}
    versions = {name: module.version or None if module is not None else None for name, module in modules.items()}
    ort = modules["onnxruntime"]
    asked = ort.facts if ort is not None else {}
    return dict(versions, onnxruntime_providers=list(asked.get("session") or asked.get("providers") or ()))


def _short(provider: str) -> str:
    return provider[: -len("ExecutionProvider")] if provider.endswith("ExecutionProvider") else provider


def _dotted(parts: Any) -> str:
    return ".".join(str(part) for part in parts)
