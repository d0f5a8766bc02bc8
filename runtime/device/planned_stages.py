"""What a run took beside what its plan says: per stage, as the period, and which of them is worth measuring again."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..bundle.manifest_types import Manifest
from ..health.clocks import chip_name, is_another
from .sketch import StageTimes, Summary

STAGES = ("device", "link", "cloud")
#: A stage that is off by this factor makes the plan another one than it was chosen as.
NOTABLE = 1.5
#: Stages shorter than this are the program's own time more than the engine's.
LEAST_S = 1e-3


class Stage(NamedTuple):
    """One stage: seconds a task.

    Attributes
    ----------
    name : str
    planned_s : float or None
        None where the plan says nothing of this cut.
    achieved_s : Summary
        Of tasks that went through it.
    idle : float
        The share of the time in which it had nothing to do: its bubble.
    """

    name: str
    planned_s: Optional[float]
    achieved_s: Summary
    idle: float

    @property
    def factor(self) -> Optional[float]:
        """Times what was planned, where there is something to compare."""
        if not self.planned_s or self.achieved_s.p50 <= 0:
            return None
        return self.achieved_s.p50 / self.planned_s


class Compared(NamedTuple):
    """A run beside its plan.

    Attributes
    ----------
    stages : tuple of Stage
    planned_period_s : float or None
    period_s : float
        Between results, over the whole run.
    planned_engine, engine : str
        What the plan was costed for, and what ran the device's half.
    elsewhere : str
        The device that it was planned for, where this machine is another one.
    processor_s : float
        Of all of this device's processor cores together, that a task has taken in all: sending and receiving too, which
        with few cores does not go on beside the device's half.
    """

    stages: Tuple[Stage, ...]
    planned_period_s: Optional[float]
    period_s: float
    planned_engine: str
    engine: str
    elsewhere: str = ""
    processor_s: float = 0.0

    def to_json(self) -> Dict[str, Any]:
        """A JSON object."""
        return {
            "period_s": {"planned": self.planned_period_s, "achieved": self.period_s},
            "processor_s": self.processor_s,
            "engine": {"planned": self.planned_engine, "used": self.engine},
            "stages": {
                stage.name: {
                    "planned_s": stage.planned_s,
                    "median_s": stage.achieved_s.p50,
                    "p95_s": stage.achieved_s.p95,
                    "idle_share": stage.idle,
                }
                for stage in self.stages
            },
        }

    def lines(self) -> List[Tuple[str, str]]:
        """For the table: a line a stage, the period, and what follows."""
        lines = []
        for stage in self.stages:
            lines.append(
                (
                    stage.name,
                    "median {}, p95 {}, planned {}; idle {:.0f} %".format(
                        _ms(stage.achieved_s.p50), _ms(stage.achieved_s.p95), _ms(stage.planned_s), 100 * stage.idle
                    ),
                )
            )
        lines.append(("period", f"{_ms(self.period_s)}, planned {_ms(self.planned_period_s)}"))
        if self.planned_engine:
            lines.append(("planned for", self.planned_engine))
        lines += [("note", text) for text in self.notes()]
        return lines

    def notes(self) -> List[str]:
        """Stages that are far from the plan, and how the next compilation knows better."""
        found = []
        for stage in self.stages:
            factor = stage.factor
            off = factor is not None and not 1 / NOTABLE < factor < NOTABLE
            if factor is None or not off or max(stage.achieved_s.p50, stage.planned_s or 0.0) < LEAST_S:
                continue
            said = f"the {stage.name} stage takes {factor:.2g}x what the plan says"
            if stage.name == "device" and self.elsewhere:
                mend = f"this machine is no {self.elsewhere}; compile with --device local for this one"
            elif stage.name == "link":
                mend = "measure the link (coachc link HOST:PORT) and compile for it"
            else:
                mend = "write what it takes with --profile-out run.json, and compile with --from-run run.json"
            found.append(f"{said}: {mend}")
        return found


def compare(
    manifest: Manifest,
    cut: str,
    engine: str,
    times: StageTimes,
    tasks: int,
    elapsed_s: float,
    processor_s: float = 0.0,
) -> Compared:
    """A run that stayed at one cut, or began there, beside the plan of that cut.

    Parameters
    ----------
    manifest : Manifest
    cut : str
    engine : str
        What ran the device's half.
    times : StageTimes
        Of the tasks that took this cut.
    tasks : int
        That were answered, of all cuts.
    elapsed_s : float
    processor_s : float
        As in `Compared`.
    """
    planned = planned_stages(manifest, cut)
    busy_s = [sketch.total_s for sketch in times]
    busy_s[0] = max(busy_s[0], processor_s * tasks)
    stages = tuple(
        Stage(name, planned.get(name + "_s"), sketch.summary(), max(0.0, 1.0 - busy / elapsed_s))
        for name, sketch, busy in zip(STAGES, times, busy_s)
        if sketch.count
    )
    period_s, capability = elapsed_s / max(tasks, 1), _get(manifest.device, "compute_capability")
    another = isinstance(capability, str) and is_another(chip_name(), capability)
    elsewhere = str(_get(manifest.device, "target") or "") if another else ""
    return Compared(stages, planned.get("period_s"), period_s, planned_engine(manifest), engine, elsewhere, processor_s)


def planned_stages(manifest: Manifest, cut: str) -> Mapping[str, float]:
    """Seconds of each stage and of the period as the plan has them; nothing where it says nothing of this cut.

    The link's hold the round trip, the answer and the wait for a worker, as what a run measures does.
    """
    plan = manifest.plan
    options: List[Any] = [entry for entry in _get(plan, "cut_set", "cuts") or () if _get(entry, "name") == cut]
    if cut == manifest.chosen:
        options.append(_get(plan, "plan"))
    elif cut == "device-only":
        options.append(_get(plan, "alternatives", "device_only"))
    found = {}
    for option in options[:1]:
        for name in ("device_s", "link_s", "cloud_s", "period_s", "latency_s"):
            seconds = _get(option, name)
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
                found[name] = float(seconds)
    latency_s = found.pop("latency_s", 0.0)
    if "link_s" in found:
        found["link_s"] = max(found["link_s"], latency_s - found.get("device_s", 0.0) - found.get("cloud_s", 0.0))
    return found


def planned_engine(manifest: Manifest) -> str:
    """What the device's half was costed as."""
    side = manifest.device
    target, precision, release = (_get(side, name) for name in ("target", "precision", "tensorrt"))
    if not isinstance(target, str) or not isinstance(precision, str):
        return ""
    with_what = f"TensorRT {release}" if release else "ONNX Runtime"
    return f"{target} with {with_what}, {precision}"


def _get(record: Any, *path: str) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _ms(seconds: Optional[float]) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.2f} ms"
