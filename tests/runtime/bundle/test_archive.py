import hashlib
import io
import json
import os
import threading
import zipfile
import zlib

import pytest

from coachc.runtime.bundle import zip_format
from coachc.runtime.bundle.archive import read_archive
from coachc.runtime.bundle.pack import pack_bundle
from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.bundle.unpack import unpack_archive
from coachc.runtime.errors import BundleError
from tests.helpers.runtime_bundles import FILES, ROLES, make_bundle, make_manifest
from tests.helpers.zips import Entry, both, zip_bytes


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny.coach")


@pytest.fixture
def packed(bundle, tmp_path):
    pack_bundle(bundle, str(tmp_path / "tiny.coachz"))
    return (tmp_path / "tiny.coachz").read_bytes()


def contents(bundle):
    """What belongs into the archive of a bundle, in order."""
    names = ["manifest.json", "manifest.sha256"] + [artefact.path for artefact in bundle.manifest.artefacts]
    files = []
    for name in names:
        with open(os.path.join(bundle.path, name), "rb") as stream:
            files.append((name, stream.read()))
    return files


def entries_of(bundle):
    return [Entry(name, data) for name, data in contents(bundle)]


def read(data, **options):
    return read_archive(io.BytesIO(data), "x.coachz", **options)


def refused(data, match):
    with pytest.raises(BundleError, match=match) as caught:
        read(data)
    assert caught.value.hint
    return caught.value


def test_what_was_packed_unpacks(bundle, packed, tmp_path):
    again = unpack_archive(str(tmp_path / "tiny.coachz"), str(tmp_path / "again"))
    assert again.bundle_id == bundle.bundle_id
    assert contents(again) == contents(bundle)
    assert read(packed) == (bundle.manifest, bundle.bundle_id, None, None)
    assert sorted(os.listdir(str(tmp_path))) == ["again", "tiny.coach", "tiny.coachz"]


def test_other_tools_can_read_it(bundle, tmp_path):
    assert pack_bundle(bundle, str(tmp_path / "x")) == os.path.getsize(str(tmp_path / "x"))
    with zipfile.ZipFile(str(tmp_path / "x")) as other:
        assert other.testzip() is None
        assert [(info.filename, other.read(info)) for info in other.infolist()] == contents(bundle)
        assert {info.date_time for info in other.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in other.infolist()} == {0o100644}


def test_the_attacks_start_from_what_is_packed(bundle, packed):
    assert zip_bytes(entries_of(bundle)) == packed


def test_same_bundle_same_bytes(bundle, packed, tmp_path, monkeypatch):
    copy = tmp_path / "elsewhere" / "other name"
    copy.mkdir(parents=True)
    for name, data in reversed(contents(bundle)):
        (copy / name).write_bytes(data)
        (copy / name).chmod(0o600)
        os.utime(str(copy / name), (1, 1))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    pack_bundle(open_bundle(copy), str(tmp_path / "copy.coachz"))
    assert (tmp_path / "copy.coachz").read_bytes() == packed


def test_folders_other_alphabets_and_empty_files(tmp_path):
    manifest = make_manifest()
    cuts = tuple(
        cut._replace(device="häl ve/モデル.onnx") if cut.mode == "device-only" else cut for cut in manifest.cuts
    )
    files = dict(FILES, **{"häl ve/モデル.onnx": b""})
    bundle = write_bundle(
        tmp_path / "b", manifest._replace(cuts=cuts), files, dict(ROLES, **{"häl ve/モデル.onnx": "model"})
    )
    pack_bundle(bundle, str(tmp_path / "b.coachz"))
    assert unpack_archive(str(tmp_path / "b.coachz"), str(tmp_path / "again")).bundle_id == bundle.bundle_id
    with zipfile.ZipFile(str(tmp_path / "b.coachz")) as other:
        assert other.namelist() == [name for name, _ in contents(bundle)]


def test_a_pipe_will_do(bundle, packed):
    reading, writing = os.pipe()

    def write():
        with open(writing, "wb") as out:
            out.write(packed)

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading, "rb") as stream:
        assert read_archive(stream, "-").bundle_id == bundle.bundle_id
    thread.join()


def test_every_flipped_byte_is_found(packed):
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(BundleError):
            read(bytes(damaged))


def test_every_truncation_is_found(packed):
    for length in range(len(packed)):
        with pytest.raises(BundleError):
            read(packed[:length])
    assert refused(packed[:-1], "it ends too early").context == (
        "expected  1 bytes more",
        f"found     {len(packed) - 1} bytes",
    )


