"""`coachc pack`, `unpack`, `keygen`, `sign`, `verify`, `push` and `rollback`, as they are typed."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from coachc.models.synthetic import chain
from coachc.runtime.bundle.store import open_bundle, write_bundle
from tests.helpers.bundles import save
from tests.helpers.commands import REPOSITORY, coachc, compile_json, succeed
from tests.helpers.registry import Registry
from tests.helpers.runtime_bundles import FILES, ROLES, make_manifest

HERE = ("--python", sys.executable, "--runtime", REPOSITORY)


def make(path, revision=0, name="tiny"):
    return write_bundle(path, make_manifest(name=name)._replace(revision=revision), FILES, ROLES)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make(tmp_path / "tiny.coach", 3)


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An ssh that runs its command here."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "ssh"
    script.write_text('#!/bin/sh\nfor word; do command="$word"; done\nexec sh -c "$command"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_pack_and_unpack(bundle, tmp_path):
    said = succeed("pack", "tiny.coach")
    size = os.path.getsize("tiny.coachz")
    assert said == f"tiny.coachz  {size:,} bytes, bundle {bundle.bundle_id[:12]}, revision 3\n"
    assert succeed("unpack", "tiny.coachz", "-o", "again") == f"again  bundle {bundle.bundle_id[:12]}, revision 3\n"
    assert open_bundle("again").bundle_id == bundle.bundle_id
    shutil.rmtree("tiny.coach")
    succeed("unpack", "tiny.coachz")
    assert open_bundle("tiny.coach").bundle_id == bundle.bundle_id
    assert "tiny.coachz exists already" in coachc("pack", "tiny.coach").err
    assert "tiny.coach exists already" in coachc("unpack", "tiny.coachz").err
    succeed("pack", "tiny.coach", "--force", "-o", "tiny.coachz")
    succeed("unpack", "tiny.coachz", "--force")


def test_unpack_has_a_limit(bundle, tmp_path):
    with open("tiny.coach/cloud.onnx", "wb") as stream:
        stream.truncate(3 << 20)
    write_bundle("large.coach", make_manifest(), {**FILES, "cloud.onnx": "tiny.coach/cloud.onnx"}, ROLES)
    succeed("pack", "large.coach")
    refused = coachc("unpack", "large.coachz", "-o", "out", "--limit-mib", 3)
    assert refused.code == 1
    assert "hint: --limit-mib 4 takes it" in refused.err
    succeed("unpack", "large.coachz", "-o", "out", "--limit-mib", 4)


@pytest.mark.needs("cryptography")
def test_keygen_sign_verify(bundle, tmp_path):
    said = succeed("keygen", "team")
    assert "team.key  private, mode 0600" in said
    key_id = said.split("public, key ")[1][:16]
    unsigned = coachc("verify", "tiny.coach", "--key", "team.pub")
    assert (unsigned.code, unsigned.out) == (1, "")
    assert "tiny.coach is not signed" in unsigned.err
    assert succeed("sign", "tiny.coach", "--key", "team.key") == f"tiny.coach  signed by key {key_id}\n"
    succeed("pack", "tiny.coach")
    (tmp_path / "trust").mkdir()
    shutil.copy("team.pub", "trust")
    for path in ("tiny.coach", "tiny.coachz"):
        for flags in (("--key", "team.pub"), ("--trust", "trust")):
            said = succeed("verify", path, *flags)
            assert said.startswith(
                f"ok  tiny, revision 3, bundle {bundle.bundle_id[:12]}\n    signed by key {key_id}, "
            )
    succeed("keygen", "other")
    for path in ("tiny.coach", "tiny.coachz"):
        refused = coachc("verify", path, "--key", "other.pub")
        assert (refused.code, refused.out) == (1, "")
        assert f"{path} is signed by key {key_id}, which is not trusted" in refused.err
        succeed("verify", path, "--key", "other.pub", "--key", "team.pub")
    assert "no key to verify the signature with" in coachc("verify", "tiny.coach").err
    assert "not trusted" in coachc("unpack", "tiny.coachz", "-o", "x", "--key", "other.pub").err
    assert not os.path.exists("x")
    succeed("unpack", "tiny.coachz", "-o", "x", "--trust", "trust")
    with open("x/cloud.onnx", "ab") as stream:
        stream.write(b"!")
    assert "cloud.onnx in x has another size" in coachc("verify", "x", "--key", "team.pub").err


@pytest.mark.needs("cryptography")
def test_push_through_ssh_and_back(bundle, tmp_path, ssh):
    place, address = tmp_path / "place", f"ssh://nvidia@tx2:2222{tmp_path}/place"
    first = coachc("push", "tiny.coach", address, *HERE)
    assert first.code == 0, first.err
    assert first.out.startswith(f"tx2: {place}/current is tiny, revision 3, bundle {bundle.bundle_id[:12]}")
    assert first.err == "note: tiny.coach is not signed; coachc sign BUNDLE --key NAME.key does that\n"
    assert open_bundle(place / "current").bundle_id == bundle.bundle_id
    newer = make(tmp_path / "newer.coach", 4)
    succeed("pack", "newer.coach")
    assert "; kept: bundle " + bundle.bundle_id[:12] in succeed("push", "newer.coachz", address, *HERE)
    older = coachc("push", "tiny.coach", address, *HERE)
    assert older.code == 1
    assert "error[install]: the bundle is older than one that was installed" in older.err
    assert older.err.count("hint:") == 1
    assert "tx2: " in succeed("rollback", address, *HERE)
    assert open_bundle(place / "current").bundle_id == bundle.bundle_id
    assert f"revision 4, bundle {newer.bundle_id[:12]}; kept" in succeed("rollback", place)
    make(tmp_path / "same.coach", 4, "same")
    assert "another bundle of the same revision" in coachc("push", "same.coach", address, *HERE).err
    succeed("push", "same.coach", address, *HERE, "--force")
    # With keys in the folder, nothing else goes in any more.
    (place / "trust").mkdir()
    succeed("keygen", "team")
    shutil.copy("team.pub", place / "trust")
    make(tmp_path / "last.coach", 5)
    assert "is not signed, and only bundles of trusted keys" in coachc("push", "last.coach", address, *HERE).err
    succeed("sign", "last.coach", "--key", "team.key")
    assert coachc("push", "last.coach", address, *HERE).err == ""
    assert open_bundle(place / "current").manifest.revision == 5


@pytest.mark.needs("oras")
def test_push_to_a_registry(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    with Registry() as registry:
        said = succeed("push", "tiny.coach", f"oci://{registry.address}/vision/tiny:3", "--plain-http")
        assert said.startswith(f"{registry.address}/vision/tiny:3  sha256:")
        assert said.endswith(f", bundle {bundle.bundle_id[:12]}, revision 3\n")
        succeed("pack", "tiny.coach")
        with open("tiny.coachz", "rb") as stream:
            assert stream.read() in registry.blobs.values()
        again = succeed("push", "tiny.coachz", f"oci://{registry.address}/vision/tiny:3", "--plain-http")
        assert again == said


def test_pushes_that_make_no_sense(bundle, tmp_path):
    for arguments, message in (
        (("tiny.coach", "/data"), "'/data' is no address to push to"),
        (("tiny.coach", "ssh://tx2/../x"), "is not an address to install at"),
        (("tiny.coach", "ssh://tx2/x", "--plain-http"), "--plain-http is for oci:// addresses"),
        (("tiny.coach", "oci://localhost:5000/x:1", "--force"), "are for ssh:// addresses"),
        (("tiny.coach", "oci://x"), "is not an address in a registry"),
        (("nothing", "ssh://tx2/x"), "cannot read nothing: No such file"),
    ):
        refused = coachc("push", *arguments)
        assert refused.code == (1 if arguments[0] == "nothing" else 2)
        assert message in refused.err
        assert "hint: " in refused.err


def test_damaged_bundles_are_not_pushed(bundle, tmp_path, ssh):
    succeed("pack", "tiny.coach")
    with open("tiny.coachz", "r+b") as stream:
        stream.seek(100)
        stream.write(b"?")
    refused = coachc("push", "tiny.coachz", f"ssh://tx2{tmp_path}/place", *HERE)
    assert "tiny.coachz is not an archive of a bundle as it was packed" in refused.err
    assert not (tmp_path / "place").exists()


def test_two_compiles_give_the_same_archive(tmp_path, monkeypatch):
    """Folder and file, byte for byte, at other times and from other places; and the revision is in it."""
    packed = []
    for number, epoch in enumerate(("", "1", "1700000000")):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        if epoch:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        model = save(chain(), folder / "model.onnx")
        compile_json(model, folder / "x.coach", "--calib", "random", "--samples", 4, "--revision", 6)
        succeed("pack", "x.coach")
        packed.append((folder / "x.coachz").read_bytes())
    assert packed[0] == packed[1] == packed[2]
    assert open_bundle(tmp_path / "0" / "x.coach").manifest.revision == 6
