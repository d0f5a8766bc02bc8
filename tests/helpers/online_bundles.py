"""A bundle of two nested cuts with online policies whose segments and edges are plain numpy. Python 3.6-clean.

The model: b = input + 1, c = 2 b, scores = W mean(c). Cut "one" sends b, cut "two" sends c; both exit by a head that is
the model's own, so an exit with a margin has the model's answer.
"""

import threading
import time

import numpy as np

from coachc.runtime.bundle.manifest_types import Cut, CutValue, Level, TensorSpec
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Engines, cloud_engine
from coachc.runtime.online.policy import ExitRule, Policy
from coachc.runtime.online.policy_file import encode_policies
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import Scorer
from tests.helpers.runtime_bundles import make_manifest

SIDE = 48
SHAPE = (1, 3, SIDE, SIDE)
BITS = (2, 4, 8)
BASE = 1
WEIGHTS = np.random.RandomState(3).randn(5, 3).astype(np.float32)
SEGMENTS = {
    b"first": (("input",), lambda feed: {"b": feed["input"] + np.float32(1)}),
    b"second": (("b",), lambda feed: {"c": feed["b"] * np.float32(2)}),
    b"last": (("c",), lambda feed: {"scores": feed["c"].mean(axis=(2, 3)).dot(WEIGHTS.T)}),
}
SENT = {"one": "b", "two": "c"}
FACTOR = {"one": 2.0, "two": 1.0}
LEVELS = tuple(Level(bits, (16.0 / 2**bits,), (2 ** (bits - 1),)) for bits in BITS)


def engine_for(data, providers=()):
    """Segments by name; "device one" and "cloud one" are the edges of cut one."""
    if data in SEGMENTS:
        inputs, function = SEGMENTS[data]
        made = sorted(function(dict.fromkeys(inputs, np.zeros(SHAPE, np.float32))))
        return FakeEngine(function, inputs, made)
    side, cut = data.decode().split()
    name = SENT[cut]
    codes, scale, zero_point = name + "/codes", name + "/scale", name + "/zero_point"

    def device(feed):
        depth = int(feed[name + "/qmax"]).bit_length()
        return {
            codes: quantize(feed[name], feed[scale].reshape(-1), feed[zero_point].reshape(-1), depth),
            name + "/feature": feed[name].mean(axis=(2, 3)),
        }

    def cloud(feed):
        return {name: dequantize(feed[codes], feed[scale].reshape(-1), feed[zero_point].reshape(-1))}

    if side == "device":
        return FakeEngine(device, (name, scale, zero_point, name + "/qmax"), (codes, name + "/feature"))
    return FakeEngine(cloud, (codes, scale, zero_point), (name,))


def inputs(count, seed=0):
    """Rows whose channel means differ, so that some are easy and some are not."""
    rng = np.random.RandomState(seed)
    means = 1.5 * rng.randn(count, 3, 1, 1)
    return (means + 0.1 * rng.randn(count, *SHAPE[1:])).astype(np.float32)


def whole_model(x):
    return (2 * (x + 1)).mean(axis=(2, 3)).dot(WEIGHTS.T)


def labels_at(x, cut, rung):
    """What the server says of rows at a precision of a cut."""
    level = LEVELS[rung]
    sent = (x + 1) * (1 if cut == "one" else 2)
    back = dequantize(quantize(sent, level.scale, level.zero_point, level.bits), level.scale, level.zero_point)
    return (back * np.float32(FACTOR[cut])).mean(axis=(2, 3)).dot(WEIGHTS.T).argmax(axis=1)


def policy_of(name, cut, threshold=4.0, device_s=0.02, adjust=(2.0,), exits=True):
    """A head on the feature of a cut; its scores are margins of the model's own logits."""
    scorer = Scorer(
        "head",
        tuple(range(5)),
        WEIGHTS * np.float32(FACTOR[cut]),
        np.zeros(5, np.float32),
        np.zeros(3, np.float32),
    )
    none = np.zeros(0, np.float32)
    # Any share of wrong answers is as promised, so that no test of drift ends the exits.
    rule = ExitRule(scorer, (threshold,), 1.0, threshold / 2, 1.0, none, none)
    rungs = tuple(Rung((bits,), SIDE * SIDE * 3 * bits / 8 + 2.0) for bits in BITS)
    return Policy(
        name, cut, rule if exits else None, None, rungs, BASE, adjust + (-float("inf"),) * 2, device_s, device_s / 10
    )


