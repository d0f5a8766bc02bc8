"""`--trust DIR`: the programs run what was signed, and nothing else."""

from __future__ import annotations

import pytest

from coachc.models.synthetic import chain
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, serving, succeed

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools")]


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """(signed bundle, samples, folder of trusted keys, folder of other keys)."""
    folder = tmp_path_factory.mktemp("trust")
    samples = samples_for(chain(), folder / "samples.npz")
    bundle = folder / "chain.coach"
    compile_json(save(chain(), folder / "chain.onnx"), bundle, "--calib", samples, "--mode", "split")
    for name in ("mine", "other"):
        (folder / name).mkdir()
        succeed("keygen", folder / name / "key")
    succeed("sign", bundle, "--key", folder / "mine" / "key.key")
    return bundle, samples, folder / "mine", folder / "other"


def test_a_signed_bundle_is_served_and_run(signed):
    bundle, samples, mine, _ = signed
    with serving(bundle, "--trust", mine) as address:
        said = succeed("run", bundle, "--server", address, "--source", samples, "--trust", mine)
    assert "accuracy" in said


@pytest.mark.parametrize("command", ["run", "serve"])
def test_another_ones_signature_is_refused(signed, command):
    bundle, samples, _, other = signed
    arguments = ["--source", samples, "--server", "127.0.0.1:9"] if command == "run" else ["--listen", "127.0.0.1:0"]
    outcome = coachc(command, bundle, *arguments, "--trust", other)
    assert outcome.code == 1
    assert "sign" in outcome.err