# What the headers of one entry may not say. Index 2 is the first artefact, 5 the last.
LIES = {
    "traversal": (2, {"name": "../cloud.onnx"}, r"entry 3 is another.*"),
    "deep traversal": (2, {"name": "a/../../cloud.onnx"}, "entry 3 is another"),
    "absolute name": (2, {"name": "/etc/cron.d/x"}, "entry 3 is another"),
    "backslashes": (2, {"name": "..\\cloud.onnx"}, "entry 3 is another"),
    "a drive": (2, {"name": "C:cloud.onnx"}, "entry 3 is another"),
    "a folder": (2, {"name": "cloud.onnx/"}, "entry 3 is another"),
    "no name": (2, {"name": ""}, "entry 3 is another"),
    "no utf-8": (2, {"name": b"\xff\xfe"}, "entry 3 is another"),
    "a name with NUL": (2, {"name": b"cloud.onnx\0.txt"}, "entry 3 is another"),
    "another name in the directory": (2, {"central": {"name_bytes": 9}}, "'length of the name'"),
    "a link": (2, {"central": {"external": 0o120777 << 16}}, "'external attributes'"),
    "a device file": (2, {"central": {"external": 0o060644 << 16}}, "'external attributes'"),
    "setuid": (2, {"central": {"external": 0o104755 << 16}}, "'external attributes'"),
    "a DOS folder": (2, {"central": {"external": 0o100644 << 16 | 0x10}}, "'external attributes'"),
    "made on another system": (2, {"central": {"made_by": 20}}, "'version made by'"),
    "larger in the local header": (2, {"local": {"size": 15}}, "'size'"),
    "smaller in the local header": (2, {"local": {"size": 13}}, "'size'"),
    "larger in both headers": (2, both(size=15, csize=15), "'compressed size'"),
    "another size in the directory": (2, {"central": {"size": 15}}, "'size'"),
    "another packed size": (2, both(csize=13), "'compressed size'"),
    "zip64": (2, dict(both(size=0xFFFFFFFF, csize=0xFFFFFFFF), extra=b"\1\0\x10\0" + b"\x0e" + b"\0" * 15), "in 'c"),
    "zip64 in the directory only": (2, {"central": {"size": 0xFFFFFFFF, "csize": 0xFFFFFFFF}}, "'compressed size'"),
    "deflated": (2, both(method=8), "'method'"),
    "deflated in the directory": (2, {"central": {"method": 8}}, "'method'"),
    "encrypted": (2, both(flags=1), "'flags'"),
    "sizes after the data": (2, dict(both(flags=8), trailer=b"PK\7\x08" + b"\0" * 12), "'flags'"),
    "a descriptor that nothing announces": (2, {"trailer": b"PK\7\x08" + b"\0" * 12}, "entry 4 is missing"),
    "utf-8 that is none": (2, both(flags=0x800), "'flags'"),
    "another checksum": (2, both(crc=1), "has changed"),
    "another checksum in the directory": (2, {"central": {"crc": 1}}, "'crc-32'"),
    "an extra field": (2, {"extra": b"\x99\x99\4\0evil"}, "'length of extra fields'"),
    "a comment": (2, {"comment": b"hello"}, "'length of the comment'"),
    "a date": (2, both(date=0x5A21), "'date'"),
    "a newer zip": (2, both(version=45), "'version needed'"),
    "another disk": (2, {"central": {"disk": 1}}, "'disk'"),
    "text": (2, {"central": {"internal": 1}}, "'internal attributes'"),
    "overlapping entries": (3, {"central": {"offset": 0}}, "'offset'"),
    "the last entry within the one before": (5, {"central": {"offset": 4300}}, "'offset'"),
    "a gap between entries": (2, {"trailer": b"\0"}, "entry 4 is missing"),
    "a gap before the directory": (5, {"trailer": b"hidden"}, "the central directory.*'signature'"),
    "an entry that is in no directory": (2, {"hidden": True}, "the central directory, entry 'cloud.onnx'"),
    "a manifest that is not first": (0, {"name": "manifest.jsom"}, "entry 1 is another"),
    "a huge manifest": (0, both(size=1 << 31, csize=1 << 31), "'manifest.json' has another size"),
    "a short checksum": (1, both(size=79, csize=79), "'manifest.sha256' has another size"),
}


@pytest.mark.parametrize("attack", sorted(LIES))
def test_headers_that_lie_are_refused(bundle, attack):
    index, options, match = LIES[attack]
    entries = entries_of(bundle)
    old = entries[index]
    options = dict(options)
    entries[index] = Entry(options.pop("name", old.name), old.data, **options)
    error = refused(zip_bytes(entries), match)
    assert [line.split()[0] for line in error.context] == ["expected", "found"]


ENDS = {
    "fewer entries": ({"entries": 5}, "'entries'"),
    "fewer entries here": ({"here": 5}, "'entries here'"),
    "more entries": ({"entries": 7, "here": 7}, "'entries here'"),
    "another offset": ({"directory_offset": 0}, "'its offset'"),
    "zip64": ({"directory_offset": 0xFFFFFFFF}, "'its offset'"),
    "another size": ({"directory_bytes": 1}, "'size of the directory'"),
    "disks": ({"disk": 1}, "'disk'"),
    "a comment that is not there": ({"comment_bytes": 5}, "'length of the comment'"),
}


