"""Probes of the GPU and NVIDIA's libraries: driver, CUDA, nvcc, cuDNN, TensorRT."""

import re
from typing import Any, List, Optional, Tuple

from ..engines.load_kernels import compiled_ahead
from .findings import MISSING, OK, WRONG, Finding
from .machine import CHIPS, Machine
from .system import Module, System

#: Releases of TensorRT the engines speak, as `runtime.engines.dialect` has them: first and last.
TENSORRT = ((8, 2), (11, 99))
RUNTIME_NVIDIA = "docker run --runtime nvidia ..."
GPUS_ALL = "docker run --gpus all ..."


class Accelerator:
    """What there is of NVIDIA's stack, each asked once.

    Attributes
    ----------
    name, compute_capability : str
        Of the first GPU; the capability from the chip where the driver does not answer. Empty where there is none.
    memory_bytes : int
    works : bool
        The CUDA driver lists it.
    tensorrt_module : str
        "tensorrt" or "tensorrt_rtx", where one can be imported; else empty.
    tensorrt_version : str
        Of the module, or of the library where the module is missing.
    cuda_version, cudnn_version : str
    """

    def __init__(self, system: System, machine: Machine) -> None:
        self.driver = system.cuda()
        self.works = bool(self.driver.devices) and not self.driver.error
        first = self.driver.devices[0] if self.driver.devices else None
        self.name = first.name if first else ""
        self.memory_bytes = first.memory_bytes if first else 0
        self.compute_capability = first.compute_capability if first else CHIPS.get(machine.chip, "")
        if first is None:
            self._ask_nvidia_smi(system)
        self.modules = [(name, system.module(name)) for name in ("tensorrt", "tensorrt_rtx")]
        usable = [(name, module) for name, module in self.modules if module is not None and not module.error]
        self.tensorrt_module = usable[0][0] if usable else ""
        self.tensorrt_version = _release(usable[0][1]) if usable else _nvinfer(system)
        self.cuda_version = cuda_version(system)
        self.cudnn_version = cudnn_version(system)

    def _ask_nvidia_smi(self, system: System) -> None:
        query = "--query-gpu=name,compute_cap,memory.total"
        ran = system.run("nvidia-smi", query, "--format=csv,noheader,nounits")
        if ran is None or ran.code or not ran.out.strip():
            return
        parts = [part.strip() for part in ran.out.strip().splitlines()[0].split(",")]
        self.name = parts[0]
        if len(parts) == 3 and re.match(r"\d+\.\d+$", parts[1]):
            self.compute_capability = parts[1]
        if parts[-1].isdigit():
            self.memory_bytes = int(parts[-1]) << 20

    def facts(self) -> Any:
        """By themselves, for scripts."""
        return {
            "gpu": self.name or None,
            "compute_capability": self.compute_capability or None,
            "gpu_memory_bytes": self.memory_bytes or None,
            "driver_cuda": self.driver.version or None,
            "cuda": self.cuda_version or None,
            "cudnn": self.cudnn_version or None,
            "tensorrt": self.tensorrt_version or None,
            "tensorrt_module": self.tensorrt_module or None,
        }


def gpu(system: System, machine: Machine, found: Accelerator) -> List[Finding]:
    """The GPU and its driver. A machine without one is no mistake, unless it is a Jetson."""
    needed = machine.jetson
    what = "{}, compute capability {}".format(found.name or "GPU", found.compute_capability or "unknown")
    if found.works:
        text = what + (", driver for CUDA {}".format(found.driver.version) if found.driver.version else "")
        return [Finding("GPU", OK, text)]
    if not machine.gpu_on_bus and not found.driver.installed:
        return [Finding("GPU", MISSING, "none", "one, for anything but the CPU", needed=False)]
    if machine.container:
        mend = RUNTIME_NVIDIA if machine.jetson else GPUS_ALL
        said = found.driver.error or "no libcuda"
        return [Finding("GPU", WRONG, "{}: {}".format(what, said), "the driver's devices", mend, needed)]
    if machine.jetson:
        groups = system.groups()
        if "video" not in groups and "root" not in groups:
            mend = "sudo usermod -aG video $(id -un), then log in again"
            said = "{}: this user is not in the group video".format(what)
            return [Finding("GPU", WRONG, said, "access to its devices", mend)]
        mend = "sudo apt-get install --reinstall nvidia-l4t-cuda && sudo reboot"
        return [Finding("GPU", WRONG, "{}: {}".format(what, found.driver.error), "a driver that answers", mend)]
    if not found.driver.installed:
        install = "sudo ubuntu-drivers install" if "Ubuntu" in machine.os else "sudo apt-get install nvidia-driver"
        return [Finding("GPU", MISSING, "an NVIDIA GPU without driver", "its driver", install + " && sudo reboot")]
    said = "{}: {}".format(what, found.driver.error or "no devices")
    mend = "sudo modprobe nvidia; after an update of the driver: sudo reboot"
    return [Finding("GPU", WRONG, said, "a driver that answers", mend)]


