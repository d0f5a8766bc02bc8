"""What a Jetson draws, by its own INA3221 monitors, while something runs.

L4T 32 shows each rail in milliwatts under its driver's folder, later releases volts and amperes as Linux's hwmon does.
One rail is the input of the whole module where the board has such a monitor; where it has none the rails add up, less
what the carrier board takes by itself.
"""

import threading
import time
from typing import Dict, List, NamedTuple, Optional

from .system import System

#: Rails that hold all the others.
_WHOLE = ("VDD_IN", "POM_5V_IN")
INTERVAL_S = 0.02


class Drawn(NamedTuple):
    """Mean watts of the board, and how many readings they are of."""

    watts: float
    readings: int


def rails(system: System) -> Dict[str, float]:
    """Watts of every rail now, by its name; nothing where there is no monitor or it cannot be read."""
    found = {}
    for path in system.glob("/sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*"):
        milliwatts = _number(system, path.replace("/rail_name_", "/in_power") + "_input")
        if milliwatts is not None:
            found[system.read(path) or path] = milliwatts / 1e3
    for path in system.glob("/sys/class/hwmon/hwmon*/in[1-3]_label"):
        if (system.read(path.rpartition("/")[0] + "/name") or "") != "ina3221":
            continue
        volts = _number(system, path.replace("_label", "_input"))
        amperes = _number(system, path.replace("/in", "/curr").replace("_label", "_input"))
        if volts is not None and amperes is not None:
            found[system.read(path) or path] = volts * amperes / 1e6
    return found


def board_watts(system: System) -> Optional[float]:
    """Of the whole module; None where nothing tells it."""
    found = rails(system)
    whole = [found[name] for name in _WHOLE if name in found]
    return whole[0] if whole else sum(found.values()) or None


class PowerMeter:
    """Reads the board's power in a thread of its own until it is stopped.

    Parameters
    ----------
    system : System, optional
    interval_s : float
    """

    def __init__(self, system: Optional[System] = None, interval_s: float = INTERVAL_S) -> None:
        self._system, self._interval_s = system or System(), interval_s
        self._readings: List[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "PowerMeter":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def drawn(self) -> Optional[Drawn]:
        """What was read so far; None where there is nothing to read."""
        readings = list(self._readings)
        return Drawn(sum(readings) / len(readings), len(readings)) if readings else None

    def _read(self) -> None:
        while not self._ended.is_set():
            watts = board_watts(self._system)
            if watts is None:
                return
            self._readings.append(watts)
            self._ended.wait(self._interval_s)


def idle_watts(seconds: float, system: Optional[System] = None) -> Optional[Drawn]:
    """What the board draws while this program waits; at once None where nothing tells it."""
    if board_watts(system or System()) is None:
        return None
    with PowerMeter(system) as meter:
        time.sleep(seconds)
    return meter.drawn


def _number(system: System, path: str) -> Optional[float]:
    text = system.read(path) or ""
    return float(text) if text.lstrip("-").isdigit() else None
