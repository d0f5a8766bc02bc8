"""Machines for the doctor: what their files, commands and modules say. Python 3.6-clean."""

import copy
import fnmatch

from coachc.runtime.health.system import CudaDevice, CudaDriver, Disk, Module, Ran, System

CPU_ORT = {"distributions": ["onnxruntime"], "providers": ["CPUExecutionProvider"]}
CPU_ORT["session"] = CPU_ORT["providers"]
GPU_ORT = {
    "distributions": ["onnxruntime-gpu"],
    "providers": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    "session": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
#: What onnxruntime-gpu 1.31.1 writes when CUDA's libraries are not there.
FELL_BACK = (
    "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] [ONNXRuntimeError] : 1 : FAIL : Failed to load"
    " library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No"
    " such file or directory\n[W:onnxruntime:Default, onnxruntime_pybind_state.cc:1295] Failed to create"
    " CUDAExecutionProvider. Require cuDNN 9.* and CUDA 13.*. Please install all dependencies\n"
)
CONF = "# modes\n< POWER_MODEL ID=0 NAME={} >\nCPU_ONLINE CORE_0 1\n"


class FakeSystem(System):
    """A machine made of dictionaries; a copy may be changed."""

    def __init__(self, python=(3, 11, 7), arch="x86_64", interpreter="python3"):
        System.__init__(self)
        self.python, self.arch, self.interpreter = python, arch, interpreter
        self.files, self.commands, self.installed, self.sonames = {}, {}, {}, ()
        self.modules = {"pip": Module("24.0"), "numpy": Module("1.26.4")}
        self.driver = CudaDriver(False, error="libcuda.so.1: cannot open shared object file")
        self.room = Disk("/home", 20 << 30, True)
        self.member_of = ("nvidia", "video")
        self.on_path = {}

    def read(self, path):
        return self.files.get(path)

    def glob(self, pattern):
        return sorted(path for path in self.files if fnmatch.fnmatch(path, pattern))

    def run(self, *command):
        out = self.commands.get(" ".join(command))
        return None if out is None else Ran(0, out, "")

    def which(self, program, everywhere=True):
        return self.on_path.get(program)

    def packages(self):
        return self.installed

    def libraries(self):
        return self.sonames

    def module(self, name):
        return self.modules.get(name)

    def cuda(self):
        return self.driver

    def disk(self, folder):
        return self.room

    def groups(self):
        return self.member_of


def memory(total_mib, free_mib, swap_mib):
    rows = (("MemTotal", total_mib), ("MemAvailable", free_mib), ("SwapTotal", swap_mib))
    return "\n".join(f"{name}:  {amount * 1024} kB" for name, amount in rows)


def tx2():
    """A Jetson TX2 with JetPack 4.6.6 where all is as it should be."""
    system = FakeSystem((3, 6, 9), "aarch64")
    system.files = {
        "/proc/device-tree/model": "quill",
        "/proc/device-tree/compatible": "nvidia,p2597-0000+p3310-1000\nnvidia,quill\nnvidia,tegra186",
        "/etc/nv_tegra_release": "# R32 (release), REVISION: 7.6, GCID: 38171779, BOARD: t186ref, EABI: aarch64",
        "/etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 18.04.6 LTS"\n',
        "/usr/local/cuda/version.txt": "CUDA Version 10.2.300",
        "/proc/meminfo": memory(7858, 5400, 3929),
        "/etc/nvpmodel.conf": CONF.format("MAXN") + "< POWER_MODEL ID=1 NAME=MAXQ >\n",
        "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "0",
        "/usr/lib/python3.6/dist-packages/tensorrt": "",
        "/usr/local/cuda-10.2/bin/nvcc": "",
    }
    system.commands = {
        "nvpmodel -q": "NV Power Mode: MAXN\n0\n",
        "jetson_clocks --show": "GPU MinFreq=1300500000 MaxFreq=1300500000 CurrentFreq=1300500000\n",
    }
    system.installed = {
        "nvidia-jetpack": "4.6.6-b24",
        "nvidia-l4t-core": "32.7.6-20241104234601",
        "libnvinfer8": "8.2.1-1+cuda10.2",
        "libcudnn8": "8.2.1.32-1+cuda10.2",
    }
    system.modules = {
        "pip": Module("21.3.1"),
        "numpy": Module("1.19.5"),
        "onnxruntime": Module("1.10.0", facts=CPU_ORT),
        "tensorrt": Module("8.2.1.8"),
        "pycuda": Module("2020.1"),
        "PIL": Module("8.4.0"),
        "cv2": Module("4.6.0"),
        "cryptography": Module("40.0.2"),
    }
    system.on_path = {"nvcc": "/usr/local/cuda-10.2/bin/nvcc"}
    system.driver = CudaDriver(True, "10.2", (CudaDevice("NVIDIA Tegra X2", "6.2", 8239853568),))
    return system


def xavier_nx():
    """A Xavier NX with JetPack 5.1.4, in a mode of fewer watts than it could have."""
    system = tx2()
    system.python = (3, 8, 10)
    system.files.update(
        {
            "/proc/device-tree/model": "NVIDIA Jetson Xavier NX Developer Kit",
            "/proc/device-tree/compatible": "nvidia,p3449-0000+p3668-0000\nnvidia,tegra194",
            "/etc/nv_tegra_release": "# R35 (release), REVISION: 6.0, GCID: 37391689, BOARD: t186ref, EABI: aarch64",
            "/etc/os-release": 'PRETTY_NAME="Ubuntu 20.04.6 LTS"\n',
            "/usr/local/cuda/version.json": '{\n "cuda" : {\n "name" : "CUDA SDK",\n "version" : "11.4.19"\n }\n}',
            "/usr/include/aarch64-linux-gnu/cudnn_version_v8.h": "#define CUDNN_MAJOR 8\n#define CUDNN_MINOR 6\n"
            "#define CUDNN_PATCHLEVEL 0\n",
            "/etc/nvpmodel.conf": CONF.format("MODE_15W_2CORE")
            + "< POWER_MODEL ID=2 NAME=MODE_15W_6CORE >\n< POWER_MODEL ID=8 NAME=MODE_20W_6CORE >\n",
        }
    )
    system.commands["nvpmodel -q"] = "NV Power Mode: MODE_15W_6CORE\n2\n"
    system.installed = {"nvidia-jetpack": "5.1.4-b17", "libnvinfer8": "8.5.2-1+cuda11.4"}
    system.modules["tensorrt"] = Module("8.5.2.2")
    system.modules["numpy"] = Module("1.24.4")
    system.driver = CudaDriver(True, "11.4", (CudaDevice("Xavier", "7.2", 7 << 30),))
    return system


def orin():
    """An Orin Nano with JetPack 6.2, nothing asked as root, swap too small."""
    system = tx2()
    system.python = (3, 10, 12)
    system.files.update(
        {
            "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "/proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\nnvidia,tegra234",
            "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
            "/etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
            "/usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
            "/proc/meminfo": memory(7620, 4100, 0),
            "/etc/nvpmodel.conf": CONF.format("15W") + "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2"
            " NAME=MAXN_SUPER >\n",
            "/var/lib/nvpmodel/status": "pmode:0001\nfmode:quiet",
            "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "1",
            "/sys/class/devfreq/17000000.gpu": "",
            "/sys/class/devfreq/17000000.gpu/min_freq": "306000000",
            "/sys/class/devfreq/17000000.gpu/max_freq": "918000000",
        }
    )
    system.commands = {"jetson_clocks --show": ""}
    system.installed = {"nvidia-jetpack": "6.2+b77", "libnvinfer10": "10.3.0.30-1+cuda12.5"}
    system.sonames = ("libcudnn.so.9",)
    system.modules["tensorrt"] = Module("10.3.0")
    system.modules["numpy"] = Module("1.26.4")
    system.driver = CudaDriver(True, "12.6", (CudaDevice("Orin", "8.7", 7 << 30),))
    system.on_path = {}
    return system


def server():
    """A server with an A6000 where all is as it should be."""
    system = FakeSystem((3, 12, 3))
    system.files = {
        "/sys/class/dmi/id/product_name": "PowerEdge R750",
        "/etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
        "/sys/bus/pci/devices/0000:65:00.0/vendor": "0x10de",
        "/sys/bus/pci/devices/0000:65:00.0/class": "0x030000",
        "/proc/meminfo": memory(257000, 240000, 8192),
        "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "1",
        "/usr/local/cuda/version.json": '{"cuda": {"version": "13.0.2"}}',
    }
    system.installed = {"libcudnn9-cuda-13": "9.13.0.50-1"}
    system.modules.update(
        {
            "onnxruntime": Module("1.31.1", facts=GPU_ORT),
            "uvicorn": Module("0.54.0"),
            "httptools": Module("0.9.0"),
            "PIL": Module("13.0.0"),
        }
    )
    system.commands = {
        "nvidia-smi --query-gpu=name,compute_cap,memory.total --format=csv,noheader,nounits": "NVIDIA RTX A6000, 8.6,"
        " 49140\n"
    }
    system.driver = CudaDriver(True, "13.0", (CudaDevice("NVIDIA RTX A6000", "8.6", 51043893248),))
    return system


def laptop():
    """A laptop with Python and nothing else."""
    system = FakeSystem((3, 12, 3))
    system.files = {
        "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "/proc/meminfo": memory(15800, 9000, 1024),
        "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "1",
    }
    system.modules = {"pip": Module("24.0")}
    return system


def changed(system, **modules):
    """A copy with other modules; None takes one away."""
    system = copy.copy(system)
    system.modules = {name: module for name, module in dict(system.modules, **modules).items() if module is not None}
    return system
