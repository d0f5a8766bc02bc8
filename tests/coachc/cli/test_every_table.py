"""What every command prints, in few columns and in many: the same numbers, and no line too long."""

from __future__ import annotations

import io
import re
from typing import ClassVar

import pytest

from coachc.cli.eval import print_policies
from coachc.cli.screen import Screen
from coachc.evaluate.replay_figures import Mean, Measured, Share
from coachc.runtime.device.planned_stages import Compared, Stage
from coachc.runtime.device.report import Online, Report
from coachc.runtime.device.sketch import Summary
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.onnx_models import info, net, op, random_weight

WIDTHS = (40, 60, 80, 120)
WIDE = 200
#: Of the pipeline, one digit a task, and its time axis: it has as many characters as fit.
PICTURE = re.compile(r"  (device|link|cloud) +[0-9.]+$|  +0 +[0-9.]+ ms$")


def long_names():
    """Convolutions whose names are long, and differ in their middle alone."""
    nodes, weights, value = [], [], "input"
    for stage, channels in (("first", 4), ("second", 4), ("third", 4)):
        made = f"/backbone/features/{stage}/block/conv/Conv_output"
        weight = f"{stage}.weight"
        nodes.append(op("Conv", f"{value} {weight}", made, pads=[1] * 4))
        nodes[-1].name = f"/backbone/features/{stage}/block/conv/Conv"
        weights.append(random_weight(weight, 4, channels, 3, 3))
        value = made
    nodes += [op("GlobalAveragePool", value, "pooled"), op("Flatten", "pooled", "f"), op("Gemm", "f k", "logits")]
    weights.append(random_weight("k", 4, 5))
    return net(nodes, [info("input", (1, 4, 8, 8))], [info("logits", (1, 5))], weights)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model and a bundle of it for a range of bandwidths, so that every table there is has rows."""
    folder = tmp_path_factory.mktemp("m")
    save(long_names(), folder / "long.onnx")
    samples_for(long_names(), folder / "s.npz")
    flags = ["--calib", folder / "s.npz", "--budget", "50%", "--mode", "split"]
    compile_json(folder / "long.onnx", folder / "long.coach", *flags)
    return folder


class Recorded(Screen):
    """Also remembers what it was asked to print, to be printed again elsewhere."""

    calls: ClassVar[list[tuple[str, tuple, dict]]] = []

    def line(self, *arguments, **options):
        self.calls.append(("line", arguments, options))

    def facts(self, lines):
        self.calls.append(("facts", (list(lines),), {}))

    def table(self, *arguments, **options):
        self.calls.append(("table", arguments, options))


def numbers(text: str) -> list[str]:
    """All that stand by themselves, not in a name or a path."""
    return sorted(re.findall(r"(?<![\w./-])[+-]?\d[\d,]*(?:\.\d+)?%?(?![\w/]|\.\w)", re.sub(r"[;,](?=\s|$)", "", text)))


def check(at) -> None:
    """`at` gives the text at a width."""
    wide = at(WIDE)
    assert len(numbers(wide)) >= 2, wide
    for width in WIDTHS:
        said = at(width)
        assert numbers(said) == numbers(wide), f"{width}\n{said}"
        for line in said.splitlines():
            assert len(line) <= width or max(map(len, line.split())) > width - 24, f"{width}: {line}"


@pytest.mark.parametrize(
    "command",
    [
        ["compile", "MODEL", "--device", "tx2", "--calib", "DATA", "--budget", "50%", "-o", "x.coach", "--mix"],
        ["compile", "MODEL", "--device", "nx", "--calib", "DATA", "-o", "r.coach", "--bandwidth", "100kbit..1Gbit"],
        ["compare", "MODEL"],
        ["compare", "MODEL", "--bandwidth", "1Mbit,20Mbit,300Mbit"],
        ["estimate", "MODEL", "--devices", "tx2,orin-nano", "--clouds", "a6000,l4", "--bandwidths", "1Mbit,300Mbit"],
        ["estimate", "MODEL", "--pareto", "--bandwidths", "200Mbit"],
        ["check", "BUNDLE", "--samples", "1"],
        ["check", "MODEL", "--device", "tx2", "--cloud", "a6000"],
        ["devices"],
    ],
    ids=[
        "compile",
        "compile a range",
        "compare",
        "compare bandwidths",
        "estimate",
        "estimate a front",
        "check",
        "check a model",
        "devices",
    ],
)
def test_what_a_command_prints(command, made, tmp_path, monkeypatch):
    """The command runs once; what it prints is printed at every width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("coachc.cli.screen.Screen", Recorded)
    monkeypatch.setattr(Recorded, "calls", [])
    places = {"MODEL": made / "long.onnx", "BUNDLE": made / "long.coach", "DATA": made / "s.npz"}
    succeed(*(places.get(word, word) for word in command))
    assert Recorded.calls

    def at(width):
        stream = io.StringIO()
        screen = Screen(stream, width)
        for name, arguments, options in Recorded.calls:
            getattr(screen, name)(*arguments, **options)
        return stream.getvalue()

    check(at)