def cuda(system: System, machine: Machine, found: Accelerator) -> List[Finding]:
    """CUDA's runtime, and nvcc where pycuda is used."""
    if not machine.gpu_on_bus and not found.driver.installed:
        return []
    findings = []
    if not found.cuda_version:
        mend = _jetpack_part(machine, "cuda", "sudo apt-get install cuda-runtime-{}".format(_for_apt(found)))
        findings.append(Finding("CUDA", MISSING, "none", _stated(machine, "cuda"), mend, needed=machine.jetson))
    elif found.driver.version and _major(found.cuda_version) > _major(found.driver.version):
        said = "{}, and the driver runs CUDA {} at most".format(found.cuda_version, found.driver.version)
        mend = "sudo apt-get install --only-upgrade nvidia-driver && sudo reboot"
        if machine.jetson:
            mend = "sudo apt-get update && sudo apt-get dist-upgrade"
        findings.append(Finding("CUDA", WRONG, said, "a driver as new as CUDA", mend))
    else:
        findings.append(Finding("CUDA", OK, found.cuda_version))
    return findings + _nvcc(system, found)


def _nvcc(system: System, found: Accelerator) -> List[Finding]:
    """nvcc: the kernels that pack on the GPU are compiled by it, where they are not yet, and pycuda itself."""
    if not found.tensorrt_module:
        return []
    if compiled_ahead():
        return [Finding("CUDA kernels", OK, "compiled ahead")]
    if system.which("nvcc", everywhere=False):
        return [Finding("nvcc", OK, str(system.which("nvcc", everywhere=False)))]
    expected = "on the PATH, to install pycuda and to pack on the GPU"
    for path in system.glob("/usr/local/cuda*/bin/nvcc"):
        mend = "export PATH={}:$PATH".format(path.rpartition("/")[0])
        return [Finding("nvcc", WRONG, "{}, not on the PATH".format(path), expected, mend, needed=False)]
    release = "-".join(found.cuda_version.split(".")[:2])
    mend = "sudo apt-get install cuda-nvcc-{}".format(release) if release else "install CUDA first"
    return [Finding("nvcc", MISSING, "none", expected, mend, needed=False)]


def cudnn(machine: Machine, found: Accelerator) -> List[Finding]:
    """cuDNN: TensorRT 8 is linked against it; ONNX Runtime's CUDA provider tells by itself."""
    if not machine.gpu_on_bus and not found.driver.installed:
        return []
    if found.cudnn_version:
        return [Finding("cuDNN", OK, found.cudnn_version)]
    wanted = machine.jetson and _major(found.tensorrt_version or _stated(machine, "tensorrt")) == 8
    mend = _jetpack_part(machine, "cudnn", "sudo apt-get install libcudnn9-cuda-{}".format(_cuda_major(found)))
    return [Finding("cuDNN", MISSING, "none", "for TensorRT 8 and ONNX Runtime on the GPU", mend, needed=wanted)]


def tensorrt(system: System, machine: Machine, found: Accelerator) -> List[Finding]:
    """TensorRT's Python module, of a release the engines speak."""
    name = "TensorRT"
    expected = "{}.{} to {}.x".format(TENSORRT[0][0], TENSORRT[0][1], TENSORRT[1][0])
    if found.tensorrt_module:
        rtx = found.tensorrt_module == "tensorrt_rtx"
        text = "{}{}".format("TensorRT-RTX " if rtx else "", found.tensorrt_version)
        release = tuple(int(part) for part in re.findall(r"\d+", found.tensorrt_version)[:2])
        if not rtx and not TENSORRT[0] <= release <= TENSORRT[1]:
            mend = "" if not machine.jetson else "sudo apt-get update && sudo apt-get dist-upgrade"
            return [Finding(name, WRONG, text, expected, mend or machine.install("tensorrt"), needed=machine.jetson)]
        return [Finding(name, OK, text)]
    broken = [(module, state) for module, state in found.modules if state is not None]
    if broken:
        said = "{} cannot be imported: {}".format(broken[0][0], broken[0][1].error if broken[0][1] else "")
        mend = _jetpack_part(machine, "tensorrt", machine.install(broken[0][0].replace("_", "-")))
        if machine.container:
            mend = RUNTIME_NVIDIA if machine.jetson else GPUS_ALL
        return [Finding(name, WRONG, said, expected, mend, needed=machine.jetson)]
    own = _modules_of_the_system(system)
    if own:
        said = "its module is for {} only".format(own)
        mend = "run it with /usr/bin/{}, or make the environment with --system-site-packages".format(own)
        return [Finding(name, WRONG, said, expected, mend, needed=machine.jetson)]
    if found.tensorrt_version:
        said = "the library {}, without its Python module".format(found.tensorrt_version)
        mend = "sudo apt-get install python3-libnvinfer"
        return [Finding(name, MISSING, said, expected, mend, needed=machine.jetson)]
    if not machine.gpu_on_bus and not found.driver.installed:
        return [Finding(name, MISSING, "none, and no GPU for it", expected, needed=False)]
    mend = _jetpack_part(machine, "tensorrt", machine.install("tensorrt"))
    return [Finding(name, MISSING, "none", expected, mend, needed=machine.jetson)]


