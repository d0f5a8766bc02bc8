import io

import pytest

from coachc.runtime.progress_lines import ProgressLines, can_redraw


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def lines_of(*events):
    """What (seconds, step, done, total) write."""
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLines(stream, clock)
    for after_s, step, done, total in events:
        clock.now_s = 100.0 + after_s
        progress(step, done, total)
    assert "\r" not in stream.getvalue()
    return stream.getvalue().splitlines()


def test_short_work_says_nothing():
    assert lines_of((0, "import", 0, 0), (1, "whole model", 5, 9), (2.9, "emit", 0, 0)) == []


def test_another_step_is_said_at_once():
    assert lines_of((4, "whole model", 5, 9), (6, "refining the cut", 0, 0)) == [
        "whole model 5/9 (4 s)",
        "refining the cut (6 s)",
    ]


def test_many_steps_are_at_most_one_a_second():
    events = [(3 + number / 10, "step {}".format(number), 0, 0) for number in range(100)]
    assert 9 <= len(lines_of(*events)) <= 11


def test_a_long_step_is_said_every_ten_seconds():
    events = [(number / 4, "whole model", number, 400) for number in range(1, 401)]
    found = lines_of(*events)
    assert found[:3] == ["whole model 12/400 (3 s)", "whole model 52/400 (13 s)", "whole model 92/400 (23 s)"]
    assert len(found) == 10


@pytest.mark.parametrize(
    ("terminal", "term", "can"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_where_a_line_can_be_written_over(terminal, term, can):
    class Stream:
        def isatty(self):
            return terminal

    assert can_redraw(Stream(), term) is can
