"""The CUDA kernels of `runtime.engines.kernels`, compiled by the host's compiler and run thread by thread.

Python 3.6-clean.
"""

import ctypes
import os
import re
import subprocess

import numpy as np

from coachc.runtime.engines import kernels

SHIM = """
#include <math.h>
#define __global__
#define __device__
typedef struct { unsigned x, y, z; } dim3_t;
static dim3_t threadIdx, blockIdx, blockDim, gridDim;
/* Rounded to nearest, one operation at a time: what these intrinsics promise on a GPU. */
static float __fdiv_rn(float a, float b) { volatile float r = a / b; return r; }
static float __fadd_rn(float a, float b) { volatile float r = a + b; return r; }
"""

LOOP = """
void host_{name}(unsigned grid, unsigned block, {parameters})
{{
    gridDim.x = grid; blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x)
            {name}({arguments});
}}
"""


class HostKernels:
    """Kernels by name: ``run(name, grid, block, *arguments)`` with numpy arrays for pointers, None for null."""

    def __init__(self, folder, compiler="gcc"):
        text = SHIM + kernels.SOURCE
        self.signatures = {}
        for name, listed in re.findall(r"__global__ void (\w+)\(([^)]*)\)", kernels.SOURCE):
            parameters = [" ".join(part.split()) for part in listed.split(",")]
            names = [re.split(r"[ *]", parameter)[-1] for parameter in parameters]
            self.signatures[name] = parameters
            text += LOOP.format(name=name, parameters=", ".join(parameters), arguments=", ".join(names))
        source, library = os.path.join(str(folder), "kernels.c"), os.path.join(str(folder), "kernels.so")
        with open(source, "w") as stream:
            stream.write(text)
        flags = ["-std=gnu99", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror"]
        subprocess.check_call([compiler] + flags + ["-Wno-unused-variable", source, "-o", library, "-lm"])
        self._library = ctypes.CDLL(library)

    def run(self, name, grid, block, *arguments):
        parameters = self.signatures[name]
        assert len(parameters) == len(arguments), (name, len(parameters), len(arguments))
        converted = [ctypes.c_uint(grid), ctypes.c_uint(block)]
        for parameter, argument in zip(parameters, arguments):  # noqa: B905
            if "*" in parameter:
                wanted = {"float": "float32", "int": "int32", "unsigned char": "uint8"}
                dtype = wanted[parameter.replace("const ", "").split("*")[0].strip()]
                if isinstance(argument, np.uint64):  # an address, as pycuda takes it
                    converted.append(ctypes.c_void_p(int(argument)))
                    continue
                if argument is None:
                    converted.append(ctypes.c_void_p(None))
                    continue
                assert argument.dtype.name == dtype, (name, parameter, argument)
                assert argument.flags.c_contiguous
                converted.append(ctypes.c_void_p(argument.ctypes.data))
            else:
                long = parameter.startswith("long long")
                # As pycuda: a numpy scalar's bytes are what the kernel gets, so its width has to be the parameter's.
                assert not isinstance(argument, np.generic) or argument.nbytes == (8 if long else 4), (name, parameter)
                converted.append((ctypes.c_longlong if long else ctypes.c_int)(int(argument)))
        getattr(self._library, "host_" + name)(*converted)