def cuda_version(system: System) -> str:
    """Of the toolkit's own files, nvcc, or the library the loader finds; empty where there is none."""
    stated = re.search(
        r'"cuda"\s*:\s*\{[^}]*?"version"\s*:\s*"([\d.]+)"', system.read("/usr/local/cuda/version.json") or ""
    ) or re.search(r"CUDA Version ([\d.]+)", system.read("/usr/local/cuda/version.txt") or "")
    if stated:
        return stated.group(1)
    nvcc = system.which("nvcc") or "".join(system.glob("/usr/local/cuda/bin/nvcc"))
    ran = system.run(nvcc, "--version") if nvcc else None
    said = re.search(r"release [\d.]+, V([\d.]+)", ran.out if ran else "")
    return said.group(1) if said else _soname(system, "libcudart")


def cudnn_version(system: System) -> str:
    """Of cuDNN's header, its package, or the library the loader finds; empty where there is none."""
    headers = ["/usr/include/cudnn_version.h", "/usr/local/cuda/include/cudnn_version.h"]
    for path in headers + system.glob("/usr/include/*-linux-gnu/cudnn_version*.h"):
        text = system.read(path) or ""
        parts = [re.search(r"#define CUDNN_{}\s+(\d+)".format(part), text) for part in ("MAJOR", "MINOR", "PATCHLEVEL")]
        if all(parts):
            return ".".join(part.group(1) for part in parts if part)
    for package, version in sorted(system.packages().items()):
        if re.match(r"libcudnn\d+(-cuda-\d+)?$", package):
            return version.split("-")[0]
    return _soname(system, "libcudnn")


def _nvinfer(system: System) -> str:
    """Version of TensorRT's library, from its package or its file name; empty where there is none."""
    for package, version in sorted(system.packages().items()):
        if re.match(r"libnvinfer\d+$", package):
            return version.split("-")[0]
    return _soname(system, "libnvinfer")


def _soname(system: System, library: str) -> str:
    found = [re.match(re.escape(library) + r"\.so\.([\d.]+)$", name) for name in system.libraries()]
    versions = [match.group(1) for match in found if match]
    return max(versions, key=len) if versions else ""


def _modules_of_the_system(system: System) -> str:
    """Which of the system's Pythons has TensorRT's module: "python3.6"."""
    for path in system.glob("/usr/lib/python3*/dist-packages/tensorrt"):
        if "python3/" not in path:
            return path.split("/")[3]
    return "python3" if system.glob("/usr/lib/python3/dist-packages/tensorrt") else ""


def _jetpack_part(machine: Machine, part: str, otherwise: str) -> str:
    if not machine.jetson:
        return otherwise
    if machine.container:
        return "{} with an image that has {}: see Dockerfile.jetson".format(RUNTIME_NVIDIA, part)
    return "sudo apt-get update && sudo apt-get install nvidia-jetpack"


def _stated(machine: Machine, part: str) -> str:
    """What the machine's JetPack brings."""
    line = machine.line
    return getattr(line, part) if line is not None else "CUDA's libraries" if part == "cuda" else ""


def _for_apt(found: Accelerator) -> str:
    return found.driver.version.replace(".", "-") or "13-0"


def _cuda_major(found: Accelerator) -> int:
    return _major(found.cuda_version or found.driver.version) or 13


def _major(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group(0)) if match else 0


def _release(module: Optional[Module]) -> str:
    return module.version if module is not None else ""


def parse_release(text: str) -> Tuple[int, ...]:
    """Numbers of a version: (8, 2, 1) of "8.2.1.8-1+cuda10.2"."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group(0).split(".")[:3]) if match else ()
