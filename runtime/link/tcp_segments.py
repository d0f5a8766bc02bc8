"""How many TCP segments a socket has sent, and how many of them again, as Linux counts them."""

import socket
import struct
import sys
from typing import NamedTuple, Optional

#: Places in `struct tcp_info` (include/uapi/linux/tcp.h), which only ever grows at its end: tcpi_total_retrans since
#: 2.6, tcpi_data_segs_out since 4.6. A TX2 with JetPack 4.6 has 4.9.
_SENT_AGAIN, _SENT = 100, 156
_LENGTH = _SENT + 4


class Segments(NamedTuple):
    """Segments with data since the connection was opened; those sent again count among `sent` too."""

    sent: int
    sent_again: int


def segments_of(sock: socket.socket) -> Optional[Segments]:
    """The counts of a connected socket; None where the system has none, or the socket is closed."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512))
    except OSError:
        return None


def parse_tcp_info(data: bytes) -> Optional[Segments]:
    """Of what the kernel fills in; None for one too old to count segments with data."""
    if len(data) < _LENGTH:
        return None
    return Segments(struct.unpack_from("=I", data, _SENT)[0], struct.unpack_from("=I", data, _SENT_AGAIN)[0])


def lost_share(before: Optional[Segments], after: Optional[Segments]) -> Optional[float]:
    """Share of the segments between two counts that were sent again, within [0, 1].

    None where either is not known, nothing was sent, or the second is of a connection that was opened in between.
    """
    if before is None or after is None or after.sent <= before.sent or after.sent_again < before.sent_again:
        return None
    return min(1.0, (after.sent_again - before.sent_again) / (after.sent - before.sent))
