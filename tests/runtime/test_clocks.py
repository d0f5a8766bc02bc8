"""What a measured profile says of the machine that it was measured on."""

import platform

import pytest

from coachc.runtime.health.clocks import chip_name, is_another, power_mode, processor_name
from tests.helpers.fake_machines import orin, server, tx2, xavier_nx

GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


@pytest.mark.parametrize(
    "machine, name, mode",
    [
        (tx2, "quill", "MAXN"),
        (xavier_nx, "NVIDIA Jetson Xavier NX Developer Kit", "MODE_15W_6CORE"),
        (orin, "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "25W"),
    ],
)
def test_a_jetson_names_itself_and_its_mode(machine, name, mode):
    assert (processor_name(machine()), power_mode(machine())) == (name, mode)


def test_a_mode_without_a_name_is_said_by_its_number_and_the_governor_beside_it():
    system = orin()
    system.files["/etc/nvpmodel.conf"] = ""
    system.files[GOVERNOR] = "schedutil\n"
    assert power_mode(system) == "power mode 1, governor schedutil"


def test_chips():
    assert [chip_name(machine()) for machine in (tx2, xavier_nx, orin)] == ["tegra186", "tegra194", "tegra234"]
    assert chip_name(server()) == platform.machine()


@pytest.mark.parametrize(
    "chip, target, another",
    [
        ("tegra186", "6.2", False), ("tegra194", "6.2", True), ("x86_64", "6.2", True), ("x86_64", "8.9", False),
        ("tegra234", "8.9", True), ("", "6.2", False), ("tegra186", "", False), ("aarch64", "8.7", False),
    ],
)  # fmt: skip
def test_a_target_is_known_by_its_chip(chip, target, another):
    assert is_another(chip, target) is another


def test_any_other_machine_is_its_processor_and_has_no_mode():
    system = server()
    system.files["/proc/cpuinfo"] = "processor\t: 0\nmodel name\t: AMD EPYC 7543\n\nmodel name\t: AMD EPYC 7543\n"
    assert (processor_name(system), power_mode(system)) == ("AMD EPYC 7543", "")
