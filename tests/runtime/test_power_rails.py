"""Power of Jetsons as their kernels show it, in both forms."""

import time

import pytest

from coachc.runtime.health.power_rails import PowerMeter, board_watts, idle_watts, rails
from tests.helpers.fake_machines import orin, server, tx2

IIO = "/sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/"
HWMON = "/sys/class/hwmon/hwmon3/"


def old(**milliwatts):
    """L4T 32: milliwatts by rail."""
    system = tx2()
    for place, (name, value) in enumerate(milliwatts.items()):
        system.files[IIO + "rail_name_{}".format(place)] = name
        system.files[IIO + "in_power{}_input".format(place)] = str(value)
    return system


def new(name="ina3221", **rails_mv_ma):
    system = orin()
    system.files[HWMON + "name"] = name
    for place, (rail, (millivolts, milliamperes)) in enumerate(rails_mv_ma.items(), 1):
        system.files[HWMON + "in{}_label".format(place)] = rail
        system.files[HWMON + "in{}_input".format(place)] = str(millivolts)
        system.files[HWMON + "curr{}_input".format(place)] = str(milliamperes)
    return system


def test_milliwatts_by_rail():
    system = old(VDD_SYS_GPU=2300, VDD_SYS_SOC=900, VDD_IN=7600)
    assert rails(system) == {"VDD_SYS_GPU": 2.3, "VDD_SYS_SOC": 0.9, "VDD_IN": 7.6}
    assert board_watts(system) == 7.6


def test_volts_and_amperes_by_rail():
    system = new(VDD_IN=(19000, 500), VDD_CPU_GPU_CV=(19000, 200))
    assert rails(system) == pytest.approx({"VDD_IN": 9.5, "VDD_CPU_GPU_CV": 3.8})
    assert board_watts(system) == pytest.approx(9.5)


def test_without_a_rail_for_the_whole_module_they_add_up():
    assert board_watts(new(VDD_GPU_SOC=(20000, 300), VDD_CPU_CV=(20000, 100))) == pytest.approx(8.0)


def test_other_sensors_and_files_that_cannot_be_read_say_nothing():
    assert board_watts(new("nvme", VDD_IN=(19000, 500))) is None
    assert board_watts(server()) is None
    broken = old(VDD_IN=7600)
    broken.files[IIO + "in_power0_input"] = "N/A"
    assert board_watts(broken) is None


def test_a_meter_reads_while_something_runs():
    system = old(VDD_IN=4000)
    with PowerMeter(system, interval_s=0.001) as meter:
        while meter.drawn is None or meter.drawn.readings < 5:
            time.sleep(0.001)
        seen = meter.drawn.readings
        system.files[IIO + "in_power0_input"] = "8000"
        while meter.drawn.readings < 4 * seen:
            time.sleep(0.001)
    assert 4.0 < meter.drawn.watts < 8.0
    assert idle_watts(0.01, system).watts == 8.0


def test_a_machine_that_does_not_tell_is_not_waited_for():
    with PowerMeter(server()) as meter:
        pass
    assert meter.drawn is None
    assert idle_watts(1000.0, server()) is None
