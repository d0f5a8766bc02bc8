import json

import pytest

from coachc.runtime.errors import RemoteProtocolError
from coachc.runtime.link.probe import ANSWER_LIMIT_BYTES, ProbeAnswer, decode_answer, encode_answer

ANSWER = ProbeAnswer(1234, 4 << 20, 60 << 20, 800, 2500)


def test_an_answer_survives_the_wire():
    data = encode_answer(ANSWER)
    assert len(data) < 130 < ANSWER_LIMIT_BYTES
    assert decode_answer(data, "h:1", 1234) == ANSWER


def changed(**fields):
    return json.dumps(dict(json.loads(encode_answer(ANSWER).decode()), **fields)).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a JSON object with received_bytes, body_bytes, left_bytes"),
        (b"\xff", "a JSON object with"),
        (b"[]", "a JSON object with"),
        (b"{}", "a JSON object with"),
        (b'"ok"', "a JSON object with"),
        (b"[" * 100000, "a JSON object with"),
        (changed(probe=1), "version 2"),
        (changed(left_bytes=-1), "whole numbers that are not negative"),
        (changed(body_bytes=1.5), "whole numbers"),
        (changed(tail_us=1.5), "whole numbers"),
        (changed(received_bytes=True), "whole numbers"),
        (changed(received_bytes=1233), "arrived   1233, as it says"),
    ],
)
def test_nonsense_is_named(data, said):
    with pytest.raises(RemoteProtocolError, match="h:1 answers the probe with something that is no answer") as caught:
        decode_answer(data, "h:1", 1234)
    assert said in "\n".join(caught.value.context)
    assert caught.value.hint == "is it coachc serve, of this version, without a proxy in between?"
