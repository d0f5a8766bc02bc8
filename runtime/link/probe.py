"""What a measurement of the link and `coachc serve` say to each other: bytes up, and how many of them arrived.

GET says what the probe takes now; POST sends a body that is counted and kept nowhere. Both are answered alike. It lies
outside the paths of the Open Inference Protocol, so no other server has it by accident.
"""

import json
from typing import List, NamedTuple, Union

from ..errors import RemoteProtocolError

PATH = "/coachc/probe"
VERSION = 2
#: What arrives after so much of a body is its tail: links let about 5 kB through at once after a pause.
TAIL_FROM_BYTES = 6000
#: A third of a second at 100 Mbit/s, a thousandth part of what a server has of memory; larger bodies tell no more.
BODY_LIMIT_BYTES = 4 << 20
#: Of an answer.
ANSWER_LIMIT_BYTES = 1024


class ProbeAnswer(NamedTuple):
    """What the server says.

    Attributes
    ----------
    received_bytes : int
        Of this request's body.
    body_bytes : int
        Largest body that it takes.
    left_bytes : int
        What it takes of all bodies together before it asks to wait.
    tail_bytes, tail_us : int
        What arrived after the piece that reached `TAIL_FROM_BYTES`, and the microseconds from that piece to the last.
    """

    received_bytes: int
    body_bytes: int
    left_bytes: int
    tail_bytes: int = 0
    tail_us: int = 0


def encode_answer(answer: ProbeAnswer) -> bytes:
    """A JSON object of about 120 bytes."""
    return json.dumps(dict(answer._asdict(), probe=VERSION), sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_answer(body: Union[bytes, bytearray], address: str, sent_bytes: int) -> ProbeAnswer:
    """The answer to a request with a body of `sent_bytes`.

    Raises
    ------
    RemoteProtocolError
        If it is no answer of a probe, or one to another body.
    """
    try:
        said = json.loads(body.decode("utf-8"))
        found = ProbeAnswer(*[said[name] for name in ProbeAnswer._fields])
        version = said["probe"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _nonsense(address, ["expected  a JSON object with " + ", ".join(ProbeAnswer._fields)]) from exc
    if version != VERSION or any(type(number) is not int or number < 0 for number in found):
        shown = "expected  version {} and whole numbers that are not negative".format(VERSION)
        raise _nonsense(address, [shown, "found     " + json.dumps(said)[:200]])
    if found.received_bytes != sent_bytes:
        raise _nonsense(address, [f"sent      {sent_bytes} bytes", f"arrived   {found.received_bytes}, as it says"])
    return found


def _nonsense(address: str, context: List[str]) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the server at {address} answers the probe with something that is no answer to it",
        context,
        "is it coachc serve, of this version, without a proxy in between?",
    )
