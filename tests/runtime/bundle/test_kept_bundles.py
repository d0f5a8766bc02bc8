"""Bundles of every format since the first that was released are opened, shipped, served and run as they were then."""

import hashlib
import json
import os

import pytest

from coachc.runtime.bundle.archive import open_archive, read_archive
from coachc.runtime.bundle.installation import install, rollback
from coachc.runtime.bundle.manifest_types import FORMAT_VERSION
from coachc.runtime.bundle.pack import pack_bundle
from coachc.runtime.bundle.signature import trusted_keys
from coachc.runtime.bundle.store import check_signature, open_bundle
from coachc.runtime.bundle.unpack import unpack_archive
from coachc.runtime.bundle.upgrade import OLDEST_VERSION
from coachc.runtime.cloud.service import Service
from tests.helpers.device_run import run_all
from coachc.runtime.engines.halves import Engines, cloud_engine
from coachc.runtime.online.policy import POLICIES
from coachc.runtime.online.policy_file import decode_policies
from tests.helpers.kept_bundles import (
    FOLDER,
    NAMES,
    archive_of,
    key_folder,
    manifest_bytes,
    recorded,
    replay_factory,
    write_source,
)
from tests.helpers.runtime_bundles import Loopback

VERSIONS = range(OLDEST_VERSION, FORMAT_VERSION + 1)
KEPT = pytest.mark.parametrize(("version", "name"), [(version, name) for version in VERSIONS for name in NAMES])


def unpacked(version, name, folder):
    unpack_archive(archive_of(version, name), str(folder / name))
    return open_bundle(folder / name)


def test_a_bundle_of_every_format_is_kept():
    assert OLDEST_VERSION == 3  # the first that was released: it is never raised
    assert sorted(entry for entry in os.listdir(FOLDER) if entry.startswith("v")) == [f"v{v}" for v in VERSIONS]
    for version in VERSIONS:
        for name in NAMES:
            assert json.loads(manifest_bytes(version, name).decode())["format_version"] == version


@KEPT
def test_it_is_read_as_the_newest_format_and_known_by_its_own_bytes(version, name, tmp_path):
    bundle = unpacked(version, name, tmp_path)
    data = manifest_bytes(version, name)
    assert bundle.manifest.format_version == FORMAT_VERSION
    assert bundle.bundle_id == hashlib.sha256(data).hexdigest()
    assert bundle.served_name.endswith(bundle.bundle_id[:12])
    assert (tmp_path / name / "manifest.json").read_bytes() == data
    with open_archive(archive_of(version, name)) as stream:
        contents = read_archive(stream, name)
    assert (contents.manifest, contents.bundle_id) == (bundle.manifest, bundle.bundle_id)
    pack_bundle(bundle, str(tmp_path / "again.coachz"))
    with open(archive_of(version, name), "rb") as stream:
        assert (tmp_path / "again.coachz").read_bytes() == stream.read()


@KEPT
def test_what_its_fields_say(version, name, tmp_path):
    bundle = unpacked(version, name, tmp_path)
    values = [value for cut in bundle.manifest.cuts for value in cut.values]
    assert bundle.manifest.producer.startswith("coachc 0.")
    if name == "jpeg":
        assert [(value.codec, value.quality, value.levels) for value in values] == [("jpeg", 90, ())]
        return
    assert any(value.packed and len(value.levels) == 7 for value in values)
    assert all(value.quality is None for value in values)
    policies = [decode_policies(bundle.read(cut.policy)) for cut in bundle.manifest.cuts if cut.policy is not None]
    assert policies
    assert all(set(named) == set(POLICIES) for named in policies)
    assert any(named["default"].exits is not None for named in policies)


@pytest.mark.needs("cryptography")
@pytest.mark.parametrize("version", VERSIONS)
def test_its_signature_is_of_its_own_bytes_installed_and_brought_back(version, tmp_path):
    keys = trusted_keys(key_folder(version))
    place = str(tmp_path / "place")

    def put(name, **options):
        with open_archive(archive_of(version, name)) as stream:
            return install(stream, name, place, force=True, **options)

    first = put("split", keys=keys).bundle
    assert check_signature(first.path, key_folder(version)) == keys[0].key_id
    assert put("range").before == first.bundle_id
    assert rollback(place, keys).bundle.bundle_id == first.bundle_id
    assert open_bundle(os.path.join(place, "current"), keys).manifest == first.manifest


@KEPT
def test_it_answers_as_it_did(version, name, tmp_path):
    """Every cut over loopback, with engines that take only what they were fed then: codes, quantizers and pictures."""
    if name == "jpeg":
        pytest.importorskip("PIL")
    bundle = unpacked(version, name, tmp_path)
    arrays = recorded(version, name)
    source = write_source(arrays, tmp_path)
    factory = replay_factory(bundle, arrays)
    for cut in bundle.manifest.cuts:
        options = {"cut": cut.name, "policy": "none", "engine_factory": factory}
        if cut.cloud is None:
            report = run_all(bundle.path, None, source, **options)
        else:
            engine = cloud_engine(Engines(bundle, factory), cut)
            with Loopback(Service(bundle, cut, engine, [bundle.served_name_of(cut)])) as server:
                report = run_all(bundle.path, server.address, source, **options)
        assert report.predictions == tuple(arrays[f"predictions/{cut.name}"])
        assert report.payload_bytes_per_task == pytest.approx(float(arrays[f"payload/{cut.name}"]), rel=0.02)
