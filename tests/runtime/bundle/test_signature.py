import io
import os
import shutil
import subprocess
import sys

import pytest

from coachc.runtime.bundle import signature
from coachc.runtime.bundle.archive import read_archive
from coachc.runtime.bundle.pack import pack_bundle
from coachc.runtime.bundle.signature import SIGNATURE_BYTES, trusted_keys
from coachc.runtime.bundle.store import check_signature, open_bundle
from coachc.runtime.bundle.unpack import unpack_archive
from coachc.runtime.errors import BundleError, SignatureError
from tests.helpers.runtime_bundles import make_bundle
from tests.helpers.signing import Signer

pytestmark = pytest.mark.needs("cryptography")


@pytest.fixture
def trust(tmp_path):
    (tmp_path / "trust").mkdir()
    return str(tmp_path / "trust")


@pytest.fixture
def signer(trust):
    return Signer(trust)


@pytest.fixture
def bundle(tmp_path, signer):
    """A signed bundle."""
    made = make_bundle(tmp_path / "tiny.coach")
    signer.sign(made.path)
    return made


def all_ways(bundle, keys, tmp_path):
    """Every way to a bundle's files, with the keys that have to have signed it."""
    path = str(tmp_path / "packed")
    pack_bundle(open_bundle(bundle.path), path, force=True)

    def sink(name):
        raise AssertionError(f"{name} was unpacked")

    yield lambda: open_bundle(bundle.path, keys)
    yield lambda: check_signature(bundle.path, os.path.dirname(keys[0].path))
    with open(path, "rb") as stream:
        data = stream.read()
    yield lambda: read_archive(io.BytesIO(data), "packed", keys=keys)
    yield lambda: read_archive(io.BytesIO(data), "packed", sink, keys)
    yield lambda: unpack_archive(path, str(tmp_path / "out"), keys)


def refused_everywhere(bundle, keys, tmp_path, match):
    for way in all_ways(bundle, keys, tmp_path):
        with pytest.raises(SignatureError, match=match) as caught:
            way()
        assert caught.value.hint
    assert not (tmp_path / "out").exists()
    return caught.value


def test_a_signed_bundle_opens_and_has_the_same_id(bundle, trust, signer, tmp_path):
    keys = trusted_keys(trust)
    assert open_bundle(bundle.path, keys) == open_bundle(bundle.path) == bundle
    assert check_signature(bundle.path, trust) == signer.key_id
    pack_bundle(bundle, str(tmp_path / "x"))
    with open(str(tmp_path / "x"), "rb") as stream:
        assert read_archive(stream, "x", keys=keys)[1:] == (bundle.bundle_id, signer.key_id, signer.key_id)
    assert unpack_archive(str(tmp_path / "x"), str(tmp_path / "y"), keys).bundle_id == bundle.bundle_id
    assert (tmp_path / "y" / "manifest.sig").read_bytes() == (tmp_path / "tiny.coach" / "manifest.sig").read_bytes()


def test_the_file_is_one_line(bundle, signer):
    with open(os.path.join(bundle.path, "manifest.sig"), "rb") as stream:
        data = stream.read()
    assert len(data) == SIGNATURE_BYTES
    name, key_id, value = data.decode("ascii").rstrip("\n").split("  ")
    assert (name, key_id, len(value)) == ("ed25519", signer.key_id, 128)


def test_any_of_several_keys_will_do(bundle, trust, tmp_path):
    other = Signer(trust, "other")
    assert len(trusted_keys(trust)) == 2
    open_bundle(bundle.path, trusted_keys(trust))
    other.sign(bundle.path)
    open_bundle(bundle.path, trusted_keys(trust))
    open_bundle(bundle.path, trusted_keys(None, [os.path.join(trust, "team.pub"), other.path]))
    with pytest.raises(SignatureError, match=f"is signed by key {other.key_id}, which is not trusted"):
        open_bundle(bundle.path, trusted_keys(None, [os.path.join(trust, "team.pub")]))
    assert trusted_keys() is None


def test_an_unsigned_bundle_is_refused_only_where_keys_are_trusted(bundle, trust, tmp_path):
    os.unlink(os.path.join(bundle.path, "manifest.sig"))
    open_bundle(bundle.path)
    error = refused_everywhere(bundle, trusted_keys(trust), tmp_path, "is not signed, and only bundles of trusted keys")
    assert "coachc sign" in error.hint


def test_another_key_is_refused(bundle, signer, tmp_path):
    other = Signer(tmp_path / "others")
    keys = trusted_keys(str(tmp_path / "others"))
    error = refused_everywhere(bundle, keys, tmp_path, f"is signed by key {signer.key_id}, which is not trusted")
    assert error.context == (f"trusted   {other.key_id}",)


def test_another_key_under_a_trusted_name_is_refused(bundle, signer, trust, tmp_path):
    other = Signer(tmp_path / "others")
    other.key_id = signer.key_id
    other.sign(bundle.path)
    refused_everywhere(bundle, trusted_keys(trust), tmp_path, "does not fit its manifest")


def test_the_signature_of_another_bundle_is_refused(bundle, trust, signer, tmp_path):
    other = make_bundle(tmp_path / "other.coach", name="other")
    signer.sign(other.path)
    shutil.copy(os.path.join(other.path, "manifest.sig"), bundle.path)
    refused_everywhere(bundle, trusted_keys(trust), tmp_path, "does not fit its manifest")


