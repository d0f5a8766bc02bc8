"""The bundle of `online_bundles` whose halves are one model each: nothing can be quantized again. Python 3.6-clean."""

from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Chain
from tests.helpers.online_bundles import engine_for, make_online_bundle


def make_whole_bundle(path):
    """Cut "one" over device.onnx and cloud.onnx."""
    shared = make_online_bundle(str(path) + ".shared")
    manifest = shared.manifest
    one, alone = manifest.cuts
    one = one._replace(device="device.onnx", cloud="cloud.onnx", before=(), after=())
    alone = alone._replace(device="model.onnx", before=())
    files = {"device.onnx": b"the device half", "cloud.onnx": b"the cloud half", "model.onnx": b"the whole model"}
    roles = {"device.onnx": "device", "cloud.onnx": "cloud", "model.onnx": "model"}
    for name in ("one.policy", "alone.policy"):
        files[name], roles[name] = shared.read(name), "policy"
    return write_bundle(str(path), manifest._replace(cuts=(one, alone)), files, roles)


def whole_engine_for(data, providers=()):
    parts = {
        b"the device half": (b"first", b"device one"),
        b"the cloud half": (b"cloud one", b"second", b"last"),
        b"the whole model": (b"first", b"second", b"last"),
    }
    chain = Chain([engine_for(part) for part in parts[data]])
    return FakeEngine(chain.run, chain.input_names, chain.output_names)
