import socket
import struct
import sys

import pytest

from coachc.runtime.link.tcp_segments import Segments, lost_share, parse_tcp_info, segments_of


def tcp_info(sent, again, length=232):
    """As the kernel fills it in, every other byte a nuisance."""
    data = bytearray(b"\xff" * 232)
    struct.pack_into("=I", data, 100, again)
    struct.pack_into("=I", data, 156, sent)
    return bytes(data[:length])


def test_counts_are_where_linux_puts_them():
    assert parse_tcp_info(tcp_info(1000, 7)) == Segments(1000, 7)
    assert parse_tcp_info(tcp_info(1000, 7, 160)) == Segments(1000, 7)  # 4.6, the first that has both


@pytest.mark.parametrize("length", [0, 104, 159])
def test_an_older_kernel_does_not_say(length):
    assert parse_tcp_info(tcp_info(1000, 7, length)) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_what_a_socket_has_sent_is_counted():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()) as mine:
            peer, _ = listener.accept()
            with peer:
                before = segments_of(mine)
                if before is None:
                    pytest.skip("this kernel does not count segments")
                mine.sendall(b"x" * 1000)
                peer.recv(1000)
                assert segments_of(mine) == Segments(before.sent + 1, before.sent_again)
        assert segments_of(mine) is None


def test_other_systems_count_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert segments_of(None) is None


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ((10, 1), (110, 6), 0.05),
        ((10, 1), (110, 1), 0.0),
        ((10, 0), (12, 9), 1.0),
        (None, (1, 0), None),
        ((1, 0), None, None),
        ((10, 1), (10, 1), None),
        ((500, 9), (20, 0), None),
        ((500, 9), (900, 0), None),  # another connection
    ],
)
def test_the_share_is_of_what_was_sent_between(before, after, share):
    counts = [None if one is None else Segments(*one) for one in (before, after)]
    assert lost_share(*counts) == share
