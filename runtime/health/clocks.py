"""What a measurement depends on besides its code: the processor, and the clocks it may run at."""

import platform
import re
from typing import Dict, Optional, Tuple

from .machine import CHIPS
from .system import System

_MODES = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", re.MULTILINE)
_GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def processor_name(system: Optional[System] = None) -> str:
    """The board where it names itself, else the CPU, as far as the system says."""
    system = system or System()
    board = (system.read("/proc/device-tree/model") or "").strip("\0 \n")
    if board:
        return board
    found = re.search(r"^model name\s*:\s*(.+)$", system.read("/proc/cpuinfo") or "", re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def chip_name(system: Optional[System] = None) -> str:
    """A Jetson's chip as the device tree names it ("tegra186"), else the architecture of the CPU ("x86_64")."""
    compatible = (system or System()).read("/proc/device-tree/compatible") or ""
    return next((chip for chip in CHIPS if chip in compatible), platform.machine())


def is_another(chip: str, compute_capability: str) -> bool:
    """Whether a chip is certainly not the one of a target with that compute capability.

    Nothing can be said of servers, which are known by their CPU only, of boards with the same chip, and of ARM machines
    whose device tree is hidden, as in some containers.
    """
    if not compute_capability:
        return False
    if chip in CHIPS:
        return CHIPS[chip] != compute_capability
    return chip in ("x86_64", "AMD64") and compute_capability in CHIPS.values()


def power_mode(system: Optional[System] = None) -> str:
    """The Jetson's power mode and the CPU's governor; empty where neither is stated."""
    system = system or System()
    name, number = jetson_mode(system, jetson_modes(system))
    mode = name or ("" if number is None else "power mode {}".format(number))
    governor = (system.read(_GOVERNOR) or "").strip()
    return ", ".join(part for part in (mode, governor and "governor " + governor) if part)


def jetson_modes(system: System) -> Dict[int, str]:
    """The power modes of a Jetson by their numbers; none elsewhere."""
    return {int(number): name for number, name in _MODES.findall(system.read("/etc/nvpmodel.conf") or "")}


def jetson_mode(system: System, modes: Dict[int, str]) -> Tuple[str, Optional[int]]:
    """Name and number of the power mode: what nvpmodel says, or the file it keeps them in."""
    ran = system.run("nvpmodel", "-q")
    said = re.search(r"NV Power Mode: *(\S.*?) *$(?:\s*^(\d+)$)?", ran.out if ran else "", re.MULTILINE)
    if said:
        return said.group(1), int(said.group(2)) if said.group(2) else None
    kept = re.search(r"pmode:(\d+)", system.read("/var/lib/nvpmodel/status") or "")
    if kept is None:
        return "", None
    return modes.get(int(kept.group(1)), ""), int(kept.group(1))