@pytest.mark.parametrize("attack", sorted(ENDS))
def test_ends_that_lie_are_refused(bundle, attack):
    fields, match = ENDS[attack]
    refused(zip_bytes(entries_of(bundle), end=fields), match)


def test_nothing_is_before_between_or_after(bundle, packed):
    entries = entries_of(bundle)
    refused(zip_bytes(entries, comment=b"hello"), "'length of the comment'")
    refused(packed + b"\0", "something follows the archive's end")
    refused(packed + packed, "something follows the archive's end")
    refused(b"#!/bin/sh\n" + packed, "it does not begin with an entry")
    refused(zip_bytes(entries, before=b"MZ"), "it does not begin with an entry")
    refused(b"", "it ends too early")


def test_the_entries_are_the_manifests(bundle):
    entries = entries_of(bundle)
    hidden = [Entry("notes.txt", b"hello")]
    error = refused(zip_bytes(entries + hidden), "it has an entry too many")
    assert error.context[1] == "found     entry 'notes.txt'"
    long_name = [Entry("n" * 300, b"hello")]
    assert "n" * 200 in refused(zip_bytes(entries + long_name), "it has an entry too many").context[1]
    error = refused(zip_bytes(entries + entries[-1:]), "it has an entry too many")
    assert error.context[1] == "found     entry 'raw.onnx'"
    refused(zip_bytes(entries[:3] + entries[2:]), "entry 4 is another")
    refused(zip_bytes(entries[:2] + hidden + entries[2:]), "entry 3 is another")
    error = refused(zip_bytes(entries[:3] + entries[4:]), "entry 4 is another")
    assert error.context == ("expected  entry 'device.onnx'", "found     entry 'model.onnx'")
    refused(zip_bytes(entries[:-1]), "entry 6 is missing")
    refused(zip_bytes(entries[:2] + entries[:1:-1]), "entry 3 is another")
    refused(zip_bytes(entries[1:]), "entry 1 is another")
    refused(zip_bytes(entries[:1] + entries[2:]), "entry 2 is another")
    refused(zip_bytes(entries[:1]), "entry 2 is missing")
    refused(zip_bytes(entries[:2]), "entry 3 is missing")
    assert refused(zip_bytes([Entry("../../x", b"")]), "entry 1 is another").context[1] == "found     entry '../../x'"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(bundle):
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    entries = entries_of(bundle)
    entries[2] = Entry("cloud.onnx", bomb, **both(method=8, size=64 << 20))
    refused(zip_bytes(entries), "'method'")
    entries[2] = Entry("cloud.onnx", bomb)
    refused(zip_bytes(entries), "'compressed size'")


def test_a_swapped_artefact_is_found(bundle):
    files = contents(bundle)
    other = [Entry(name, b"the other half" if name == "cloud.onnx" else data) for name, data in files]
    error = refused(zip_bytes(other), "entry 'cloud.onnx' has changed")
    assert error.context[0] == "expected  sha256 " + hashlib.sha256(FILES["cloud.onnx"]).hexdigest()
    # Two valid artefacts of the same size that change places.
    data = dict(files)
    swapped = [
        Entry(name, data[{"device.onnx": "model.onnx", "model.onnx": "device.onnx"}.get(name, name)]) for name in data
    ]
    refused(zip_bytes(swapped), "entry 'device.onnx' has changed")


def with_manifest(bundle, change):
    """An archive whose manifest was changed and whose checksum file fits again."""
    raw = json.loads(contents(bundle)[0][1].decode())
    change(raw)
    data = (json.dumps(raw, sort_keys=True, indent=1) + "\n").encode()
    line = f"{hashlib.sha256(data).hexdigest()}  manifest.json\n".encode()
    return [Entry("manifest.json", data), Entry("manifest.sha256", line)] + entries_of(bundle)[2:]


def test_the_manifest_is_checked_as_in_a_folder(bundle):
    def traverse(raw):
        raw["artefacts"][0]["path"] = "../cloud.onnx"

    entries = with_manifest(bundle, traverse)
    entries[2] = Entry("../cloud.onnx", FILES["cloud.onnx"])
    with pytest.raises(BundleError, match="expected a path inside the bundle"):
        read(zip_bytes(entries))
    for version, match in ((7, "written by a newer coachc"), (2, "written by an older coachc")):
        entries = with_manifest(bundle, lambda raw, version=version: raw.update(format_version=version))
        with pytest.raises(BundleError, match=match):
            read(zip_bytes(entries))
    entries = entries_of(bundle)
    entries[1] = Entry("manifest.sha256", b"0" * 64 + b"  manifest.json\n")
    refused(zip_bytes(entries), "manifest.json does not match manifest.sha256")