def alone_policy(name, device_s=0.05):
    return Policy(name, "device-only", None, None, (), 0, (), device_s, 0.0)


def make_online_bundle(
    path, change=dict, cuts=("one",), policies=policy_of, edges=True, alone_s=0.05, precision="fp32"
):
    """A bundle of some cuts and device-only; `change` may put other bytes in the place of its files."""
    names = ("first.onnx", "second.onnx", "last.onnx")
    files = {name: name[:-5].encode() for name in names}
    roles = dict.fromkeys(names, "segment")
    found = []
    for behind, cut in enumerate(("one", "two"), 1):
        if cut not in cuts:
            continue
        value = CutValue(SENT[cut], "float32", SHAPE, "packed", BITS[BASE], LEVELS, SENT[cut] + "/codes")
        for side in ("device", "cloud"):
            files[side + "-" + cut] = f"{side} {cut}".encode()
            roles[side + "-" + cut] = side
        files[cut + ".policy"] = encode_policies({name: policies(name, cut) for name in ("none", "paper", "default")})
        found.append(
            Cut(
                cut, "split", "device-" + cut, "cloud-" + cut, (value,), (), ("scores",), "qdq", "qdq",
                (SENT[cut] + "/feature",), names[:behind], names[behind:], cut + ".policy",
            )
        )  # fmt: skip
    files["alone.policy"] = encode_policies(
        {name: alone_policy(name, alone_s) for name in ("none", "paper", "default")}
    )
    found.append(
        Cut("device-only", "device-only", "last.onnx", None, (), ("scores",), (), "", "", (), names[:2], (),
            "alone.policy")
    )  # fmt: skip
    roles.update({name: "policy" for name in files if name.endswith(".policy")})
    manifest = make_manifest()
    model = manifest.model._replace(
        inputs=(TensorSpec("input", "float32", SHAPE),), outputs=(TensorSpec("scores", "float32", (1, 5)),)
    )
    manifest = manifest._replace(
        cuts=tuple(found), chosen=cuts[0], preprocess=None, model=model, device={"precision": precision}
    )
    return write_bundle(str(path), manifest, dict(files, **change(files)), roles)


class Watched:
    """A service, or services, that counts requests by cut; may be slow as a link is, or dead.

    `bytes_per_s` holds each body up for its size, one after the other; `dead` drops every connection.
    """

    def __init__(self, service, bytes_per_s=None, says=None):
        self._service, self._says = service, says
        self.bytes_per_s = bytes_per_s
        self.dead = False
        self.requests = 0
        self._link = threading.Lock()

    def at(self, path):
        if self.dead:
            raise ConnectionResetError("dead")
        return _One(self, self._service.at(path))

    def hold_up(self, size):
        with self._link:
            self.requests += 1
            if self.bytes_per_s is not None:
                time.sleep(size / self.bytes_per_s)

    def answer(self, response):
        if self._says is None:
            return response
        return response._replace(headers=dict(response.headers, **{"Server-Timing": self._says}))


class _One:
    def __init__(self, watched, service):
        self._watched, self._service = watched, service

    def refuse(self, *request):
        return self._service.refuse(*request)

    def infer(self, headers, body):
        self._watched.hold_up(len(body) + 300)
        if self._watched.dead:
            raise ConnectionResetError("dead")
        return self._watched.answer(self._service.infer(headers, body))


def serve(bundle, **options):
    """All cuts of a bundle with a cloud half, watched."""
    engines = Engines(bundle, engine_for)
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    names = [bundle.served_name_of(cut) for cut in cuts]
    return Watched(Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in cuts]), **options)
