"""Pushing to a registry, one of this process."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import time

import pytest

from coachc.errors import ToolchainError, UsageError
from coachc.runtime.bundle.archive import read_archive
from coachc.runtime.bundle.pack import pack_bundle
from coachc.runtime.bundle.store import write_bundle
from coachc.ship import oci
from coachc.ship.oci import Reference, parse_reference, push_oci
from tests.helpers.registry import Registry
from tests.helpers.runtime_bundles import FILES, ROLES, make_manifest

pytestmark = pytest.mark.needs("oras")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No credentials and no proxies but a test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path


@pytest.fixture
def archive(tmp_path):
    bundle = write_bundle(tmp_path / "b", make_manifest()._replace(revision=7), FILES, ROLES)
    pack_bundle(bundle, str(tmp_path / "b.coachz"))
    return tmp_path / "b.coachz"


def push(archive, reference, **options):
    with open(archive, "rb") as stream:
        contents = read_archive(stream, "b")
    return push_oci(str(archive), "b.coachz", contents, parse_reference(reference), plain_http=True, **options)


def test_an_artifact_of_one_layer(archive):
    with Registry() as registry:
        digest = push(archive, f"oci://{registry.address}/vision/tiny:7")
        stored = registry.manifests["vision/tiny/manifests/7"]
        assert digest == "sha256:" + hashlib.sha256(stored).hexdigest()
        manifest = json.loads(stored)
        assert manifest["artifactType"] == "application/vnd.coachc.bundle.v1"
        assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        assert manifest["annotations"]["org.opencontainers.image.version"] == "7"
        [layer] = manifest["layers"]
        assert layer["annotations"] == {"org.opencontainers.image.title": "b.coachz"}
        assert layer["size"] == archive.stat().st_size
        assert registry.blobs[layer["digest"]] == archive.read_bytes()
        assert registry.blobs[manifest["config"]["digest"]] == b"{}"
        assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"


def test_the_same_again_sends_no_blob_and_has_the_same_digest(archive):
    with Registry() as registry:
        first = push(archive, f"oci://{registry.address}/vision/tiny:7")
        sent = len(registry.requests)
        assert push(archive, f"oci://{registry.address}/vision/tiny:latest") == first
        assert [request.split()[0] for request in registry.requests[sent:]] == ["GET", "HEAD", "HEAD", "PUT"]


def test_the_credentials_of_docker_login(archive, home):
    word = base64.b64encode(b"me:secret").decode()
    with Registry(login=f"Basic {word}") as registry:
        with pytest.raises(ToolchainError, match="failed while sending the bundle") as caught:
            push(archive, f"oci://{registry.address}/vision/tiny:7")
        assert "docker login" in caught.value.hint
        assert registry.manifests == {}
        (home / ".docker").mkdir()
        (home / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": word}}}))
        push(archive, f"oci://{registry.address}/vision/tiny:7")
        assert list(registry.manifests) == ["vision/tiny/manifests/7"]


def test_what_the_registry_says_is_shown(archive):
    for status in (400, 500, 507):
        with (
            Registry(refuse=(status, "the disk is full")) as registry,
            pytest.raises(ToolchainError, match="failed while sending the bundle") as caught,
        ):
            push(archive, f"oci://{registry.address}/vision/tiny:7")
        assert any(str(status) in line or "session" in line for line in caught.value.context)
    with (
        Registry(digest="sha256:" + "0" * 64) as registry,
        pytest.raises(ToolchainError, match="failed while sending the manifest") as caught,
    ):
        push(archive, f"oci://{registry.address}/vision/tiny:7")
    assert caught.value.hint == "the registry stored something else"


def test_nobody_there_is_said_at_once(archive):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    with pytest.raises(ToolchainError, match=f"pushing to 127.0.0.1:{port}/vision/tiny:7 failed while"):
        push(archive, f"oci://127.0.0.1:{port}/vision/tiny:7")
    assert time.perf_counter() - start < 10


def test_no_answer_is_not_waited_for(archive, monkeypatch):
    monkeypatch.setattr(oci, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ToolchainError) as caught:
        push(archive, f"oci://127.0.0.1:{silent.getsockname()[1]}/vision/tiny:7")
    assert "timed out" in caught.value.context[0]


def test_the_library_is_asked_for(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "oras.container", None)
    with pytest.raises(ToolchainError, match="needs the library oras") as caught:
        push(archive, "oci://127.0.0.1:1/x:1")
    assert caught.value.hint == "pip install '.[ship]'"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("oci://localhost:5000/tiny:1", Reference("localhost:5000", "tiny", "1")),
        (
            "oci://registry.example.com/a/b-c/d.e__f:v1.2-x_Y",
            Reference("registry.example.com", "a/b-c/d.e__f", "v1.2-x_Y"),
        ),
        ("oci://[::1]:5000/tiny:1", Reference("[::1]:5000", "tiny", "1")),
    ],
)
def test_addresses(text, wanted):
    assert parse_reference(text) == wanted
    assert f"oci://{wanted}" == text


@pytest.mark.parametrize(
    "text",
    [
        "oci://",
        "oci://tiny:1",
        "oci://docker/tiny:1",
        "oci://localhost:5000/tiny",
        "oci://localhost:5000/Tiny:1",
        "oci://localhost:5000/../tiny:1",
        "oci://localhost:5000/a//b:1",
        "oci://localhost:5000/tiny:1\n",
        "oci://localhost:5000/tiny:-1",
        "oci://me:secret@localhost:5000/tiny:1",
        "oci://localhost:5000/tiny@sha256:0000:1",
        "oci://localhost:5000/tiny:1?x=1",
        "oci://localhost:port/tiny:1",
        "https://localhost:5000/tiny:1",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(UsageError, match="is not an address in a registry") as caught:
        parse_reference(text)
    assert caught.value.hint
