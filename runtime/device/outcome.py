"""What becomes of a task: one result, or one error."""

from typing import Any, NamedTuple, Tuple, Union

from ..bundle.manifest_types import Bits
from ..errors import CoachRuntimeError, ConnectionFailed, ServerBusy, WrongBundleError


class Done(NamedTuple):
    """One task after its answer: what came out, and what it took.

    Attributes
    ----------
    predictions : tuple
        Of each row its class, `Detections` or mask; none where outputs are judged.
    exit : {"", "score", "memory", "device", "fallback"}
        Why nothing the server said was needed: a policy's exit; the whole model ran here, because the cut says so or
        because no answer came. Empty for what the server answered.
    bits : int or tuple of int, optional
        As in `Work`; None where nothing was sent.
    server_s : float
        Of the round trip, as the server says; negative where it does not.
    work_s : float
        Of the server, as it says: its worker's time, or what its cores take where that is more; negative where it does
        not.
    audit, agreed : str, bool
        What exit the server was asked to check, and whether it answered with the same class.
    late : bool
        The answer came after the task's deadline.
    """

    task: int
    predictions: Tuple[Any, ...]
    latency_s: float
    device_s: float
    round_trip_s: float = 0.0
    server_s: float = -1.0
    sent_bytes: int = 0
    payload_bytes: int = 0
    packed_bytes: int = 0
    cut: str = ""
    exit: str = ""
    bits: Bits = None
    audit: str = ""
    agreed: bool = True
    work_s: float = -1.0
    late: bool = False


class Failed(NamedTuple):
    """One task that has no answer.

    Attributes
    ----------
    stage : {"input", "device", "link", "server"}
        Where: what it was made of could not be read; the device's half failed; no answer came; or one that is none.
    reason : str
    latency_s : float
        From its arrival until that was known.
    """

    task: int
    stage: str
    reason: str
    latency_s: float = 0.0
    cut: str = ""


Outcome = Union[Done, Failed]


def reason_of(error: BaseException) -> str:
    """One line about an error; of one that is a fault of ours, its kind too."""
    if isinstance(error, CoachRuntimeError):
        return error.message
    return f"{type(error).__name__}: {error}"


def remote_stage(error: BaseException) -> str:
    """The stage at which a request failed."""
    answered = isinstance(error, (WrongBundleError, ServerBusy)) or not isinstance(error, ConnectionFailed)
    return "server" if answered else "link"
