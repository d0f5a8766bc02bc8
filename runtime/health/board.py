"""Probes of the board and its operating system: JetPack, Python, memory, power, network, disk."""

import re
from typing import Dict, List, Tuple

from .clocks import jetson_mode, jetson_modes
from .findings import MISSING, OK, WRONG, Finding
from .machine import LINES, Machine
from .system import System

GIB, MIB = 1 << 30, 1 << 20
#: A guess at what loading a common model takes; with a bundle its own size is counted.
LEAST_MEMORY_BYTES = 1 * GIB
#: Boards with less than this should have swap while an engine is built: a guess too.
SWAP_BELOW_BYTES = 12 * GIB
LEAST_SWAP_BYTES = 2 * GIB
LEAST_DISK_BYTES = 1 * GIB
SLOW_START = "/proc/sys/net/ipv4/tcp_slow_start_after_idle"


def jetpack(machine: Machine) -> List[Finding]:
    """JetPack and L4T; nothing on other machines."""
    if not machine.jetson:
        return []
    if not machine.l4t:
        return [
            Finding(
                "JetPack",
                MISSING,
                "no L4T release is stated in /etc/nv_tegra_release",
                "one, as JetPack installs it",
                "mount the file: docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro ..."
                if machine.container
                else "flash the board with JetPack: sdkmanager --cli",
                needed=False,
            )
        ]
    l4t = _dotted(machine.l4t)
    found = "JetPack {} (L4T {})".format(machine.jetpack, l4t) if machine.jetpack else "L4T {}".format(l4t)
    line = machine.line
    if line is None:
        known = ", ".join("{}.x".format(major) for major in sorted(LINES))
        return [Finding("JetPack", WRONG, found, "L4T " + known, "sdkmanager --cli", needed=False)]
    if machine.l4t[:2] < line.l4t:
        source = "/etc/apt/sources.list.d/nvidia-l4t-apt-source.list"
        return [
            Finding(
                "JetPack",
                WRONG,
                found,
                "JetPack {} or newer (L4T {}, TensorRT {})".format(line.jetpack, _dotted(line.l4t), line.tensorrt),
                "sudo sed -i 's/ r[0-9.]* / {} /' {} && sudo apt-get update && sudo apt-get dist-upgrade".format(
                    line.branch, source
                ),
                needed=False,
            )
        ]
    return [Finding("JetPack", OK, found)]


def system(machine: Machine) -> List[Finding]:
    """The operating system; any will do."""
    return [Finding("system", OK, machine.os or "not stated")]


def python(machine: Machine) -> List[Finding]:
    """This Python: 3.6 or newer; on a Jetson the system's, since TensorRT's module is for that one only."""
    found = _dotted(machine.python)
    if machine.python[:2] < (3, 6):
        return [Finding("Python", WRONG, found, "3.6 or newer", "sudo apt-get install python3.6")]
    line = machine.line
    if line is not None and machine.python[:2] != line.python:
        own = _dotted(line.python)
        return [
            Finding(
                "Python",
                WRONG,
                found,
                "{}, for which JetPack's TensorRT is".format(own),
                "run it with /usr/bin/python{}".format(own),
                needed=False,
            )
        ]
    return [Finding("Python", OK, found)]


def memory_of(system_: System) -> Dict[str, int]:
    """Bytes of /proc/meminfo, by name."""
    rows = re.findall(r"^(\w+):\s+(\d+) kB", system_.read("/proc/meminfo") or "", re.MULTILINE)
    return {name: int(amount) * 1024 for name, amount in rows}


def memory(system_: System, machine: Machine, side: str) -> List[Finding]:
    """Free memory, and on a device swap."""
    amounts = memory_of(system_)
    if "MemTotal" not in amounts:
        return [Finding("memory", OK, "not stated")]
    free = amounts.get("MemAvailable", amounts.get("MemFree", 0))
    found = "{} of {} free".format(size(free), size(amounts["MemTotal"]))
    if free < LEAST_MEMORY_BYTES:
        mend = "end other programs; on a Jetson the desktop: sudo systemctl isolate multi-user.target"
        findings = [Finding("memory", WRONG, found, "{} free".format(size(LEAST_MEMORY_BYTES)), mend, needed=False)]
    else:
        findings = [Finding("memory", OK, found)]
    if side != "device" or not machine.jetson:
        return findings
    swap, expected = amounts.get("SwapTotal", 0), "{} while an engine is built".format(size(LEAST_SWAP_BYTES))
    if amounts["MemTotal"] >= SWAP_BELOW_BYTES or swap >= LEAST_SWAP_BYTES:
        return findings + [Finding("swap", OK, size(swap) if swap else "none, and enough memory without")]
    mend = (
        "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
    )
    state, found = (WRONG, size(swap)) if swap else (MISSING, "none")
    return findings + [Finding("swap", state, found, expected, mend, needed=False)]


