"""The device program over a link that loses packets."""

import json

import pytest

from tests.helpers import shaped_link
from tests.helpers.shaped_link import SERVER, delayed


@pytest.mark.skipif(bool(shaped_link.missing()), reason=f"no shaped link here: {shaped_link.missing()}")
def test_nothing_is_lost_where_a_third_of_the_packets_is():
    with delayed() as link:
        found = json.loads(link.python("-m", "tests.helpers.run_tiny", SERVER, "0.3"))
    assert (found["once"], found["errors"]) == (True, {})
    assert found["submitted"] > 100
    assert found["again_s"] is not None
    assert found["again_s"] < 2.0
