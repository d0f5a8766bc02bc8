"""Profile files, the lookup of targets, units on the command line, and the link."""

from __future__ import annotations

import dataclasses

import pytest

from coachc.core.graph import WORK_KINDS
from coachc.cost.device import EAGER_PREFIX, FAMILIES, LOCAL_SPEC
from coachc.cost.device_files import all_devices, find_device, precision_of
from coachc.cost.link import GOODPUT, Link
from coachc.errors import ProfileError, UsageError

SPECS = all_devices()


@pytest.mark.parametrize("name", SPECS)
class TestEveryProfile:
    def test_is_whole(self, name):
        spec = SPECS[name]
        assert spec.name == name
        assert spec.title
        assert set(spec.sides) <= {"device", "cloud"}
        assert spec.sides
        assert spec.memory_bytes >= 4 * 2**30
        assert 13 <= spec.max_opset <= 26
        assert all(part.isdigit() for part in spec.tensorrt.split("."))
        assert bool(spec.jetpack) == bool(spec.python) == ("device" in spec.sides)
        assert spec.default_precision in spec.rooflines
        assert not spec.default_precision.startswith(EAGER_PREFIX)
        assert {precision.removeprefix(EAGER_PREFIX) for precision in spec.rooflines} <= set(spec.precisions)

    def test_numbers_say_where_they_come_from(self, name):
        for roofline in SPECS[name].rooflines.values():
            assert roofline.provenance.kind in ("measured", "fitted", "guess")
            assert len(roofline.provenance.source) > 30
            assert (
                roofline.provenance.kind != "guess"
                or " scaled by " in roofline.provenance.source
                or ("never measured" in roofline.provenance.source)
            )

    def test_numbers_are_in_proportion(self, name):
        for precision, roofline in SPECS[name].rooflines.items():
            eager = precision.startswith(EAGER_PREFIX)
            assert "conv" in roofline.flops_per_s
            assert set(roofline.flops_per_s) | set(roofline.overheads_s) <= set(WORK_KINDS)
            # A byte moved costs as much as 2 to 1000 FLOPs: neither is off by three digits.
            assert 2 < roofline.flops_per_s["conv"] / roofline.bytes_per_s < 1000
            # A launch from Python takes several times as long as one from an engine.
            assert 1e-6 < roofline.overhead_s < (2e-4 if eager else 1e-4)
            assert 1.05 <= roofline.provenance.band <= 2.0

    def test_is_found_by_its_names(self, name):
        spec = SPECS[name]
        for alias in (name, name.upper(), *spec.aliases):
            assert find_device(alias, side=spec.sides[0]) is spec


def test_these_have_not_been_compared_with_measurements():
    guessed = {
        (name, precision)
        for name, spec in SPECS.items()
        for precision, roofline in spec.rooflines.items()
        if roofline.provenance.kind == "guess"
    }
    assert guessed == {
        ("a6000", "fp16"), ("h100", "fp16"), ("l4", "fp16"), ("orin-nano", "int8"),
        *((name, "eager-fp32") for name in ("a6000", "a100", "h100", "l4", "t4")),
        *((name, "eager-fp16") for name in ("agx-orin", "orin-nx", "orin-nano")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family", "precision"),
    [
        ("tx2", "tensorrt", "fp16"), ("tx2", "eager", "eager-fp16"), ("xavier-nx", "eager", "eager-fp16"),
        ("a6000", "tensorrt", "fp16"), ("a6000", "eager", "eager-fp32"),
    ],
)  # fmt: skip
def test_the_precision_of_a_family(name, family, precision):
    assert precision_of(SPECS[name], family) == precision


def test_local_is_timed_in_no_family():
    assert FAMILIES == ("tensorrt", "eager")
    assert precision_of(LOCAL_SPEC, "tensorrt") == LOCAL_SPEC.default_precision == "fp32"
    with pytest.raises(ProfileError, match="local has no PyTorch eager profile") as caught:
        precision_of(LOCAL_SPEC, "eager")
    assert caught.value.context[0] == "it is timed with ONNX Runtime"


def test_a_family_without_numbers():
    rows = {precision: SPECS["orin-nx"].rooflines[precision] for precision in ("fp16", "int8")}
    with pytest.raises(ProfileError, match="orin-nx has no PyTorch eager profile") as caught:
        precision_of(dataclasses.replace(SPECS["orin-nx"], rooflines=rows), "eager")
    assert caught.value.context == ("it has: fp16, int8", f"targets with one: {', '.join(sorted(SPECS))}")
    assert caught.value.hint == "choose one of these targets, or the other family of profiles"
    eager_only = dataclasses.replace(SPECS["tx2"], rooflines={"eager-fp16": SPECS["tx2"].rooflines["eager-fp16"]})
    assert eager_only.default_precision == "fp32"
    with pytest.raises(ProfileError, match="tx2 has no TensorRT profile") as caught:
        precision_of(eager_only, "tensorrt")
    assert caught.value.context[0] == "it has: eager-fp16"


def test_names_and_aliases_are_unique():
    names = [alias for spec in SPECS.values() for alias in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))
    assert "local" not in names
    assert list(SPECS) == sorted(SPECS)


def test_an_alias():
    assert find_device("NX", side="device").name == "xavier-nx"


@pytest.mark.parametrize("side", ["device", "cloud"])
def test_local_stands_on_both_sides(side):
    spec = find_device("Local", side=side)
    assert spec is LOCAL_SPEC
    assert spec.is_local
    assert not SPECS["tx2"].is_local


@pytest.mark.parametrize(("typed", "meant"), [("tx-2", "tx2"), ("orin", "orin-nx"), ("xaviernx", "xavier-nx")])
def test_an_unknown_device_suggests_the_nearest(typed, meant):
    with pytest.raises(UsageError, match=f"unknown device '{typed}'; did you mean '{meant}'") as caught:
        find_device(typed, side="device")
    assert "tx2" in caught.value.context[0]
    assert "a6000" not in caught.value.context[0]
    assert "`coachc devices`" in caught.value.hint


def test_nothing_like_it_suggests_nothing():
    with pytest.raises(UsageError, match=r"unknown cloud 'zzz'$"):
        find_device("zzz", side="cloud")


def test_a_server_is_no_device():
    with pytest.raises(UsageError, match="a6000 is a cloud target, not a device") as caught:
        find_device("a6000", side="device")
    assert caught.value.context[0].startswith("devices: ")
    assert caught.value.hint.startswith("choose one with --device")
    with pytest.raises(UsageError, match="tx2 is a device target, not a cloud"):
        find_device("tx2", side="cloud")


@pytest.mark.parametrize(("name", "has"), [("tx2", False), ("xavier-nx", True), ("a6000", True), ("local", True)])
def test_uint8_leaves_an_engine_since_tensorrt_8_5(name, has):
    side = "device" if name in ("tx2", "xavier-nx", "local") else "cloud"
    assert find_device(name, side=side).has_uint8 is has


def test_a_transfer_by_hand():
    # 1180 bytes of tensors and their headers, 330 of the rest, at 95.5 % of 10 kB/s.
    assert Link(10_000).transfer_s(1180) == pytest.approx(1510 / 9550)
    assert Link(10_000, rtt_s=7.0).transfer_s(0) == pytest.approx(330 / (10_000 * GOODPUT))