@pytest.mark.parametrize(
    "command", [["explain", "BUNDLE"], ["inspect", "MODEL"], ["inspect", "BUNDLE"], ["inspect", "BUNDLE", "--blocks"]]
)
def test_what_is_drawn_for_a_width(command, made, monkeypatch):
    places = {"MODEL": made / "long.onnx", "BUNDLE": made / "long.coach"}

    def at(width):
        monkeypatch.setenv("COLUMNS", str(width))
        said = succeed(*(places.get(word, word) for word in command))
        return "\n".join(line for line in said.splitlines() if not PICTURE.match(line))

    check(at)


def test_what_an_evaluation_prints():
    share, mean = Share(0.9871, 0.95, 0.998), Mean(1234.5, 10.0)
    measured = Measured(
        300, share, Share(0.37, 0.31, 0.42), Share(1.0, 0.97, 1.0), 0.0012, 0.0163, mean, Mean(0.00619, 0.001),
        0.0061, 0.0062, 0.0071, 1391.2, {"device": 0.92, "link": 0.64, "cloud": 0.09}, {}, {}, {}, 0.49,
    )  # fmt: skip

    def at(width):
        stream = io.StringIO()
        print_policies(Screen(stream, width), "digits", "slow", {"none": measured, "default": measured})
        return stream.getvalue()

    check(at)
    assert (
        "the link is the bottleneck even at the lowest precision that accuracy allows, of these tasks: none 49%"
        in at(200)
    )


def test_what_a_run_prints():
    online = Online(
        "default", {"score": 12, "memory": 3}, 7, 6, {"split": 80, "device-only": 20}, {"4": 85}, 3, 2.5e6, 0.31
    )
    report = Report(
        "split", "split", "onnxruntime 1.19.2 CPUExecutionProvider", 100, 104, {"link": 3, "server": 1}, 2, 0.9871,
        1234.0, 1100.0, 1300.0,
        Summary(0.0123, 0.0111, 0.0222, 0.0333), 88.8, 0.0045, 0.0067, (), online, "classify", {"input": 3},
        Compared(
            (
                Stage("device", 0.001, Summary(0.0045, 0.0044, 0.0061, 0.007), 0.11),
                Stage("link", None, Summary(0.0067, 0.0065, 0.0091, 0.011), 0.42),
            ),
            0.004, 0.0113, "tx2 with TensorRT 8.2.1, fp16", "onnxruntime 1.19.2 CPUExecutionProvider",
        ),
    )  # fmt: skip
    check(report.table)


def test_what_a_doctor_prints():
    from coachc.runtime.health.findings import MISSING, Checkup, Finding

    findings = (
        Finding(
            "TensorRT", MISSING, "8.0 and 7.1 in /usr/lib/aarch64-linux-gnu", "8.2 of JetPack 4.6", "apt-get install x"
        ),
        Finding("memory", "ok", "7,860 MB, of which 5,120 MB are free"),
    )
    check(Checkup("device", "NVIDIA Jetson TX2 (aarch64)", {}, findings).text)


def test_an_error_is_wrapped_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    said = coachc("explain", "m.onnx", "--device", "tx-2").err
    assert max(map(len, said.splitlines())) <= 60
    assert said.startswith("error[usage]: unknown device 'tx-2'; did you mean 'tx2'?\n  devices: ")
    assert "\n    " in said