def power(system_: System, machine: Machine) -> List[Finding]:
    """The power mode of a Jetson, and whether its clocks are locked."""
    if not machine.jetson:
        return []
    modes = jetson_modes(system_)
    name, number = jetson_mode(system_, modes)
    findings = []
    if not name and number is None:
        mend = "sudo nvpmodel -q"
        if machine.container:
            mend = "docker run -v /etc/nvpmodel.conf:/etc/nvpmodel.conf:ro -v /var/lib/nvpmodel:/var/lib/nvpmodel:ro"
        findings.append(Finding("power mode", MISSING, "cannot be read", "the fastest one", mend, needed=False))
    else:
        found = name or "number {}".format(number)
        best = max(modes.items(), key=lambda mode: _speed(mode[1])) if modes else None
        if best is not None and _speed(name) < _speed(best[1]):
            mend = "sudo nvpmodel -m {}".format(best[0])
            findings.append(Finding("power mode", WRONG, found, best[1], mend, needed=False))
        elif best is None and not name.startswith("MAXN"):
            mend = "sudo nvpmodel -p --verbose lists the modes, sudo nvpmodel -m ID takes one"
            findings.append(Finding("power mode", WRONG, found, "MAXN, or the mode of most watts", mend, needed=False))
        else:
            findings.append(Finding("power mode", OK, found))
    return findings + _clocks(system_)


def _speed(name: str) -> Tuple[int, int, int]:
    """Order of power modes by their names: MAXN_SUPER, MAXN, then by watts and cores ("MODE_15W_6CORE")."""
    watts, cores = re.search(r"(\d+)W", name), re.search(r"(\d+)_?CORE", name)
    upper = name.upper().replace(" ", "_")
    known = 3 if upper.startswith("MAXN_SUPER") else 2 if upper in ("MAXN", "MODE_MAXN", "MAXN_ALL") else 1
    return known, int(watts.group(1)) if watts else 0, int(cores.group(1)) if cores else 0


def _clocks(system_: System) -> List[Finding]:
    """Whether the GPU's clock is locked at its highest: between two frames it sinks otherwise."""
    ran = system_.run("jetson_clocks", "--show")
    shown = re.search(r"GPU MinFreq=(\d+) MaxFreq=(\d+)", ran.out if ran else "")
    if shown:
        low, high = (int(each) for each in shown.groups())
    else:
        low, high = _devfreq(system_)
    if not high:
        return [
            Finding("clocks", MISSING, "cannot be read", "locked", "sudo jetson_clocks --show", needed=False),
        ]
    found = "GPU {:.0f} to {:.0f} MHz".format(low / 1e6, high / 1e6)
    if low < high:
        return [Finding("clocks", WRONG, found, "locked at the highest", "sudo jetson_clocks", needed=False)]
    return [Finding("clocks", OK, "GPU locked at {:.0f} MHz".format(high / 1e6))]


def _devfreq(system_: System) -> Tuple[int, int]:
    for folder in system_.glob("/sys/class/devfreq/*"):
        if re.search(r"\.(gp10b|gv11b|ga10b|gpu)$", folder):
            rates = [system_.read(folder + "/" + name) or "" for name in ("min_freq", "max_freq")]
            if all(rate.isdigit() for rate in rates):
                return int(rates[0]), int(rates[1])
    return 0, 0


def network(system_: System, machine: Machine, side: str) -> List[Finding]:
    """Whether TCP forgets the link's rate while the device is idle; the device sends, so it matters there only."""
    value = system_.read(SLOW_START)
    if side != "device" or value is None:
        return []
    found = "net.ipv4.tcp_slow_start_after_idle = {}".format(value)
    if value == "0":
        return [Finding("network", OK, found)]
    if machine.container:
        mend = "docker run --sysctl net.ipv4.tcp_slow_start_after_idle=0 ..."
    else:
        mend = (
            "echo net.ipv4.tcp_slow_start_after_idle=0 | sudo tee /etc/sysctl.d/60-coachc.conf"
            " && sudo sysctl -p /etc/sysctl.d/60-coachc.conf"
        )
    expected = "0: after a pause each task would start slowly again, at 40 ms round trip 1.7 times as long"
    return [Finding("network", WRONG, found, expected, mend, needed=False)]


def disk(system_: System, folder: str, needed_bytes: int = LEAST_DISK_BYTES, needed: bool = False) -> List[Finding]:
    """Room for the engines that are built here."""
    room = system_.disk(folder)
    found = "{} free for engines in {}".format(size(room.free_bytes), folder)
    if not room.writable:
        mend = "sudo chown -R $(id -un) {}, or --engine-cache DIR".format(room.path)
        return [Finding("disk", WRONG, "{} cannot be written".format(room.path), folder, mend, needed)]
    if room.free_bytes < needed_bytes:
        mend = "sudo apt-get clean, remove what is not used, or --engine-cache DIR on another disk"
        return [Finding("disk", WRONG, found, "{} or more".format(size(needed_bytes)), mend, needed)]
    return [Finding("disk", OK, found)]


def size(amount: float) -> str:
    """Bytes for people."""
    return "{:.1f} GiB".format(amount / GIB) if amount >= GIB else "{:.0f} MiB".format(amount / MIB)


def _dotted(parts: Tuple[int, ...]) -> str:
    return ".".join(str(part) for part in parts)
