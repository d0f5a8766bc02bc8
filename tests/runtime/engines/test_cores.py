import os
import subprocess
import sys

import pytest

from coachc.runtime.engines.cores import threads_for


def test_what_is_asked_for_is_taken():
    assert threads_for(3) == 3


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores on Linux"
)
def test_a_confined_process_stays_on_its_cores():
    code = (
        "import os; from coachc.runtime.engines.cores import threads_for; every = os.sched_getaffinity(0);"
        " os.sched_setaffinity(0, {min(every)}); print(threads_for(0), threads_for(5))"
    )
    assert subprocess.check_output([sys.executable, "-c", code]).split() == [b"1", b"5"]
