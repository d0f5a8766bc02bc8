"""Engines in a manifest: what each is for, and that no artefact of theirs is taken for a model."""

import json

import pytest

from runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from runtime.bundle.manifest_types import Artefact, EngineFacts
from runtime.errors import BundleError
from tests.helpers.runtime_bundles import ROLES, make_manifest

FACTS = EngineFacts("c.sm86.engine", "c.sm86.log", "0" * 64, "TensorRT-RTX 1.7.1.116", "8.6")


def manifest_of(*engines, **more):
    roles = dict(ROLES, **{engine.path: "engine" for engine in engines})
    roles.update({engine.log: "log" for engine in engines})
    roles.update(more)
    artefacts = tuple(Artefact(path, role, "0" * 64, 1) for path, role in sorted(roles.items()))
    return make_manifest()._replace(artefacts=artefacts, engines=tuple(engines))


def test_engines_survive_writing_and_reading():
    manifest = manifest_of(FACTS)
    data = to_json_bytes(manifest)
    assert from_json_bytes(data) == manifest
    assert to_json_bytes(from_json_bytes(data)) == data


def test_without_engines_the_field_is_not_written():
    data = to_json_bytes(manifest_of())
    assert "engines" not in json.loads(data.decode())
    assert from_json_bytes(data).engines == ()


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (manifest_of(FACTS, **{FACTS.path: "model"}), r"'engines\[0\].path': expected an artefact of role engine"),
        (manifest_of(FACTS, **{FACTS.log: "engine"}), r"'engines\[0\].log': expected an artefact of role log"),
        (manifest_of(FACTS)._replace(engines=(FACTS._replace(path="no"),)), r"'engines\[0\].path'.*found \"no\""),
        (manifest_of(FACTS)._replace(engines=(FACTS, FACTS)), "'c.sm86.engine' appears twice"),
        (manifest_of(**{"other.engine": "engine"}), "an entry for artefact other.engine, of role engine"),
        (manifest_of(**{"other.log": "log"}), "an entry for artefact other.log, of role log"),
        (manifest_of(FACTS._replace(model_sha256="x")), "64 hexadecimal digits"),
        (manifest_of(FACTS._replace(builder="")), "a non-empty string"),
    ],
)
def test_what_contradicts_itself_is_refused(manifest, said):
    with pytest.raises(BundleError, match=said):
        from_json_bytes(to_json_bytes(manifest))


@pytest.mark.parametrize("role", ["engine", "log", "policy"])
def test_no_cut_runs_an_engine_as_a_model(role):
    manifest = manifest_of(FACTS, **{"cloud.onnx": role})
    with pytest.raises(BundleError, match=r"cuts\[0\].cloud': expected a model|an entry for artefact cloud.onnx"):
        from_json_bytes(to_json_bytes(manifest))
