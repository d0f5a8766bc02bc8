"""`coachc explain`: its sections and its JSON say the same, for a model as for a bundle, and what makes no sense."""

from __future__ import annotations

import re

import pytest

from coachc.cli.wording import mbit_text
from coachc.models.synthetic import chain
from coachc.passes.timeline import TIE_ESTIMATED
from tests.helpers.bundles import rewrite_manifest, samples_for, save
from tests.helpers.commands import REPOSITORY, coachc, compile_json, succeed

DIGITS = REPOSITORY / "models" / "digits.onnx"
OPTION = {"mode", "cut", "bits", "bits_known", "binds", "reason"}
TIMES = {"period_s", "latency_s", "device_s", "link_s", "cloud_s"}
SECTIONS = (
    "next best, and the bottleneck of each",
    "bottleneck by where the model is cut",
    "best plan by bandwidth",
)


def explain_json(*arguments):
    return coachc("explain", *arguments, "--json").json()


def section(text, title):
    """Rows of a table, below its titles; a tensor on a line of its own belongs to the row before, reasons to none."""
    lines = text[text.index(title) :].splitlines()
    rows = []
    for line in lines[2 : lines.index("") if "" in lines else None]:
        if line.strip().startswith("+ "):
            rows[-1] += f"  {line.strip()}"
        elif not re.match("(accuracy|memory|latency) of ", line):
            rows.append(line)
    return rows


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """As wide as the tables get."""
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle on noise, and what `coachc compile --json` said of it."""
    path = tmp_path_factory.mktemp("explained") / "digits.coach"
    return path, compile_json(DIGITS, path, "--calib", "random", "--bandwidth", "30Mbit")


def test_json_holds_the_documented_keys():
    found = explain_json(DIGITS)
    keys = {"model", "device", "cloud", "link", "workers", "devices", "plan", "alternatives", "accuracy", "rejected"}
    assert set(found) >= keys | {"calibration", "explanation"}
    assert "mixture" not in found
    why = found["explanation"]
    assert set(why) == {"runners_up", "regions", "moves"}
    assert len(why["runners_up"]) == 5
    assert all(set(option) == OPTION | TIMES | {"bytes"} for option in why["runners_up"])
    assert all(set(region) == {"first", "last", "partitions", "binds", "least_period_s"} for region in why["regions"])
    assert all(set(move) == OPTION | {"low_bytes_per_s", "high_bytes_per_s"} for move in why["moves"])
    assert (why["moves"][0]["high_bytes_per_s"], why["moves"][-1]["low_bytes_per_s"]) == (None, 0.0)
    periods = [option["period_s"] for option in why["runners_up"]]
    assert periods == sorted(periods)
    assert periods[0] >= found["plan"]["period_s"]
    assert sum(region["partitions"] for region in why["regions"]) == found["plan"]["candidates"] - 1
    # Bits were taken for granted.
    assert (found["calibration"], found["accuracy"]) == ("none", None)


def test_the_text_says_what_the_json_says():
    found, text = explain_json(DIGITS, "--bits", 6), succeed("explain", DIGITS, "--bits", 6)
    plan, why = found["plan"], found["explanation"]
    assert text.startswith("digits: tx2 (fp16) -> 20 Mbit/s, 5 ms -> a6000 (fp16), 1 worker(s), 1 device(s)")
    assert f"period {plan['period_s'] * 1e3:.2f} ms, latency {plan['latency_s'] * 1e3:.2f} ms" in text
    assert "exact search of 26 ways to cut the model, proven optimal" in text
    assert [text.count(title) for title in SECTIONS] == [1, 1, 1]
    assert re.search(r"\n  device  1+2+.*\n  link    .*\n  cloud   ", text)
    runners = section(text, SECTIONS[0])
    assert len(runners) == 5
    for line, option in zip(runners, why["runners_up"], strict=True):
        more = option["period_s"] / plan["period_s"] - 1
        cut = option["cut"] if option["mode"] == "split" else ["cloud only, raw input"]
        assert all(name in line for name in cut) or option["mode"] == "device-only"
        for cell in (f"{option['bytes']:,}", f"{option['period_s'] * 1e3:.2f}", f"{more:+.1%}", option["binds"]):
            assert cell in line.split(), line
    for line, region in zip(section(text, SECTIONS[1]), why["regions"], strict=True):
        assert line.split()[:4] == [region["first"], region["last"], str(region["partitions"]), region["binds"]]
    moves = section(text, SECTIONS[2])
    assert [line.startswith(">") for line in moves].count(True) == 1
    for line, move in zip(moves, why["moves"], strict=True):
        low, high = move["low_bytes_per_s"], move["high_bytes_per_s"]
        here = low <= 2.5e6 < (high or float("inf"))
        assert line.startswith(">") == here
        assert mbit_text(low) in line
        assert all(name in line for name in move["cut"]) or move["mode"] != "split"
    # Where the link stands now the move is the plan.
    (here,) = [move for move in why["moves"] if move["low_bytes_per_s"] <= 2.5e6 < (move["high_bytes_per_s"] or 1e99)]
    assert here["cut"] == [value["value"] for value in plan["cut"]]


def test_a_move_holds_at_the_bandwidth_it_names():
    moves = explain_json(DIGITS)["explanation"]["moves"]
    assert len(moves) > 4
    for move in moves:
        low, high = move["low_bytes_per_s"], move["high_bytes_per_s"]
        rate = low * 1.5 if high is None else (low * high) ** 0.5 or high / 2
        there = explain_json(DIGITS, "--bandwidth", f"{rate:.0f}B")
        plan, others = there["plan"], there["explanation"]["runners_up"]
        if (plan["mode"], [value["value"] for value in plan["cut"]]) != (move["mode"], move["cut"]):
            # One that is as fast, within what profiles are worth, and answers sooner.
            named = next(one for one in others if (one["mode"], one["cut"]) == (move["mode"], move["cut"]))
            assert named["period_s"] < plan["period_s"] <= named["period_s"] * (1 + TIE_ESTIMATED)
            assert plan["latency_s"] < named["latency_s"]


def test_a_bundle_says_what_it_was_compiled_with(bundle):
    path, compiled = bundle
    found = explain_json(path)
    assert found == {key: compiled[key] for key in found}
    assert set(found) >= {"model", "device", "cloud", "link", "plan", "alternatives", "rejected", "explanation"}
    text = succeed("explain", path)
    assert "digits: tx2 (fp16) -> 30 Mbit/s" in text
    assert all(title in text for title in SECTIONS)
    for line, option in zip(section(text, SECTIONS[0]), found["explanation"]["runners_up"], strict=True):
        assert f"{option['period_s'] * 1e3:.2f}" in line.split()


def test_a_bundle_takes_no_flags(bundle):
    path, _ = bundle
    outcome = coachc("explain", path, "--bandwidth", "20Mbit", "--bits", 4, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "error[usage]: --bandwidth, --bits with a bundle: it explains the plan it was compiled with"
    )
    assert "hint: give the ONNX model to ask about another setting" in outcome.err


def test_a_bundle_of_before_has_to_be_compiled_again(tmp_path):
    compile_json(save(chain(), tmp_path / "chain.onnx"), tmp_path / "o.coach", "--calib", "random")
    rewrite_manifest(tmp_path / "o.coach", lambda raw: raw["plan"].pop("explanation"))
    outcome = coachc("explain", tmp_path / "o.coach")
    assert outcome.code == 1
    assert re.search(r"o\.coach was compiled by coachc [\d.]+, which kept no explanation", outcome.err)
    assert "hint: compile it again" in outcome.err


def test_samples_measure_the_precision_of_the_neighbours(tmp_path):
    model = save(chain(), tmp_path / "chain.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz")
    found = explain_json(model, "--calib", samples, "--budget", "10%")
    assert (found["calibration"], found["accuracy"]["kind"]) == ("calibrated", "labels")
    moves = found["explanation"]["moves"]
    (here,) = [
        place for place, move in enumerate(moves)
        if move["low_bytes_per_s"] <= 2.5e6 < (move["high_bytes_per_s"] or float("inf"))
    ]  # fmt: skip
    assert all(move["bits_known"] for move in moves[max(here - 1, 0) : here + 2])
    # What no search asked about is marked as a bound, in the title as in the cells.
    text = succeed("explain", model, "--calib", samples, "--budget", "10%")
    unsure = not all(move["bits_known"] for move in moves)
    assert ("best plan by bandwidth (* precision not measured: as good as it can be)" in text) == unsure
    assert (">= " in text) == (unsure or not all(o["bits_known"] for o in found["explanation"]["runners_up"]))


def test_a_latency_limit_binds_options():
    text = succeed("explain", DIGITS, "--max-latency", "5.9ms")
    found = explain_json(DIGITS, "--max-latency", "5.9ms")
    late = [option for option in found["explanation"]["runners_up"] if option["binds"] == "latency"]
    assert late
    assert re.fullmatch(r"answers after \d+\.\d ms, the limit is 5\.9 ms", late[0]["reason"])
    assert "the limit is 5.9" in " ".join(text.split())


def test_devices_that_share_the_server_lengthen_the_period_where_the_cloud_binds():
    one, four = (explain_json(DIGITS, "--bandwidth", "10Gbit", "--devices", n) for n in (1, 4))
    assert (one["devices"], four["devices"]) == (1, 4)
    assert one["plan"]["period_s"] < four["plan"]["period_s"]
    assert one["plan"]["device_operators"] < four["plan"]["device_operators"]
    # Four workers for four devices: each has one to itself again.
    shared = explain_json(DIGITS, "--bandwidth", "10Gbit", "--devices", 4, "--workers", 4)
    assert shared["plan"]["period_s"] == one["plan"]["period_s"]


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--bits", 4, "--calib", "random"], "--bits and --calib exclude each other", "leave one out"),
        (["--family", "onnx"], "--family 'onnx' is unknown", "one of tensorrt, eager"),
        (["--objective", "best"], "--objective 'best' is unknown", "one of exact, latency, paper-eq6"),
        (["--search", "magic"], "--search 'magic' is unknown", "one of auto, exact, recursive, frontier, mincut"),
        (["--max-latency", "1us"], r"no plan answers within 0\.0 ms", "raise --max-latency"),
        (["--calib", "missing.npz"], r"no such source: .*missing\.npz", ""),
    ],
)
def test_what_makes_no_sense_is_refused(flags, message, hint):
    outcome = coachc("explain", DIGITS, *flags)
    assert (outcome.code, outcome.out) == (2 if outcome.err.startswith("error[usage]") else 1, "")
    assert re.search(message, outcome.err), outcome.err
    assert hint in outcome.err


def test_wrong_usage_ends_with_2():
    for arguments, pattern in (
        ([], "BUNDLE|MODEL"),
        ([DIGITS, "--bits", 9], "bits"),
        ([DIGITS, "--devices", 0], "dev"),
    ):
        outcome = coachc("explain", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert re.search(pattern, outcome.err)


def test_what_is_neither_bundle_nor_model(tmp_path):
    (tmp_path / "empty").mkdir()
    assert re.search(r"error\[bundle\]: .*empty", coachc("explain", tmp_path / "empty").err)
    assert re.search(r"error\[model\]: .*missing\.onnx", coachc("explain", tmp_path / "missing.onnx").err)