def test_a_manifest_that_was_changed_after_signing_is_refused_before_it_is_read(bundle, trust, monkeypatch):
    path = os.path.join(bundle.path, "manifest.json")
    with open(path, "rb") as stream:
        data = stream.read()
    with open(path, "wb") as stream:
        stream.write(b'{"format_version": 99}' + data)
    with pytest.raises(SignatureError, match="does not fit its manifest"):
        open_bundle(bundle.path, trusted_keys(trust))


def test_every_flipped_bit_of_the_signature_is_found(bundle, trust, tmp_path):
    keys = trusted_keys(trust)
    path = os.path.join(bundle.path, "manifest.sig")
    with open(path, "rb") as stream:
        data = stream.read()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(SignatureError):
                signature.verify_signature(b"", bytes(damaged), keys, "x")
    for damaged in (b"", data[:-1], data + b"\n", data.replace(b"ed25519", b"ed25518"), data.upper()):
        with open(path, "wb") as stream:
            stream.write(damaged)
        with pytest.raises(BundleError, match=r"manifest.sig (of .* is damaged|has \d+ bytes, more than)"):
            open_bundle(bundle.path)  # keys or not


def test_the_signature_is_a_file(bundle, trust, tmp_path):
    os.rename(os.path.join(bundle.path, "manifest.sig"), str(tmp_path / "elsewhere"))
    os.symlink(str(tmp_path / "elsewhere"), os.path.join(bundle.path, "manifest.sig"))
    with pytest.raises(BundleError, match="manifest.sig in .* is a link"):
        open_bundle(bundle.path, trusted_keys(trust))


def test_artefacts_are_looked_at_after_the_signature(bundle, trust, tmp_path):
    with open(os.path.join(bundle.path, "device.onnx"), "wb") as stream:
        stream.write(b"something executable")
    with pytest.raises(BundleError, match="device.onnx in .* has another size"):
        open_bundle(bundle.path, trusted_keys(trust))
    Signer(tmp_path / "others")
    with pytest.raises(SignatureError, match="is not trusted"):
        open_bundle(bundle.path, trusted_keys(str(tmp_path / "others")))


def test_what_is_no_folder_of_keys(trust, signer, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README").write_bytes(b"keys go here")
    with pytest.raises(SignatureError, match="holds no key: nothing could be trusted"):
        trusted_keys(str(tmp_path / "empty"))
    with pytest.raises(SignatureError, match="cannot read the folder of trusted keys .*nothing: No such file"):
        trusted_keys(str(tmp_path / "nothing"))
    with pytest.raises(SignatureError, match="cannot read the public key .*nothing: No such file"):
        trusted_keys(None, [str(tmp_path / "nothing")])
    (tmp_path / "trust" / "broken.pub").write_bytes(b"ssh-ed25519 AAAA")
    with pytest.raises(SignatureError, match="broken.pub is not a public key in PEM"):
        trusted_keys(trust)
    (tmp_path / "trust" / "broken.pub").write_bytes(signer.pem)
    with pytest.raises(SignatureError, match="broken.pub is a private key where a public one belongs"):
        trusted_keys(trust)


def test_keys_of_other_kinds_are_refused(tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pub").write_bytes(key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SignatureError, match="ec.pub is a public key of another kind") as caught:
        trusted_keys(None, [str(tmp_path / "ec.pub")])
    assert caught.value.context[0] == "expected  Ed25519"


WITHOUT = """
import sys
sys.modules["cryptography"] = sys.modules["cryptography.exceptions"] = None
from coachc.runtime.bundle.signature import trusted_keys
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.errors import SignatureError
open_bundle(sys.argv[1])
try:
    open_bundle(sys.argv[1], trusted_keys(sys.argv[2]))
except SignatureError as error:
    print(error.render())
"""


def test_the_library_is_needed_for_keys_only(bundle, trust):
    out = subprocess.check_output([sys.executable, "-c", WITHOUT, bundle.path, trust], stderr=subprocess.STDOUT)
    assert b"error[signature]: signatures need the library cryptography" in out
    assert b"hint: pip install '.[ship]'; on JetPack 4.6 python3 -m pip install cryptography==40.0.2" in out


def test_nothing_is_said_on_import(bundle, trust):
    code = "import sys\nfrom coachc.runtime.bundle.store import check_signature\ncheck_signature(*sys.argv[1:])"
    done = subprocess.Popen([sys.executable, "-c", code, bundle.path, trust], stderr=subprocess.PIPE)
    assert done.communicate()[1] == b""
    assert done.returncode == 0


# RFC 8032, section 7.1, TEST 3.
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
VALUE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def test_the_standards_own_example():
    key_id = signature.key_id_of(bytes.fromhex(PUBLIC))
    key = signature.TrustedKey(key_id, bytes.fromhex(PUBLIC), "rfc8032")
    line = signature.encode_signature(signature.Signature(key_id, bytes.fromhex(VALUE)))
    assert signature.verify_signature(b"\xaf\x82", line, (key,), "x") == key
    with pytest.raises(SignatureError, match="does not fit its manifest"):
        signature.verify_signature(b"\xaf\x83", line, (key,), "x")
