"""Engines and models in half precision in a manifest: what each is for, and that none is taken for a model."""

import json

import pytest

from coachc.runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from coachc.runtime.bundle.manifest_types import Artefact, EngineFacts, HalfPrecision
from coachc.runtime.errors import BundleError
from tests.helpers.runtime_bundles import ROLES, make_manifest

FACTS = EngineFacts("c.sm86.engine", "c.sm86.log", "0" * 64, "TensorRT-RTX 1.7.1.116", "8.6")


HALF = HalfPrecision("cloud.fp16.onnx", "0" * 64)


def manifest_of(*engines, **more):
    halves = tuple(given for given in engines if isinstance(given, HalfPrecision))
    engines = tuple(given for given in engines if isinstance(given, EngineFacts))
    roles = dict(ROLES, **{engine.path: "engine" for engine in engines})
    roles.update({engine.log: "log" for engine in engines})
    roles.update({half.path: "half-precision" for half in halves})
    roles.update(more)
    artefacts = tuple(Artefact(path, role, "0" * 64, 1) for path, role in sorted(roles.items()))
    return make_manifest()._replace(artefacts=artefacts, engines=engines, half_precision=halves)


@pytest.mark.parametrize("given", [(FACTS,), (HALF,), (FACTS, HALF)])
def test_they_survive_writing_and_reading(given):
    manifest = manifest_of(*given)
    data = to_json_bytes(manifest)
    assert from_json_bytes(data) == manifest
    assert to_json_bytes(from_json_bytes(data)) == data


def test_without_engines_the_field_is_not_written():
    data = to_json_bytes(manifest_of())
    assert not {"engines", "half_precision"} & set(json.loads(data.decode()))
    assert (from_json_bytes(data).engines, from_json_bytes(data).half_precision) == ((), ())


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (manifest_of(FACTS, **{FACTS.path: "model"}), r"'engines\[0\].path': expected an artefact of role engine"),
        (manifest_of(FACTS, **{FACTS.log: "engine"}), r"'engines\[0\].log': expected an artefact of role log"),
        (manifest_of(FACTS)._replace(engines=(FACTS._replace(path="no"),)), r"'engines\[0\].path'.*found \"no\""),
        (manifest_of(FACTS)._replace(engines=(FACTS, FACTS)), "'c.sm86.engine' appears twice"),
        (manifest_of(**{"other.engine": "engine"}), "an entry for artefact other.engine, of role engine"),
        (manifest_of(**{"other.log": "log"}), "an entry for artefact other.log, of role log"),
        (
            manifest_of(HALF, **{HALF.path: "cloud"}),
            r"half_precision\[0\].path': expected an artefact of role half",
        ),
        (manifest_of(HALF)._replace(half_precision=(HALF, HALF)), "'cloud.fp16.onnx' appears twice"),
        (manifest_of(**{"o.onnx": "half-precision"}), "an entry for artefact o.onnx, of role half-precision"),
        (manifest_of(FACTS._replace(model_sha256="x")), "64 hexadecimal digits"),
        (manifest_of(FACTS._replace(builder="")), "a non-empty string"),
    ],
)
def test_what_contradicts_itself_is_refused(manifest, said):
    with pytest.raises(BundleError, match=said):
        from_json_bytes(to_json_bytes(manifest))


@pytest.mark.parametrize("role", ["engine", "log", "policy", "half-precision"])
def test_no_cut_runs_an_engine_as_a_model(role):
    manifest = manifest_of(FACTS, **{"cloud.onnx": role})
    with pytest.raises(BundleError, match=r"cuts\[0\].cloud': expected a model|an entry for artefact cloud.onnx"):
        from_json_bytes(to_json_bytes(manifest))
