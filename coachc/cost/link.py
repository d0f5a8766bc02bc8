"""The uplink from a device to its server: what of it carries payload, and how long a request keeps it busy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from coachc.core.graph import Value
from coachc.runtime.bundle.link_file import MeasuredLink
from coachc.runtime.bundle.manifest_types import url_name
from coachc.runtime.bundle.store import SERVED_ID_DIGITS
from coachc.runtime.link.message_header import DATATYPES, answer_bytes, request_header_bytes

#: Share of the wire rate left to HTTP bodies: measured 95.5 % on a link shaped by tbf (TCP/IP headers).
GOODPUT = 0.955

#: Seconds that entropy coding takes the device's CPU for each packed byte; it happens in the link's stage. zlib's
#: Huffman-only mode takes 3.5 to 5 ns on an x86 server core; a Cortex-A57 is taken to be 8 times slower (a guess).
CODING_S_PER_BYTE = 40e-9

#: Headers of a request of one output before its tensors, where the model is not known.
REQUEST_HEADER_BYTES = 330

_DATATYPES = {dtype: name for name, dtype in DATATYPES.items()}

#: Of a link that nobody has measured.
GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Link:
    """The uplink from device to cloud.

    Attributes
    ----------
    bandwidth_bytes_per_s : float
        Rate on the wire; `GOODPUT` of it carries payload.
    rtt_s : float
        Round trip time; enters latency only.
    source : str
        Where both come from: `GIVEN`, or "measured to HOST:PORT on DATE".
    request_bytes : int
        Everything in a request that is of no tensor: `runtime.link.message_header`.
    answer_bytes : int
        An answer with its headers.
    """

    bandwidth_bytes_per_s: float
    rtt_s: float = 0.0
    source: str = GIVEN
    request_bytes: int = REQUEST_HEADER_BYTES
    answer_bytes: int = 0

    def transfer_s(self, tensor_bytes: float) -> float:
        """Seconds one request keeps the link busy, whose tensors and their headers take `tensor_bytes`."""
        return (tensor_bytes + self.request_bytes) / (self.bandwidth_bytes_per_s * GOODPUT)

    @property
    def answer_s(self) -> float:
        """Seconds an answer takes, on a way back that is taken to be as fast as the way there."""
        return self.answer_bytes / (self.bandwidth_bytes_per_s * GOODPUT)


def datatype_of(value: Value) -> str:
    """The protocol's name of a value's type; one as long as the others where the protocol has none."""
    return _DATATYPES.get(value.dtype, "BF16")


def link_for(link: Link, model: str, outputs: Sequence[Value]) -> Link:
    """The link with the bytes that this model's messages take besides what a cut sends.

    Parameters
    ----------
    link : Link
    model : str
        Its name.
    outputs : sequence of Value
        Of the model; all are taken to come from the server.
    """
    served_name = f"{url_name(model)}-{'0' * SERVED_ID_DIGITS}"
    request = request_header_bytes(served_name, [value.name for value in outputs])
    entries = [(value.name, datatype_of(value), value.shape, value.size_bytes) for value in outputs]
    return dataclasses.replace(link, request_bytes=request, answer_bytes=answer_bytes(served_name, entries))


def link_of(measured: MeasuredLink) -> Link:
    """A link that was measured, as plans count with it."""
    return Link(measured.bandwidth_bytes_per_s, measured.rtt_s, measured.source)
