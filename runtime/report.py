"""What a run measured: as values, as JSON and as a table."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from runtime.metrics import Summary


class Report(NamedTuple):
    """One run of a cut over a source.

    Attributes
    ----------
    cut, mode, engine : str
        Which cut ran, and what ran the device's half ("none" where the device computes nothing).
    tasks : int
    accuracy : float or None
        Share of rows whose label is the largest of the first model output; None without labels.
    bytes_per_task : float
        Mean of what was written to sockets for requests, HTTP headers and repeats included.
    payload_bytes_per_task : float
        The boundary values' share of that, entropy coded where their layout says so.
    packed_bytes_per_task : float
        What they would have taken without entropy coding.
    latency_s : Summary
        From the start of the device half to the decoded answer, waiting in the pipeline included.
    throughput_per_s : float
        Tasks over the whole run's time.
    device_s, round_trip_s : float
        Mean stage times: device half; sending, cloud half and answer.
    predictions : tuple of int
        Top-1 class of each row, in the source's order; empty where the first output does not hold one row per input
        row.
    """

    cut: str
    mode: str
    engine: str
    tasks: int
    accuracy: Optional[float]
    bytes_per_task: float
    payload_bytes_per_task: float
    packed_bytes_per_task: float
    latency_s: Summary
    throughput_per_s: float
    device_s: float
    round_trip_s: float
    predictions: Tuple[int, ...]

    def to_json(self) -> Dict[str, Any]:
        """A JSON object, without the predictions."""
        return {
            "cut": self.cut,
            "mode": self.mode,
            "engine": self.engine,
            "tasks": self.tasks,
            "accuracy": self.accuracy,
            "bytes_per_task": self.bytes_per_task,
            "payload_bytes_per_task": self.payload_bytes_per_task,
            "packed_bytes_per_task": self.packed_bytes_per_task,
            "latency_s": dict(self.latency_s._asdict()),
            "throughput_per_s": self.throughput_per_s,
            "stage_s": {"device": self.device_s, "round_trip": self.round_trip_s},
        }

    def table(self) -> str:
        """Aligned lines for people, times in ms."""
        latency = self.latency_s
        payload = f"{self.payload_bytes_per_task:.0f} payload"
        if self.packed_bytes_per_task != self.payload_bytes_per_task:
            payload += f", coded from {self.packed_bytes_per_task:.0f}"
        lines = [
            ("cut", f"{self.cut} ({self.mode})"),
            ("engine", self.engine),
            ("tasks", str(self.tasks)),
            ("accuracy", "no labels" if self.accuracy is None else f"{100 * self.accuracy:.2f} %"),
            ("bytes per task", f"{self.bytes_per_task:.0f} ({payload})"),
            ("latency", "mean {} p50 {} p95 {} p99 {} ms".format(*[_ms(value) for value in latency])),
            ("throughput", f"{self.throughput_per_s:.1f} tasks/s"),
            ("stages", f"device {_ms(self.device_s)} round trip {_ms(self.round_trip_s)} ms"),
        ]
        return "\n".join(f"{name:<16}{value}" for name, value in lines)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}"
