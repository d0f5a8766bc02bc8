import hashlib
import os
import shutil
import subprocess

import pytest

from coachc.runtime.bundle import store
from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.errors import BundleError, UsageError
from tests.helpers.runtime_bundles import FILES, ROLES, make_bundle, make_manifest

HINT = "copy the bundle again or recompile"


@pytest.fixture
def path(tmp_path):
    make_bundle(tmp_path / "tiny.coach")
    return tmp_path / "tiny.coach"


def rewrite(path, data):
    """Put another manifest with a right checksum in place."""
    (path / "manifest.json").write_bytes(data)
    line = f"{hashlib.sha256(data).hexdigest()}  manifest.json\n"
    (path / "manifest.sha256").write_bytes(line.encode())


def test_what_was_written_opens(path):
    bundle = open_bundle(path)
    assert bundle.bundle_id == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    assert [a.path for a in bundle.manifest.artefacts] == sorted(FILES)
    assert bundle.read("cloud.onnx") == FILES["cloud.onnx"]
    assert bundle.manifest._replace(artefacts=()) == make_manifest()
    assert bundle.served_name == "tiny-" + bundle.bundle_id[:12]
    assert bundle.manifest.cut().name == "middle"
    assert bundle.manifest.cut("raw").mode == "cloud-raw"


def test_served_name_is_fit_for_a_url(tmp_path):
    bundle = make_bundle(tmp_path / "b", name="a model/v1?")
    assert bundle.served_name == "a-model-v1--" + bundle.bundle_id[:12]


def test_unknown_names_are_refused(path):
    with pytest.raises(UsageError, match="has no cut 'x'") as caught:
        open_bundle(path).manifest.cut("x")
    assert caught.value.hint == "--cut takes one of middle, device-only, raw, jpeg"
    with pytest.raises(BundleError, match="'x.onnx' is not an artefact"):
        open_bundle(path).read("x.onnx")


def test_same_inputs_same_bytes(tmp_path, path):
    again = tmp_path / "again"
    sources = {}
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        sources[name] = tmp_path / name
    write_bundle(again, make_manifest(), sources, ROLES)
    names = sorted(os.listdir(str(path)))
    assert names == sorted(os.listdir(str(again))) == sorted(list(FILES) + ["manifest.json", "manifest.sha256"])
    for name in names:
        assert (path / name).read_bytes() == (again / name).read_bytes()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_checksum_file_is_what_sha256sum_reads(path):
    subprocess.check_call(["sha256sum", "--check", "--strict", "--quiet", "manifest.sha256"], cwd=str(path))


@pytest.mark.parametrize("name", sorted(FILES) + ["manifest.json", "manifest.sha256"])
def test_any_changed_byte_is_found(path, name):
    data = (path / name).read_bytes()
    for position in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(data)
            changed[position] ^= flip
            (path / name).write_bytes(bytes(changed))
            with pytest.raises(BundleError) as caught:
                open_bundle(path)
            assert name.split(".")[0] in caught.value.message
            assert caught.value.hint == HINT
    (path / name).write_bytes(data)
    open_bundle(path)


def test_every_byte_of_the_small_files_counts(path):
    for name in ("manifest.sha256", "cloud.onnx"):
        data = (path / name).read_bytes()
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 0x20
            (path / name).write_bytes(bytes(changed))
            with pytest.raises(BundleError):
                open_bundle(path)
        (path / name).write_bytes(data)


@pytest.mark.parametrize("name", sorted(FILES) + ["manifest.json", "manifest.sha256"])
def test_truncated_and_grown_files_are_found(path, name):
    data = (path / name).read_bytes()
    for changed in (data[:-1], b"", data + b"\n"):
        (path / name).write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(path)


@pytest.mark.parametrize("name", [*sorted(FILES), "manifest.sha256"])
def test_missing_files_are_named(path, name):
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(path)


def test_messages_say_expected_and_found(path):
    (path / "cloud.onnx").write_bytes(b"short")
    with pytest.raises(BundleError, match="cloud.onnx in .* has another size") as caught:
        open_bundle(path)
    assert caught.value.context == ("expected  14 bytes", "found     5 bytes")
    (path / "cloud.onnx").write_bytes(b"the other half")
    with pytest.raises(BundleError, match="cloud.onnx in .* has changed") as caught:
        open_bundle(path)
    assert caught.value.context[0] == "expected  sha256 " + hashlib.sha256(FILES["cloud.onnx"]).hexdigest()


def test_a_file_that_changes_after_opening_is_not_handed_out(path):
    bundle = open_bundle(path)
    (path / "cloud.onnx").write_bytes(b"the other half")
    with pytest.raises(BundleError, match="cloud.onnx in .* has changed"):
        bundle.read("cloud.onnx")


def test_extra_files_are_refused(path):
    (path / "notes").mkdir()
    (path / "notes" / "x.txt").write_bytes(b"hello")
    with pytest.raises(BundleError, match="notes/x.txt is not listed in the manifest"):
        open_bundle(path)


def test_links_are_refused(path, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "cloud.onnx").write_bytes(FILES["cloud.onnx"])
    (path / "cloud.onnx").unlink()
    (path / "cloud.onnx").symlink_to(outside / "cloud.onnx")
    with pytest.raises(BundleError, match="cloud.onnx in .* is a link"):
        open_bundle(path)
    (path / "cloud.onnx").unlink()
    (path / "cloud.onnx").write_bytes(FILES["cloud.onnx"])
    (path / "more").symlink_to(outside)
    with pytest.raises(BundleError, match="more is not listed"):
        open_bundle(path)


