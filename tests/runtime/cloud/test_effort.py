import pytest

from coachc.runtime.cloud.effort import KEPT, Effort


class Machine:
    """A program whose requests take processor time, at a pace."""

    def __init__(self, cores):
        self.cpu_s = self.now_s = 0.0
        self.effort = Effort(cores, lambda: self.cpu_s, lambda: self.now_s)

    def answer(self, cpu_s, every_s):
        self.cpu_s += cpu_s
        self.now_s += every_s
        return self.effort.answered()


@pytest.mark.parametrize("cores", [1, 4])
def test_it_is_the_processor_time_of_a_request_over_all_cores(cores):
    machine = Machine(cores)
    assert machine.answer(0.002, 0.003) == 0.0  # what came before the first is not known to be its own
    for _ in range(5):
        assert machine.answer(0.002, 0.003 / cores) == pytest.approx(0.002 / cores)


def test_it_follows_what_changes():
    machine = Machine(1)
    for _ in range(100):
        machine.answer(0.002, 0.003)
    for _ in range(5 * KEPT):
        found_s = machine.answer(0.006, 0.008)
    assert found_s == pytest.approx(0.006, rel=0.02)


def test_what_goes_on_between_rare_requests_is_nobodys():
    machine = Machine(1)
    for _ in range(10):
        machine.answer(0.002, 0.003)
    for _ in range(10):
        assert machine.answer(0.02, 0.1) == pytest.approx(0.002)
    assert machine.answer(0.002, 0.003) == pytest.approx(0.002)


def test_a_program_with_cores_to_spare_says_nothing():
    machine = Machine(8)
    assert [machine.answer(0.004, 0.004) for _ in range(10)] == [0.0] * 10
