"""The machine as the probes see it: files, commands, modules, the CUDA driver. Nothing here raises.

Modules and the CUDA driver are tried in a child process, because some of them end the process that loads them: numpy
1.19.5 dies of an illegal instruction on Jetsons, a half-installed driver may hang.
"""

import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

LIMIT_BYTES = 1 << 20
COMMAND_S, CHILD_S = 20.0, 120.0
#: Where programs are that a user's PATH may not name: nvpmodel, jetson_clocks, ldconfig.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")


class Ran(NamedTuple):
    """A command that ran: its exit code (negative: the signal that ended it) and both streams."""

    code: int
    out: str
    err: str


class Module(NamedTuple):
    """A Python module that is installed.

    Attributes
    ----------
    version : str
        Empty where it states none.
    error : str
        Why it cannot be imported; empty if it can.
    crashed : bool
        Importing it ended the process.
    facts : dict
        What else was asked of it: "providers", "session", "distributions" of ONNX Runtime.
    """

    version: str = ""
    error: str = ""
    crashed: bool = False
    facts: Dict[str, Any] = {}


class CudaDevice(NamedTuple):
    """One GPU, as the driver states it."""

    name: str
    compute_capability: str
    memory_bytes: int


class CudaDriver(NamedTuple):
    """The CUDA driver, libcuda.

    Attributes
    ----------
    installed : bool
        There is one.
    version : str
        Newest CUDA it runs, such as "12.6".
    devices : tuple of CudaDevice
    error : str
        What it said instead of listing them.
    """

    installed: bool
    version: str = ""
    devices: Tuple[CudaDevice, ...] = ()
    error: str = ""


class Disk(NamedTuple):
    """Where a folder is or would be made: the nearest parent that exists, its free bytes, whether it can be written."""

    path: str
    free_bytes: int
    writable: bool


