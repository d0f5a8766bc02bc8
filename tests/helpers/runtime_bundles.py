"""A small bundle whose halves are plain numpy, and servers for it. Python 3.6-clean.

The model multiplies an image (1, 3, 4, 4) by a fixed matrix: five scores. Its "artefacts" are names that
`fake_engine_for` turns into functions, so neither onnx nor an engine is needed.
"""

import http.server
import socketserver
import threading

import numpy as np

from coachc.runtime.bundle.manifest_types import (
    Cut,
    CutValue,
    Layout,
    Level,
    Manifest,
    ModelInfo,
    Preprocess,
    TensorSpec,
)
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Engines, cloud_engine

SHAPE = (1, 3, 4, 4)
SCALE, ZERO_POINT, BITS = 0.25, 3, 4
WEIGHTS = np.random.RandomState(7).randn(48, 5).astype(np.float32)
PREPROCESS = Preprocess((4, 4), "bilinear", "rgb", "nchw", 255.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
FILES = {"model.onnx": b"the whole model", "device.onnx": b"the device half", "cloud.onnx": b"the cloud half"}
FILES["raw.onnx"] = b"the input as it is"
ROLES = {"model.onnx": "model", "device.onnx": "device", "cloud.onnx": "cloud", "raw.onnx": "device"}


PLAIN = Layout()
# One level per tensor, one per channel, the chosen one, and a fine one.
LEVELS = (
    Level(2, (1.0,), (1,)),
    Level(3, (0.5, 0.75, 0.625), (2, 3, 4)),
    Level(BITS, (SCALE,), (ZERO_POINT,)),
    Level(8, (1 / 64,), (128,)),
)


def make_manifest(
    name="tiny", bits=BITS, shape=SHAPE, chosen="middle", levels=(), layout=PLAIN, parameters="", features=()
):
    """`parameters`: of both halves of the cut "middle"; `levels`: by default one, at `bits`."""
    levels = levels or (Level(bits, (SCALE,), (ZERO_POINT,)),)
    packed = CutValue("features", "float32", shape, "packed", bits, levels, "features_codes", layout)
    raw = CutValue("input", "float32", shape, "raw", 32, (), "input")
    jpeg = CutValue("input", "float32", shape, "jpeg", 8, (), "input", quality=95)
    how = (parameters, parameters, features)
    outputs = (TensorSpec("scores", "float32", (shape[0], 5)),)
    cuts = [
        Cut("middle", "split", "device.onnx", "cloud.onnx", (packed,), (), ("scores",), *how),
        Cut("device-only", "device-only", "model.onnx", None, (), ("scores",), ()),
        Cut("raw", "cloud-raw", "raw.onnx", "model.onnx", (raw,), (), ("scores",)),
    ]
    if shape[0] == 1:
        cuts.append(Cut("jpeg", "cloud-jpeg", None, "model.onnx", (jpeg,), (), ("scores",)))
    return Manifest(
        producer="coachc test",
        calibration="calibrated",
        model=ModelInfo(name, "0" * 64, 13, (TensorSpec("input", "float32", shape),), outputs),
        device={"name": "tx2"},
        cloud={"name": "a6000"},
        link={"bandwidth_bytes_per_s": 2.5e6},
        preprocess=PREPROCESS,
        classes=("a", "b", "c", "d", "e"),
        cuts=tuple(cuts),
        chosen=chosen,
        plan={"period_s": 0.01},
    )


def make_bundle(path, **options):
    return write_bundle(str(path), make_manifest(**options), FILES, ROLES)


def whole_model(x):
    return x.reshape(x.shape[0], -1).dot(WEIGHTS)


def fake_engine_for(data, providers=()):
    functions = {
        b"the whole model": lambda feed: {"scores": whole_model(feed["input"])},
        b"the device half": lambda feed: {"features_codes": quantize(feed["input"], *quantizer_of(feed, True))},
        b"the cloud half": lambda feed: {
            "scores": whole_model(dequantize(feed["features_codes"], *quantizer_of(feed, False)))
        },
        b"the input as it is": dict,
    }
    return FakeEngine(functions[data])


def quantizer_of(feed, with_bits):
    """Scale, zero point and, if asked for, bits: constants, or what a half whose quantizers are inputs is fed."""
    if "features/scale" not in feed:
        return (SCALE, ZERO_POINT, BITS)[: 2 + with_bits]
    scale, zero_point = [feed["features/" + name].reshape(-1) for name in ("scale", "zero_point")]
    assert sorted(feed) == sorted(
        ["features/scale", "features/zero_point"] + (["features/qmax", "input"] if with_bits else ["features_codes"])
    )
    return (
        (scale, zero_point, int(feed["features/qmax"].reshape(())).bit_length()) if with_bits else (scale, zero_point)
    )


def make_service(bundle, cut=None, engine=None):
    wanted = bundle.manifest.cut(cut)
    return Service(bundle, wanted, engine or fake_engine_for(bundle.read(wanted.cloud)))


def make_services(bundle):
    """All cuts with a cloud half, the chosen one first."""
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    cuts.sort(key=lambda cut: cut.name != bundle.manifest.chosen)
    engines = Engines(bundle, fake_engine_for)
    names = [bundle.served_name_of(cut) for cut in cuts]
    return Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in cuts])


class Loopback:
    """A service, or services, behind the standard library's HTTP server, on a free port; one thread a connection."""

    def __init__(self, service, port=0):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it Nagle's algorithm holds the body back until the headers are acknowledged.
            disable_nagle_algorithm = True

            def do_GET(self):
                self.answer()

            def do_POST(self):
                self.answer()

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                there = service.at(self.path)
                response = there.refuse(self.command, self.path, length)
                body = self.rfile.read(length)
                if response is None:
                    response = there.infer(dict(self.headers.items()), body)
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # a device that gives up mid-request is part of the tests

        self._server = Server(("127.0.0.1", port), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
