"""Bundles kept of every format, through the commands and ONNX Runtime: checked, shown, unpacked, served and run."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import FORMAT_VERSION
from coachc.runtime.bundle.upgrade import OLDEST_VERSION
from tests.helpers.commands import coachc, serving, succeed
from tests.helpers.device_run import run_all
from tests.helpers.kept_bundles import NAMES, archive_of, key_folder, recorded, write_source

pytestmark = [pytest.mark.needs("onnxruntime"), pytest.mark.needs("PIL"), pytest.mark.needs("cryptography")]
VERSIONS = range(OLDEST_VERSION, FORMAT_VERSION + 1)


@pytest.fixture(params=[(version, name) for version in VERSIONS for name in NAMES], ids=str)
def kept(request, tmp_path):
    version, name = request.param
    succeed("unpack", archive_of(version, name), "-o", tmp_path / f"{name}.coach")
    return tmp_path / f"{name}.coach", recorded(version, name)


def cuts_of(arrays):
    return [key.removeprefix("predictions/") for key in arrays if key.startswith("predictions/")]


def test_it_is_checked_and_shown(kept):
    bundle, arrays = kept
    checked = json.loads(coachc("check", bundle, "--json").out)
    refused = {violation["rule"] for target in checked["targets"] for violation in target["violations"]}
    # The picture model is from before it was known that 8.2 builds no Gemm without a bias; compile mends that now.
    assert refused == ({"trt8.2/limit/Gemm/gemm-no-bias"} if bundle.name == "jpeg.coach" else set())
    assert checked["ok"] is (not refused)
    shown = succeed("inspect", bundle)
    assert re.findall(r"^[> ] cut ([\w-]+):", shown, re.M) == cuts_of(arrays)
    assert "> cut" in succeed("inspect", bundle)


def test_it_is_served_and_answers_as_it_did(kept, tmp_path):
    bundle, arrays = kept
    source = write_source(arrays, tmp_path)
    with serving(bundle) as address:
        for cut in cuts_of(arrays):
            report = run_all(str(bundle), address, source, cut=cut, policy="none")
            assert report.predictions == tuple(arrays[f"predictions/{cut}"])
            np.testing.assert_allclose(report.payload_bytes_per_task, arrays[f"payload/{cut}"], rtol=0.02)


@pytest.mark.parametrize("version", VERSIONS)
def test_its_policy_decides_and_its_signature_fits(version, tmp_path):
    bundle = tmp_path / "split.coach"
    trust = ["--trust", key_folder(version)]
    succeed("verify", archive_of(version, "split"), *trust)
    succeed("unpack", archive_of(version, "split"), "-o", bundle, *trust)
    source = write_source(recorded(version, "split"), tmp_path)
    with serving(bundle, *trust) as address:
        report = coachc("run", bundle, "--server", address, "--source", source, *trust, "--json").json()
    assert (report["tasks"], report["policy"]) == (3, "default")