def test_linked_folders_and_special_files_are_refused(tmp_path):
    manifest = make_manifest()
    cuts = tuple(cut._replace(device="sub/model.onnx") if cut.mode == "device-only" else cut for cut in manifest.cuts)
    files, roles = dict(FILES), dict(ROLES)
    files["sub/model.onnx"], roles["sub/model.onnx"] = b"x", "model"
    path = tmp_path / "b"
    write_bundle(path, manifest._replace(cuts=cuts), files, roles)
    assert open_bundle(path).read("sub/model.onnx") == b"x"
    (path / "sub").rename(tmp_path / "sub")
    (path / "sub").symlink_to(tmp_path / "sub")
    with pytest.raises(BundleError, match="sub in .* is a link"):
        open_bundle(path)
    (path / "sub").unlink()
    (tmp_path / "sub").rename(path / "sub")
    (path / "sub" / "model.onnx").unlink()
    os.mkfifo(str(path / "sub" / "model.onnx"))
    with pytest.raises(BundleError, match="sub/model.onnx in .* is not a regular file"):
        open_bundle(path)


def test_traversal_is_refused_although_the_checksum_is_right(path):
    data = (path / "manifest.json").read_bytes().replace(b'"cloud.onnx"', b'"../cloud.onnx"')
    rewrite(path, data)
    with pytest.raises(BundleError, match="expected a path inside the bundle"):
        open_bundle(path)


def test_a_newer_bundle_is_named_as_such(path):
    rewrite(path, b'{"format_version": 7}')
    with pytest.raises(BundleError, match=r"written by a newer coachc \(format 7; this reader knows 3 to 6\)"):
        open_bundle(path)


def test_huge_manifests_are_not_read(path, monkeypatch):
    monkeypatch.setattr(store, "MANIFEST_LIMIT_BYTES", 100)
    with pytest.raises(BundleError, match=r"manifest.json has \d+ bytes, more than 100"):
        open_bundle(path)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is not a bundle: no such directory"):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match="is not a bundle: it has no manifest.json"):
        open_bundle(tmp_path)


def test_an_existing_destination_is_left_alone(path, tmp_path):
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="exists already") as caught:
        write_bundle(path, make_manifest(name="other"), FILES, ROLES)
    assert caught.value.hint == "--force replaces a bundle"
    assert (path / "manifest.json").read_bytes() == before
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_bytes(b"dear")
    with pytest.raises(BundleError, match="is not a bundle and will not be replaced"):
        write_bundle(tmp_path / "home", make_manifest(), FILES, ROLES, force=True)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(BundleError, match="is not a bundle and will not be replaced"):
        write_bundle(tmp_path / "link", make_manifest(), FILES, ROLES, force=True)
    assert (tmp_path / "home" / "letter.txt").read_bytes() == b"dear"


def test_force_replaces_a_bundle(path, tmp_path):
    (path / "cloud.onnx").write_bytes(b"damaged")
    bundle = write_bundle(path, make_manifest(name="other"), FILES, ROLES, force=True)
    assert bundle.manifest.model.name == "other"
    assert open_bundle(path) == bundle
    assert os.listdir(str(tmp_path)) == ["tiny.coach"]


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_leaves_nothing_half_written(path, tmp_path, monkeypatch, force):
    before = open_bundle(path).bundle_id
    target = path if force else tmp_path / "new"

    def broken(*arguments):
        raise OSError(28, "No space left on device")

    for name in ("_write", "_write_artefact"):
        with monkeypatch.context() as patch:
            patch.setattr(store, name, broken)
            with pytest.raises(BundleError, match="cannot write .*: No space left on device"):
                write_bundle(target, make_manifest(name="other"), FILES, ROLES, force=force)
    rename = os.rename

    def second_fails(source, to):
        if source.endswith(".partial"):
            broken()
        rename(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "rename", second_fails)
        with pytest.raises(BundleError, match="No space left on device"):
            write_bundle(target, make_manifest(name="other"), FILES, ROLES, force=force)
    assert os.listdir(str(tmp_path)) == ["tiny.coach"]
    assert open_bundle(path).bundle_id == before


def test_a_contradictory_manifest_is_not_written(tmp_path):
    with pytest.raises(BundleError, match="expected the name of a cut"):
        write_bundle(tmp_path / "b", make_manifest(chosen="nowhere"), FILES, ROLES)
    files, roles = dict(FILES, **{"../x": b""}), dict(ROLES, **{"../x": "model"})
    with pytest.raises(BundleError, match="expected a path inside the bundle"):
        write_bundle(tmp_path / "b", make_manifest(), files, roles)
    with pytest.raises(BundleError, match="its folder does not exist"):
        write_bundle(tmp_path / "no" / "b", make_manifest(), FILES, ROLES)
    with pytest.raises(BundleError, match="cannot write .*: No such file"):
        write_bundle(tmp_path / "b", make_manifest(), dict(FILES, **{"cloud.onnx": "/nowhere"}), ROLES)
    assert os.listdir(str(tmp_path)) == []


def test_files_that_cannot_be_read_are_named(path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "open", refuse, raising=False)
    with pytest.raises(BundleError, match="cannot read manifest.json in .*: Permission denied"):
        open_bundle(path)
