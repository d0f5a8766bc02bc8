"""A real Triton server with its Python backend, from the wheel that carries one; no GPU. Python 3.6-clean.

`make test-triton` fetches the wheel into `.triton`.
"""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WHEEL = os.path.join(ROOT, ".triton", "wheel")
SERVER = os.path.join(WHEEL, "pytriton", "tritonserver")
STUB = "triton_python_backend_stub"
START_S = 60.0

#: Adds up what it is sent.
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            # Not as_numpy() and Tensor(...): built for NumPy 1, they misread arrays of NumPy 2.
            codes = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "features/codes"))
            sums = np.float32([[codes.sum(dtype=np.int64), codes.size]])
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("scores", sums)]))
        return answers
"""
CONFIG = """
name: "sums"
backend: "python"
max_batch_size: 0
input [ { name: "features/codes" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 1, 2 ] } ]
"""


def missing():
    """What keeps it from running here; empty if nothing does."""
    if not os.path.exists(SERVER):
        return "the wheel of nvidia-pytriton: make test-triton"
    if not os.path.exists(os.path.join(SERVER, "python_backend_stubs", _python(), STUB)):
        return f"a Triton whose Python backend knows Python {_python()}"
    return ""


def _python():
    return "{}.{}".format(*sys.version_info[:2])


@contextlib.contextmanager
def triton(folder):
    """Its address while it serves the model "sums" from a folder."""
    folder = str(folder)
    backends = os.path.join(folder, "backends")
    shutil.copytree(os.path.join(SERVER, "backends"), backends)
    shutil.copy(os.path.join(SERVER, "python_backend_stubs", _python(), STUB), os.path.join(backends, "python", STUB))
    program = os.path.join(folder, "tritonserver")
    shutil.copy(os.path.join(SERVER, "bin", "tritonserver"), program)
    for path in (program, os.path.join(backends, "python", STUB)):
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    version = os.path.join(folder, "models", "sums", "1")
    os.makedirs(version)
    with open(os.path.join(version, "model.py"), "w") as stream:
        stream.write(MODEL)
    with open(os.path.join(folder, "models", "sums", "config.pbtxt"), "w") as stream:
        stream.write(CONFIG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    libraries = [os.path.join(WHEEL, "nvidia_pytriton.libs"), os.path.join(sys.base_prefix, "lib")]
    command = [
        program, "--model-repository=" + os.path.join(folder, "models"), "--backend-directory=" + backends,
        "--http-address=127.0.0.1", f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false",
    ]  # fmt: skip
    # The backend looks for NumPy in what its Python finds.
    environment = dict(os.environ, LD_LIBRARY_PATH=os.pathsep.join(libraries), PYTHONPATH=os.pathsep.join(sys.path))
    with open(os.path.join(folder, "log"), "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/health/ready", process, os.path.join(folder, "log"))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url, process, log):
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(url, timeout=1).status == 200:
                return
        time.sleep(0.1)
    with open(log, errors="replace") as stream:
        raise AssertionError("Triton has not started:\n" + stream.read()[-3000:])