def test_the_total_is_limited_before_anything_is_written(bundle, packed):
    total = sum(len(data) for _, data in contents(bundle))

    def sink(path):
        raise AssertionError(path)

    with pytest.raises(BundleError, match=f"x.coachz holds {total} bytes, more than are taken") as caught:
        read(packed, sink=sink, limit_bytes=total - 1)
    assert caught.value.context == (f"expected  at most {total - 1} bytes", f"found     {total} bytes by its manifest")
    assert caught.value.hint.startswith("--limit-mib 1 ")
    assert read(packed, limit_bytes=total)
    entries = with_manifest(bundle, lambda raw: raw["artefacts"][0].update(size_bytes=1 << 52))
    with pytest.raises(BundleError, match="more than are taken"):
        read(zip_bytes(entries))
    with pytest.raises(BundleError, match="does not fit into an archive"):
        read(zip_bytes(entries), limit_bytes=1 << 53)


def test_no_more_than_was_declared_is_written(bundle):
    entries = entries_of(bundle)
    entries[2].data += b"x" * 1000
    written = {}

    class Out(io.BytesIO):
        def __init__(self, path):
            super().__init__()
            written[path] = self

        def close(self):
            assert len(self.getvalue()) <= 4100

    with pytest.raises(BundleError, match="'compressed size'"):
        read(zip_bytes(entries), sink=Out)
    entries[2].local = entries[2].central = {"size": 14, "csize": 14}
    with pytest.raises(BundleError, match="has changed"):
        read(zip_bytes(entries), sink=Out)
    assert len(written["cloud.onnx"].getvalue()) == 14


def test_a_refused_archive_leaves_nothing(bundle, packed, tmp_path):
    path = tmp_path / "bad.coachz"
    for data in (packed[:-1], packed[:4200], b"", packed + b"x"):
        path.write_bytes(data)
        with pytest.raises(BundleError):
            unpack_archive(str(path), str(tmp_path / "out"))
    assert sorted(os.listdir(str(tmp_path))) == ["bad.coachz", "tiny.coach", "tiny.coachz"]


def test_places_that_are_taken(bundle, packed, tmp_path):
    path, out = str(tmp_path / "tiny.coachz"), str(tmp_path / "out")
    with pytest.raises(BundleError, match="tiny.coachz exists already") as caught:
        pack_bundle(bundle, path)
    assert caught.value.hint == "--force replaces a file"
    pack_bundle(bundle, path, force=True)
    with pytest.raises(BundleError, match="is not a file and will not be replaced"):
        pack_bundle(bundle, bundle.path, force=True)
    os.symlink(path, str(tmp_path / "link"))
    with pytest.raises(BundleError, match="is not a file and will not be replaced"):
        pack_bundle(bundle, str(tmp_path / "link"), force=True)
    with pytest.raises(BundleError, match="its folder does not exist"):
        pack_bundle(bundle, str(tmp_path / "no" / "x"))
    unpack_archive(path, out)
    with pytest.raises(BundleError, match="out exists already"):
        unpack_archive(path, out)
    assert unpack_archive(path, out, force=True).bundle_id == bundle.bundle_id
    with pytest.raises(BundleError, match="cannot read .*nothing: No such file"):
        unpack_archive(str(tmp_path / "nothing"), str(tmp_path / "new"))
    with pytest.raises(BundleError, match="Is a directory") as caught:
        unpack_archive(out, str(tmp_path / "new"))
    assert "pack this" in caught.value.hint


def test_what_cannot_be_packed(bundle, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(zip_format, "_ZIP_LIMIT", 4000)
        with pytest.raises(BundleError, match="does not fit into an archive") as caught:
            pack_bundle(bundle, str(tmp_path / "x"))
        assert caught.value.hint == "copy the bundle as the folder it is"

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for call in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(BundleError, match="cannot write .*x: No space left on device"):
                pack_bundle(bundle, str(tmp_path / "x"))
    pack_bundle(bundle, str(tmp_path / "x"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BundleError, match="cannot write .*out: No space left on device"):
            unpack_archive(str(tmp_path / "x"), str(tmp_path / "out"))
    (tmp_path / "tiny.coach" / "cloud.onnx").write_bytes(b"the other half")
    with pytest.raises(BundleError, match="cloud.onnx in .* has changed"):
        pack_bundle(bundle, str(tmp_path / "y"))
    (tmp_path / "tiny.coach" / "manifest.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match="manifest.json in .* has changed"):
        pack_bundle(bundle, str(tmp_path / "y"))
    assert sorted(os.listdir(str(tmp_path))) == ["tiny.coach", "x"]
