"""Key pairs and signing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from coachc.errors import FileError, ToolchainError
from coachc.runtime.bundle.signature import trusted_keys
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.errors import BundleError, SignatureError
from coachc.ship.keys import make_keys, sign_bundle
from tests.helpers.runtime_bundles import make_bundle

pytestmark = pytest.mark.needs("cryptography")


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny.coach")


@pytest.fixture
def pair(tmp_path):
    """Private and public file, and the id."""
    return make_keys(str(tmp_path / "team"))


def test_a_pair_signs_and_verifies(bundle, pair):
    private, public, key_id = pair
    assert sign_bundle(bundle.path, private) == key_id
    assert open_bundle(bundle.path, trusted_keys(files=[public])) == bundle
    assert sorted(os.listdir(os.path.dirname(private))) == ["team.key", "team.pub", "tiny.coach"]


def test_only_the_owner_reads_the_private_key(pair, tmp_path):
    private, public, _ = pair
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o600
    assert b"PRIVATE" not in Path(public).read_bytes()
    old = os.umask(0)
    try:
        assert stat.S_IMODE(os.stat(make_keys(str(tmp_path / "open"))[0]).st_mode) == 0o600
    finally:
        os.umask(old)


def test_signing_again_replaces_the_signature_only(bundle, pair, tmp_path):
    sign_bundle(bundle.path, pair[0])
    other = make_keys(str(tmp_path / "other"))
    sign_bundle(bundle.path, other[0])
    assert open_bundle(bundle.path, trusted_keys(files=[other[1]])).bundle_id == bundle.bundle_id
    with pytest.raises(SignatureError, match="not trusted"):
        open_bundle(bundle.path, trusted_keys(files=[pair[1]]))


def test_signing_is_reproducible(bundle, pair):
    sign_bundle(bundle.path, pair[0])
    first = Path(bundle.path, "manifest.sig").read_bytes()
    sign_bundle(bundle.path, pair[0])
    assert Path(bundle.path, "manifest.sig").read_bytes() == first


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_agrees(bundle, pair, tmp_path):
    sign_bundle(bundle.path, pair[0])
    line = Path(bundle.path, "manifest.sig").read_text("ascii")
    (tmp_path / "raw").write_bytes(bytes.fromhex(line.split()[2]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pair[1], "-rawin"]
    command += ["-in", os.path.join(bundle.path, "manifest.json"), "-sigfile", str(tmp_path / "raw")]
    assert "Verified Successfully" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_damaged_bundles_are_not_signed(bundle, pair):
    with open(os.path.join(bundle.path, "cloud.onnx"), "wb") as stream:
        stream.write(b"the other half")
    with pytest.raises(BundleError, match=r"cloud.onnx in .* has changed"):
        sign_bundle(bundle.path, pair[0])
    assert not os.path.exists(os.path.join(bundle.path, "manifest.sig"))


def test_keys_are_not_overwritten(pair, tmp_path):
    before = Path(pair[0]).read_bytes()
    with pytest.raises(FileError, match=r"team.key exists already"):
        make_keys(str(tmp_path / "team"))
    (tmp_path / "half.pub").write_bytes(b"")
    with pytest.raises(FileError, match=r"half.pub exists already"):
        make_keys(str(tmp_path / "half"))
    with pytest.raises(FileError, match=r"cannot write .*no/x.key: No such file"):
        make_keys(str(tmp_path / "no" / "x"))
    assert Path(pair[0]).read_bytes() == before
    assert not (tmp_path / "half.key").exists()


def test_what_is_no_private_key(bundle, pair, tmp_path):
    def refused(path, match):
        with pytest.raises(FileError, match=match) as caught:
            sign_bundle(bundle.path, str(path))
        return caught.value

    refused(tmp_path / "nothing", "--key .*nothing cannot be read: No such file")
    refused(pair[1], "team.pub is a public key; the private one signs")
    (tmp_path / "x.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    os.chmod(tmp_path / "x.key", 0o600)
    refused(tmp_path / "x.key", "x.key is not a private key in PEM without password")
    for mode in (0o640, 0o604, 0o660):
        os.chmod(pair[0], mode)
        error = refused(pair[0], "others can read this private key")
        assert error.context == ("expected  mode 0600", f"found     mode {mode:04o}")
        assert error.hint.startswith(f"chmod 600 {pair[0]}")


def test_private_keys_of_other_kinds_are_refused(bundle, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    for name, protection in (("plain", NoEncryption()), ("locked", BestAvailableEncryption(b"x"))):
        path = tmp_path / name
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        path.chmod(0o600)
    with pytest.raises(FileError, match="is a private key of another kind"):
        sign_bundle(bundle.path, str(tmp_path / "plain"))
    with pytest.raises(FileError, match="is not a private key in PEM without password"):
        sign_bundle(bundle.path, str(tmp_path / "locked"))


def test_the_library_is_asked_for(bundle, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for action in (lambda: make_keys(str(tmp_path / "x")), lambda: sign_bundle(bundle.path, "x")):
        with pytest.raises(ToolchainError, match="need the library cryptography") as caught:
            action()
        assert caught.value.hint == "pip install '.[ship]'"
