"""Which machine this is: the board, its JetPack, and how Python packages are installed on it."""

import re
from typing import Dict, NamedTuple, Optional, Tuple

from .system import System

#: Chips of Jetsons, as the device tree names them -> compute capability of their GPU.
CHIPS = {
    "tegra210": "5.3",
    "tegra186": "6.2",
    "tegra194": "7.2",
    "tegra234": "8.7",
    "tegra264": "11.0",
}


class Line(NamedTuple):
    """One generation of JetPack.

    Attributes
    ----------
    jetpack : str
        Its first release with the TensorRT that the targets name.
    l4t : tuple of int
        The same as L4T.
    branch : str
        Of NVIDIA's package source.
    python : tuple of int
        The system's, for which JetPack's modules are.
    tensorrt, cuda : str
        What it brings.
    """

    jetpack: str
    l4t: Tuple[int, ...]
    branch: str
    python: Tuple[int, int]
    tensorrt: str
    cuda: str


#: Generations of JetPack, by the major version of L4T.
LINES = {
    32: Line("4.6.1", (32, 7), "r32.7", (3, 6), "8.2", "10.2"),
    35: Line("5.1", (35, 2), "r35.6", (3, 8), "8.5", "11.4"),
    36: Line("6.1", (36, 4), "r36.4", (3, 10), "10.3", "12.6"),
    39: Line("7", (39, 0), "r39.1", (3, 12), "11.4", "13.2"),
}

#: Last releases for old Pythons; those of `requirements-*.txt` beside this package are the same.
LAST: Dict[Tuple[str, Tuple[int, ...]], str] = {
    ("numpy", (3, 6)): "numpy==1.19.5",
    ("numpy", (3, 8)): "numpy==1.24.4",
    ("onnxruntime", (3, 6)): "onnxruntime==1.10.0",
    ("onnxruntime", (3, 8)): "onnxruntime==1.19.2",
    ("pillow", (3, 6)): "pillow==8.4.0",
    ("pillow", (3, 8)): "pillow==10.4.0",
    ("opencv-python-headless", (3, 6)): "opencv-python-headless==4.6.0.66",
    ("cryptography", (3, 6)): "cryptography==40.0.2",
    ("pip", (3, 6)): "pip==21.3.1",
    ("pip", (3, 8)): "pip==25.0.1",
    ("pycuda", (3, 6)): "pycuda==2022.1",
}


#: The first pip that finds every wheel for aarch64: those of manylinux_2_28.
PIP = (20, 3)


class Machine(NamedTuple):
    """A machine, as far as every probe has to know it.

    Attributes
    ----------
    model : str
        Of the board; empty where it is not stated.
    chip : str
        One of `CHIPS`, or empty.
    jetson : bool
    l4t : tuple of int
        () where there is none.
    jetpack : str
        Version of the package nvidia-jetpack, or the generation that its L4T belongs to.
    container : bool
    os : str
    python : tuple of int
    interpreter : str
    pip : str
        Its version; empty where there is none.
    gpu_on_bus : bool
        An NVIDIA GPU is plugged in, or built in; whether it works is another question.
    """

    model: str
    chip: str
    jetson: bool
    l4t: Tuple[int, ...]
    jetpack: str
    container: bool
    os: str
    python: Tuple[int, ...]
    interpreter: str
    pip: str
    gpu_on_bus: bool

    @property
    def line(self) -> Optional[Line]:
        """The generation of its JetPack, where it is a known one."""
        return LINES.get(self.l4t[0]) if self.l4t else None

    def install(self, *names: str) -> str:
        """The command that installs Python packages for this interpreter."""
        pinned = [LAST.get((name, self.python[:2]), name) for name in names]
        words = " ".join("'{}'".format(name) if set(name) & set("<>[") else name for name in pinned)
        command = "{} -m pip install ".format(self.interpreter)
        first = ""
        if not self.pip:
            first = "sudo apt-get install python3-pip && "
        # The system's own pip is older than that up to Ubuntu 20.04.
        if (self.pip and _version(self.pip) < PIP) or (not self.pip and self.python[:2] <= (3, 8)):
            first += command + "{} && ".format(LAST.get(("pip", self.python[:2]), "--upgrade pip"))
        return first + command + words


def survey(system: System) -> Machine:
    """Look the machine up. What cannot be read stays empty."""
    compatible = system.read("/proc/device-tree/compatible") or ""
    chip = next((chip for chip in CHIPS if chip in compatible), "")
    release = system.read("/etc/nv_tegra_release") or ""
    l4t = l4t_of(release, system.packages().get("nvidia-l4t-core", ""))
    jetson = bool(chip or l4t)
    package = system.packages().get("nvidia-jetpack", "")
    line = LINES.get(l4t[0]) if l4t else None
    jetpack = package.split("-")[0] if package else line.jetpack.split(".")[0] if line is not None else ""
    pip = system.module("pip")
    return Machine(
        model=(system.read("/proc/device-tree/model") or system.read("/sys/class/dmi/id/product_name") or ""),
        chip=chip,
        jetson=jetson,
        l4t=l4t,
        jetpack=jetpack,
        container=system.read("/.dockerenv") is not None or "docker" in (system.read("/proc/1/cgroup") or ""),
        os=os_of(system.read("/etc/os-release") or ""),
        python=system.python,
        interpreter=system.interpreter,
        pip=pip.version if pip is not None else "",
        gpu_on_bus=jetson or _nvidia_on_bus(system),
    )


def l4t_of(release: str, package: str) -> Tuple[int, ...]:
    """L4T's version, from ``# R32 (release), REVISION: 7.6, ...`` or from the version of nvidia-l4t-core."""
    match = re.search(r"# R(\d+) .*?REVISION: (\d+)\.(\d+)", release) or re.match(r"(\d+)\.(\d+)\.(\d+)", package)
    return tuple(int(part) for part in match.groups()) if match else ()


def os_of(text: str) -> str:
    """The name in /etc/os-release."""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return match.group(1) if match else ""


def _nvidia_on_bus(system: System) -> bool:
    """Whether PCI lists a display controller (class 03) of NVIDIA (vendor 10de)."""
    for vendor in system.glob("/sys/bus/pci/devices/*/vendor"):
        if system.read(vendor) == "0x10de":
            kind = system.read(vendor[: -len("vendor")] + "class") or ""
            if kind.startswith("0x03"):
                return True
    return system.read("/proc/driver/nvidia/version") is not None


def _version(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