class System:
    """This machine.

    Attributes
    ----------
    python : tuple of int
        Version of this interpreter.
    interpreter : str
        How to call it in a shell.
    arch : str
        Such as "aarch64".
    """

    def __init__(self) -> None:
        self.python = tuple(sys.version_info[:3])  # type: Tuple[int, ...]
        self.interpreter = _interpreter()
        self.arch = platform.machine()
        self._packages = None  # type: Optional[Dict[str, str]]
        self._libraries = None  # type: Optional[Tuple[str, ...]]
        self._modules = {}  # type: Dict[str, Optional[Module]]
        self._cuda = None  # type: Optional[CudaDriver]

    def read(self, path: str) -> Optional[str]:
        """A text file; None where it cannot be read. Device trees end their strings with NUL: dropped."""
        try:
            with open(path, "rb") as stream:
                return stream.read(LIMIT_BYTES).decode("utf-8", "replace").replace("\0", "\n").strip()
        except OSError:
            return None

    def glob(self, pattern: str) -> List[str]:
        """Paths that fit, sorted."""
        return sorted(glob.glob(pattern))

    def run(self, *command: str) -> Optional[Ran]:
        """Run a program; None where there is none, or it takes too long."""
        found = self.which(command[0])
        return _run((found,) + command[1:], COMMAND_S) if found else None

    def which(self, program: str, everywhere: bool = True) -> Optional[str]:
        """Where a program is: on the PATH, and in the system's folders if `everywhere`."""
        path = os.environ.get("PATH", os.defpath)
        if everywhere:
            path = os.pathsep.join((path,) + SYSTEM_FOLDERS)
        return shutil.which(program, path=path)

    def packages(self) -> Dict[str, str]:
        """Debian packages that are installed, and their versions; none where there is no dpkg."""
        if self._packages is None:
            ran = self.run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n")
            rows = [line.split() for line in ran.out.splitlines()] if ran is not None else []
            self._packages = {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}
        return self._packages

    def libraries(self) -> Tuple[str, ...]:
        """File names of the shared libraries the loader knows."""
        if self._libraries is None:
            ran = self.run("ldconfig", "-p")
            lines = ran.out.splitlines()[1:] if ran is not None else []
            self._libraries = tuple(sorted({line.split()[0] for line in lines if " => " in line}))
        return self._libraries

    def module(self, name: str) -> Optional[Module]:
        """Import a module in a process of its own; None where it is not installed."""
        if name not in self._modules:
            self._modules[name] = self._try_module(name)
        return self._modules[name]

    def cuda(self) -> CudaDriver:
        """Ask the CUDA driver for its devices, in a process of its own."""
        if self._cuda is None:
            found, ran = self._child(CUDA_SCRIPT)
            if found is None:
                what = "it could not be asked" if ran is None else _last_words(ran)
                self._cuda = CudaDriver(True, error=what)
            else:
                devices = tuple(CudaDevice(*row) for row in found["devices"])
                self._cuda = CudaDriver(found["installed"], found["version"], devices, found["error"])
        return self._cuda

    def disk(self, folder: str) -> Disk:
        """Room for a folder that may not be there yet."""
        path = os.path.abspath(os.path.expanduser(folder))
        while not os.path.isdir(path) and os.path.dirname(path) != path:
            path = os.path.dirname(path)
        try:
            free = shutil.disk_usage(path).free
        except OSError:
            return Disk(path, 0, False)
        return Disk(path, free, os.access(path, os.W_OK | os.X_OK))

    def groups(self) -> Tuple[str, ...]:
        """Groups of this user; "root" stands for the right to all devices."""
        if not hasattr(os, "geteuid"):
            return ()
        ran = self.run("id", "-nG")
        names = tuple(ran.out.split()) if ran is not None else ()
        return names + (("root",) if os.geteuid() == 0 else ())

    def _try_module(self, name: str) -> Optional[Module]:
        found, ran = self._child(MODULE_SCRIPT, name)
        if found is None:
            return Module(error="it could not be tried" if ran is None else _last_words(ran), crashed=ran is not None)
        if found.pop("missing", False):
            return None
        if "providers" in found:
            found["log"] = ran.err[-4000:] if ran is not None else ""
        return Module(found.pop("version", ""), found.pop("error", ""), False, found)

    def _child(self, script: str, *arguments: str) -> Tuple[Optional[Dict[str, Any]], Optional[Ran]]:
        """What a script of ours printed as its last line; None where it did not get that far."""
        # Not in this folder: `python -c` looks for modules where it is started.
        with tempfile.TemporaryDirectory() as folder:
            ran = _run((sys.executable or "python3", "-c", script) + arguments, CHILD_S, folder)
        if ran is None or ran.code:
            return None, ran
        try:
            found = json.loads(ran.out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return None, ran
        return (found if isinstance(found, dict) else None), ran


def _run(command: Tuple[str, ...], limit_s: float, folder: Optional[str] = None) -> Optional[Ran]:
    environment = dict(os.environ, LC_ALL="C", PYTHONIOENCODING="utf-8")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
        )
    except (OSError, ValueError):
        return None
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return Ran(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _last_words(ran: Ran) -> str:
    """How a child ended, in a few words."""
    if ran.code < 0:
        return {-4: "illegal instruction", -11: "segmentation fault", -6: "aborted"}.get(
            ran.code, "ended by signal {}".format(-ran.code)
        )
    lines = ran.err.strip().splitlines()
    return lines[-1][:200] if lines else "exit code {}".format(ran.code)


def _interpreter() -> str:
    """`python3` where that is this interpreter, else its path."""
    named = shutil.which("python3")
    if not sys.executable or (named is not None and os.path.abspath(named) == os.path.abspath(sys.executable)):
        return "python3"
    return sys.executable


MODULE_SCRIPT = """
import glob, json, os, sys

name = sys.argv[1]
found = {}
try:
    module = __import__(name)
    found["version"] = str(getattr(module, "__version__", "") or getattr(module, "VERSION_TEXT", ""))
except ImportError as exc:
    found["missing"] = isinstance(exc, ModuleNotFoundError) and exc.name == name.split(".")[0]
    found["error"] = str(exc) or type(exc).__name__
except BaseException as exc:
    found["error"] = type(exc).__name__ + ": " + str(exc)
if name == "onnxruntime":
    found["distributions"] = sorted({
        os.path.basename(path).split("-")[0].replace("_", "-")
        for folder in sys.path
        for path in glob.glob(os.path.join(folder, "onnxruntime*-info"))
    })
    found["providers"] = []
    try:
        found["providers"] = list(module.get_available_providers())
        # y = Relu(x), opset 13
        model = bytes.fromhex(
            "08073a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a0808011204"
            "0a02080142040a00100d"
        )
        wanted = [name for name in found["providers"] if name != "TensorrtExecutionProvider"]
        found["session"] = list(module.InferenceSession(model, providers=wanted).get_providers())
    except Exception as exc:
        found.setdefault("error", type(exc).__name__ + ": " + str(exc))
print()
print(json.dumps(found))
"""

CUDA_SCRIPT = """
import ctypes, json

found = {"installed": False, "version": "", "devices": [], "error": ""}

def ask(lib):
    def check(code):
        if code:
            text = ctypes.c_char_p()
            known = lib.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value
            raise RuntimeError("{} ({})".format(text.value.decode() if known else "CUDA error", code))
    number = ctypes.c_int()
    if lib.cuDriverGetVersion(ctypes.byref(number)) == 0:
        found["version"] = "{}.{}".format(number.value // 1000, number.value % 1000 // 10)
    check(lib.cuInit(0))
    check(lib.cuDeviceGetCount(ctypes.byref(number)))
    for index in range(number.value):
        device, name, total = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
        check(lib.cuDeviceGet(ctypes.byref(device), index))
        check(lib.cuDeviceGetName(name, 256, device))
        check(lib.cuDeviceTotalMem_v2(ctypes.byref(total), device))
        parts = []
        for attribute in (75, 76):
            value = ctypes.c_int()
            check(lib.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
            parts.append(str(value.value))
        found["devices"].append([name.value.decode("utf-8", "replace"), ".".join(parts), total.value])

try:
    lib = ctypes.CDLL("libcuda.so.1")
    found["installed"] = True
    ask(lib)
except Exception as exc:
    found["error"] = str(exc)
print()
print(json.dumps(found))
"""
