"""The kernels' source through NVIDIA's own compiler, which needs no GPU: nvrtc, of a CUDA or of PyPI.

`pip install nvidia-cuda-nvrtc-cu12==12.9.86` (90 MB) is the last that knows the Jetsons before Orin.
"""

import ctypes
import ctypes.util
import glob
import importlib.util
import os
import re

import pytest

from coachc.runtime.engines.kernels import translation_unit

KERNELS = set(re.findall(r"__global__ void (\w+)", translation_unit()))

#: Compute capability -> what has it; those the containers compile for, and the common servers'.
ARCHITECTURES = {
    53: "Nano",
    62: "TX2",
    72: "Xavier",
    87: "Orin",
    75: "T4",
    80: "A100",
    86: "A6000",
    89: "L4",
    90: "H100",
}


def find_nvrtc():
    """Path or name of the library, of the oldest CUDA, which knows the most Jetsons; empty if there is none."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    patterns = [os.path.join(folder, "*", "lib", "libnvrtc.so.*") for folder in folders]
    patterns.append("/usr/local/cuda*/targets/*/lib/libnvrtc.so.*")
    found = [path for pattern in patterns for path in glob.glob(pattern) if ".alt." not in path]
    if not found:
        return ctypes.util.find_library("nvrtc") or ""
    return min(found, key=lambda path: [int(part) for part in path.rpartition(".so.")[2].split(".")])


class Nvrtc:
    """What is needed of nvrtc.h."""

    def __init__(self, path):
        self._library = ctypes.CDLL(path)
        count = ctypes.c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self._call("GetSupportedArchs", known)
        self.architectures = set(known)

    def _call(self, name, *arguments):
        result = getattr(self._library, "nvrtc" + name)(*arguments)
        assert result == 0, (name, result)

    def _text(self, program, name):
        size = ctypes.c_size_t()
        self._call("Get{}Size".format(name), program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call("Get" + name, program, text)
        return text.raw

    def compile(self, source, architecture, *flags):
        """The binary ("sm_62") or the assembly ("compute_62"), and what the compiler said."""
        program = ctypes.c_void_p()
        self._call("CreateProgram", ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
        options = [flag.encode() for flag in ("--gpu-architecture=" + architecture,) + flags]
        array = (ctypes.c_char_p * len(options))(*options)
        result = self._library.nvrtcCompileProgram(program, len(options), array)
        log = self._text(program, "ProgramLog").rstrip(b"\0").decode()
        assert result == 0, log
        made = self._text(program, "CUBIN" if architecture.startswith("sm_") else "PTX")
        self._call("DestroyProgram", ctypes.byref(program))
        return made, log


@pytest.fixture(scope="module")
def nvrtc():
    path = find_nvrtc()
    if not path:
        pytest.skip("needs nvrtc: pip install nvidia-cuda-nvrtc-cu12==12.9.86")
    return Nvrtc(path)


@pytest.mark.parametrize("number", ARCHITECTURES, ids=ARCHITECTURES.get)
def test_nvidias_compiler_takes_the_kernels_without_a_warning(nvrtc, number):
    if number not in nvrtc.architectures:
        pytest.skip("needs an nvrtc that knows sm_{}".format(number))
    binary, log = nvrtc.compile(translation_unit(), "sm_{}".format(number))
    # That an architecture is an old one is not about the source.
    said = [line for line in log.splitlines() if line and "Architectures prior to" not in line]
    assert not said
    assert binary[:4] == b"\x7fELF"
    # By their own names, as `get_function` asks for them.
    assert {name.decode() for name in re.findall(rb"\.text\.(\w+)", binary)} == KERNELS


@pytest.mark.parametrize("flags", [(), ("--use_fast_math",)], ids=["plain", "fast"])
def test_no_flag_makes_another_number(nvrtc, flags):
    oldest = min(nvrtc.architectures & set(ARCHITECTURES))
    assembly = nvrtc.compile(translation_unit(), "compute_{}".format(oldest), *flags)[0].decode()
    divisions = re.findall(r"\bdiv\.[\w.]*f32\b", assembly)
    assert divisions
    # Divided and rounded to nearest, never a multiplication by 1 / scale; and nothing fused.
    assert set(divisions) <= {"div.rn.f32", "div.rn.ftz.f32"}
    assert not re.findall(r"\b(?:fma|mad|mul|rcp)\.[\w.]*f32\b", assembly)


def test_a_warning_would_be_seen(nvrtc):
    unused = translation_unit() + '\nextern "C" __global__ void spare(int *out) { int never; *out = 1; }\n'
    log = nvrtc.compile(unused, "sm_{}".format(max(nvrtc.architectures & set(ARCHITECTURES))))[1]
    assert "never" in log
