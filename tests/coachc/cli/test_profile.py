"""`coachc profile`, and a plan that rests on what was measured: by file, and by a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coachc.frontend.onnx_import import import_model
from coachc.models import synthetic
from coachc.runtime.bundle.profile_file import SeenPower, Segment, read_profile, write_profile
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, succeed

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    model = save(synthetic.residual(), folder / "net.onnx")
    samples_for(import_model(model).proto, folder / "in.npz", 40)
    succeed("profile", str(model), "-o", str(folder / "p.json"), "--repeats", "3", "--cuts", "2")
    return folder


def fail(*arguments, code=1):
    """What is said on stderr, its lines joined again."""
    outcome = coachc(*arguments)
    assert outcome.code == code, outcome
    return " ".join(outcome.err.split())


def planned(folder, name, *flags, device="local"):
    out = succeed(
        "compile", str(folder / "net.onnx"), "--device", device, "--calib", "random", "-o", str(folder / name),
        "--json", "--mode", "split", *map(str, flags),
    )  # fmt: skip
    return json.loads(out)


def test_what_is_measured_is_written_and_shown(folder):
    found = read_profile(str(folder / "p.json"))
    assert (found.repeats, found.backend) == (3, "onnxruntime")
    text = succeed("profile", str(folder / "net.onnx"), "-o", str(folder / "q.json"), "--repeats", "3", "--cuts", "1")
    assert f"--device-profile {folder / 'q.json'}" in " ".join(text.split())
    for word in ("whole", "up to", "from", "measured", "operators"):
        assert word in text
    said = json.loads(
        succeed(
            "profile", str(folder / "net.onnx"), "-o", str(folder / "q.json"), "--force", "--repeats", "3", "--json"
        )
    )
    assert said["layers"] == len(read_profile(str(folder / "q.json")).layers)
    assert {cut["part"] for cut in said["cuts"]} == {"device", "cloud"}
    assert all(cut["corrected_s"] > 0 for cut in said["cuts"])


def test_a_file_that_is_there_is_not_replaced(folder):
    assert "exists already" in fail("profile", str(folder / "net.onnx"), "-o", str(folder / "p.json"))


def test_a_plan_rests_on_what_was_measured(folder):
    found = planned(folder, "a.coach", "--device-profile", folder / "p.json", "--cloud-profile", folder / "p.json")
    for side in ("device", "cloud"):
        assert found[side]["kind"] == "measured"
        assert "median of 3 runs" in found[side]["source"]
    estimated = planned(folder, "b.coach", device="tx2")
    assert estimated["device"]["kind"] == "fitted"
    assert estimated["plan"]["device_s"] != found["plan"]["device_s"]


def test_a_run_gives_both_sides_and_the_link(folder):
    """What the device program writes: its stage, and of the server the part that it ran."""
    first = planned(folder, "c.coach")
    values = tuple(value["value"] for value in first["plan"]["cut"])
    run = read_profile(str(folder / "p.json"))
    stages = (Segment("device", values, 0.05, 0.0, True), Segment("cloud", values, 0.07, 0.0, True))
    from coachc.runtime.bundle.profile_file import SeenLink

    write_profile(str(folder / "run.json"), run._replace(segments=stages, link=SeenLink(1e6, 0.004)))
    second = planned(folder, "d.coach", "--from-run", folder / "run.json")
    assert second["device"]["kind"] == "measured"
    assert "scaled to what the server took in a run" in second["cloud"]["source"]
    assert second["link"]["bandwidth_bytes_per_s"] == 1e6
    assert second["link"]["rtt_s"] == 0.004
    assert planned(folder, "e.coach", "--from-run", folder / "run.json", "--bandwidth", "2Mbit")["link"][
        "bandwidth_bytes_per_s"
    ] == pytest.approx(250e3)
    if second["plan"]["cut"] == first["plan"]["cut"]:
        assert second["plan"]["device_s"] == pytest.approx(0.05, rel=0.05)
        assert second["plan"]["cloud_s"] == pytest.approx(0.07, rel=0.05)


def test_what_the_board_drew_is_the_energy_of_the_plan(folder):
    found = read_profile(str(folder / "p.json"))
    assert found.power is None, "no machine of these tests has such monitors"
    write_profile(str(folder / "w.json"), found._replace(power=SeenPower(4.0, 10.0, 300)))
    said = planned(folder, "w.coach", "--device-profile", folder / "w.json")
    assert said["energy"]["kind"] == "measured"
    assert "300 readings or more of the board's own monitors" in said["energy"]["source"]
    plan = said["plan"]
    joules = 4.0 * plan["period_s"] + 6.0 * plan["device_s"] + 1.0 * plan["link_s"]
    assert said["energy"]["joules"] == pytest.approx(joules)


def test_files_that_do_not_go_together(folder):
    said = fail(
        "compile", str(folder / "net.onnx"), "--device", "tx2", "--calib", "random", "-o", str(folder / "x.coach"),
        "--from-run", str(folder / "p.json"), "--device-profile", str(folder / "p.json"), code=2,
    )  # fmt: skip
    assert "--from-run and --device-profile exclude each other" in said
    said = fail(
        "compile", str(folder / "net.onnx"), "--device", "tx2", "--calib", "random", "-o", str(folder / "x.coach"),
        "--device-profile", str(folder / "p.json"),
    )  # fmt: skip
    assert "the measured profile is of another machine than tx2" in said
    assert "--device local" in said
    other = save(synthetic.inception(), folder / "other.onnx")
    said = fail(
        "compile", str(other), "--device", "tx2", "--calib", "random", "-o", str(folder / "x.coach"),
        "--device-profile", str(folder / "p.json"),
    )  # fmt: skip
    assert "the measured profile is of another model than other" in said
    assert not (folder / "x.coach").exists()


def test_measurements_of_another_tool(folder):
    names = [node.name for node in import_model(folder / "net.onnx").proto.graph.node]
    entries = [{"count": 10}, *({"name": name, "timeMs": 10.0 * place} for place, name in enumerate(names))]
    (folder / "trt.json").write_text(json.dumps(entries))
    succeed("profile", str(folder / "net.onnx"), "--import", str(folder / "trt.json"), "-o", str(folder / "i.json"))
    found = planned(folder, "f.coach", "--device-profile", folder / "i.json")
    assert "imported from trt.json of trtexec, 10 runs" in found["device"]["source"]
    assert "cannot read" in fail(
        "profile", str(folder / "net.onnx"), "--import", "none.json", "-o", str(folder / "n.json")
    )
    assert not (folder / "n.json").exists()
    assert np.isclose(
        sum(range(len(names))) * 1e-3, sum(layer.seconds for layer in read_profile(str(folder / "i.json")).layers)
    )
