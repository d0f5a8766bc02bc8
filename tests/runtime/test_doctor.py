import json
import os
import subprocess
import sys

import pytest

from coachc.runtime import doctor
from coachc.runtime.bundle.manifest_types import EngineFacts
from coachc.runtime.doctor import examine
from coachc.runtime.engines.dialect_8_2 import Dialect82
from coachc.runtime.engines.dialect_11 import Dialect11
from coachc.runtime.health import gpu
from coachc.runtime.health.findings import MISSING, OK, STATES, WRONG, Finding, gather
from coachc.runtime.health.machine import l4t_of, survey
from coachc.runtime.health.suits import suits
from coachc.runtime.health.system import CudaDevice, CudaDriver, Disk, Module, System
from tests.helpers.fake_machines import (
    CPU_ORT,
    FELL_BACK,
    GPU_ORT,
    FakeSystem,
    changed,
    laptop,
    memory,
    orin,
    server,
    tx2,
    xavier_nx,
)
from tests.helpers.runtime_bundles import make_bundle, make_manifest

MACHINES = [tx2, xavier_nx, orin, server, laptop]


def named(checkup, name):
    found = [finding for finding in checkup.findings if finding.name == name]
    assert len(found) == 1, (name, checkup.text())
    return found[0]


def state(checkup):
    """What is not ok: name -> (status, needed)."""
    return {f.name: (f.status, f.needed) for f in checkup.findings if f.status != OK}


def run(system, *arguments):
    return doctor.main(list(arguments), system)


# Whole machines.


def test_a_tx2_as_it_should_be_is_ready(capsys):
    assert run(tx2()) == 0
    said = capsys.readouterr().out
    assert said.startswith("quill (aarch64), as the device\n")
    assert "JetPack 4.6.6 (L4T 32.7.6)" in said
    assert "ok        GPU           NVIDIA Tegra X2, compute capability 6.2, driver for CUDA 10.2" in said
    assert "ok        CUDA          10.2.300" in said
    assert "ok        cuDNN         8.2.1.32" in said
    assert "ok        TensorRT      8.2.1.8" in said
    assert "ok        ONNX Runtime  1.10.0, CPU" in said
    assert "ok        power mode    MAXN" in said
    assert "ok        clocks        GPU locked at 1300 MHz" in said
    assert said.endswith("\nready\n")


def test_a_xavier_nx_in_a_slower_mode_is_ready_and_told_the_command():
    checkup = examine(xavier_nx())
    assert (checkup.side, checkup.exit_code) == ("device", 0)
    assert state(checkup) == {"power mode": (WRONG, False)}
    mode = named(checkup, "power mode")
    assert (mode.found, mode.expected, mode.mend) == (
        "MODE_15W_6CORE",
        "MODE_20W_6CORE",
        "sudo nvpmodel -m 8",
    )
    assert named(checkup, "cuDNN").found == "8.6.0"
    assert named(checkup, "CUDA").found == "11.4.19"


def test_an_orin_is_ready_and_told_what_would_be_better():
    checkup = examine(orin())
    assert checkup.exit_code == 0
    assert state(checkup) == {
        "power mode": (WRONG, False),
        "clocks": (WRONG, False),
        "swap": (MISSING, False),
        "network": (WRONG, False),
        "nvcc": (WRONG, False),
    }
    assert named(checkup, "power mode").mend == "sudo nvpmodel -m 2"
    assert named(checkup, "clocks").found == "GPU 306 to 918 MHz"
    assert named(checkup, "clocks").mend == "sudo jetson_clocks"
    assert "sudo sysctl -p" in named(checkup, "network").mend
    assert named(checkup, "nvcc").mend == "export PATH=/usr/local/cuda-10.2/bin:$PATH"
    assert "ready; 5 in brackets are not needed for it" in checkup.text()
    assert named(checkup, "cuDNN").found == "9"


def test_a_server_is_ready_and_its_slow_start_does_not_matter():
    checkup = examine(server())
    assert (checkup.side, checkup.exit_code) == ("cloud", 0)
    assert set(state(checkup)) == {"TensorRT", "cv2", "cryptography"}
    assert named(checkup, "ONNX Runtime").found == "1.31.1, CUDA, CPU"
    assert named(checkup, "cuDNN").found == "9.13.0.50"
    assert checkup.facts["compute_capability"] == "8.6"


def test_a_bare_laptop_is_not_ready(capsys):
    assert run(laptop()) == 3
    said = capsys.readouterr().out
    assert said.startswith("this machine (x86_64), as the cloud\n")
    assert "not ready: numpy, ONNX Runtime, uvicorn, httptools need mending" in said
    assert "mend: python3 -m pip install numpy\n" in said
    assert "(missing) GPU" in said
    assert "JetPack" not in said
    assert "power mode" not in said


def test_the_side_can_be_chosen():
    as_device = examine(laptop(), "device")
    assert as_device.side == "device"
    assert "uvicorn" not in [finding.name for finding in as_device.findings]
    assert named(as_device, "network").status == WRONG
    assert named(examine(tx2(), "cloud"), "uvicorn").failed


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("side", ["device", "cloud"])
def test_json_says_what_the_text_says(machine, side, capsys):
    code = run(machine(), "--json", "--" + side)
    found = json.loads(capsys.readouterr().out)
    assert (found["side"], found["bundle"]) == (side, None)
    assert code == (0 if found["ok"] else 3)
    assert found["ok"] == (not any(row["needed"] and row["status"] != "ok" for row in found["findings"]))
    text = examine(machine(), side).text()
    for row in found["findings"]:
        assert row["status"] in STATES
        assert row["found"] in text
        # What is not ok says what is expected, and how to get there unless there is no GPU to get there with.
        if row["status"] != "ok":
            assert row["expected"] in text and row["expected"], row
            assert row["mend"] in text, row
            assert row["mend"] or row["name"] in ("GPU", "TensorRT"), row


def test_facts_are_versions_by_themselves():
    facts = examine(tx2()).facts
    assert facts["jetpack"] == "4.6.6"
    assert facts["l4t"] == "32.7.6"
    assert facts["tensorrt"] == "8.2.1.8"
    assert facts["numpy"] == "1.19.5"
    assert facts["onnxruntime_providers"] == ["CPUExecutionProvider"]
    assert facts["memory_bytes"] == 7858 << 20
    assert examine(laptop()).facts["numpy"] is None


# JetPack and Python.


def test_an_old_l4t_is_told_how_to_be_brought_on():
    system = tx2()
    system.files["/etc/nv_tegra_release"] = "# R32 (release), REVISION: 6.1, GCID: 27863751, BOARD: t186ref"
    system.installed = {}
    found = named(examine(system), "JetPack")
    assert (found.status, found.found) == (WRONG, "JetPack 4 (L4T 32.6.1)")
    assert found.expected == "JetPack 4.6.1 or newer (L4T 32.7, TensorRT 8.2)"
    assert "r32.7" in found.mend and "dist-upgrade" in found.mend


@pytest.mark.parametrize(
    ("release", "package", "expected"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64", "", (35, 4, 1)),
        ("", "36.4.3-20250107174145", (36, 4, 3)),
        ("something else", "", ()),
        ("", "", ()),
    ],
)
def test_l4t_is_read(release, package, expected):
    assert l4t_of(release, package) == expected


def test_a_container_of_a_jetson_is_told_about_the_container():
    system = tx2()
    system.files["/.dockerenv"] = ""
    del system.files["/etc/nv_tegra_release"]
    system.installed = {}
    system.modules = {name: found for name, found in system.modules.items() if name != "tensorrt"}
    del system.files["/usr/lib/python3.6/dist-packages/tensorrt"]
    system.driver = CudaDriver(False)
    checkup = examine(system)
    assert "in a container" in checkup.machine
    assert "docker run -v /etc/nv_tegra_release" in named(checkup, "JetPack").mend
    assert named(checkup, "GPU").mend == "docker run --runtime nvidia ..."
    assert "docker run --runtime nvidia" in named(checkup, "TensorRT").mend


def test_another_python_than_the_systems_lacks_tensorrt():
    system = changed(tx2(), tensorrt=None)
    system.python = (3, 8, 0)
    checkup = examine(system)
    assert named(checkup, "Python").mend == "run it with /usr/bin/python3.6"
    found = named(checkup, "TensorRT")
    assert (found.status, found.found) == (WRONG, "its module is for python3.6 only")
    assert checkup.exit_code == 3


def test_pip_comes_first_where_there_is_none_or_an_old_one():
    assert named(examine(changed(tx2(), numpy=None, pip=None)), "numpy").mend == (
        "sudo apt-get install python3-pip && python3 -m pip install pip==21.3.1 && python3 -m pip install numpy==1.19.5"
    )
    assert named(examine(changed(tx2(), numpy=None, pip=Module("9.0.1"))), "numpy").mend == (
        "python3 -m pip install pip==21.3.1 && python3 -m pip install numpy==1.19.5"
    )


# Modules.


def test_numpy_that_dies_on_a_jetson_is_told_of_openblas():
    found = named(examine(changed(tx2(), numpy=Module(error="illegal instruction", crashed=True))), "numpy")
    assert found.failed
    assert "OPENBLAS_CORETYPE=ARMV8" in found.mend


def test_both_packages_of_onnx_runtime():
    both = dict(GPU_ORT, distributions=["onnxruntime", "onnxruntime-gpu"])
    found = named(examine(changed(server(), onnxruntime=Module("1.31.1", facts=both))), "ONNX Runtime")
    assert found.failed
    assert found.found == "onnxruntime and onnxruntime-gpu share one folder, and both are installed"
    assert found.mend == (
        "python3 -m pip uninstall -y onnxruntime onnxruntime-gpu && python3 -m pip install onnxruntime-gpu"
    )


def test_onnx_runtime_that_lost_its_files():
    broken = Module(error="AttributeError: module 'onnxruntime' has no attribute 'InferenceSession'", facts=CPU_ORT)
    found = named(examine(changed(server(), onnxruntime=broken)), "ONNX Runtime")
    assert found.failed
    assert "has no attribute" in found.found
    assert "uninstall -y onnxruntime onnxruntime-gpu" in found.mend


def test_the_silent_fallback_is_named():
    fell_back = Module("1.31.1", facts=dict(GPU_ORT, session=["CPUExecutionProvider"], log=FELL_BACK))
    checkup = examine(changed(server(), onnxruntime=fell_back))
    found = named(checkup, "ONNX Runtime")
    assert found.failed and checkup.exit_code == 3
    assert found.found == "1.31.1 offers CUDA and silently runs on the CPU: libcublasLt.so.13 is not found"
    assert found.expected == "CUDA 13 and cuDNN 9 where the loader finds them"
    assert found.mend == "sudo apt-get install cuda-libraries-13-0 libcudnn9-cuda-13 && sudo ldconfig"
    # Without a GPU there is nothing to fall back from.
    found = named(examine(changed(laptop(), onnxruntime=fell_back)), "ONNX Runtime")
    assert (found.status, found.needed) == (WRONG, False)
    assert "uninstall -y onnxruntime-gpu" in found.mend


def test_a_gpu_and_the_package_for_the_cpu():
    found = named(examine(changed(server(), onnxruntime=Module("1.32.0", facts=CPU_ORT))), "ONNX Runtime")
    assert (found.status, found.needed) == (WRONG, False)
    assert found.mend.endswith("uninstall -y onnxruntime && python3 -m pip install onnxruntime-gpu")


def test_one_engine_is_enough():
    checkup = examine(changed(tx2(), onnxruntime=None))
    found = named(checkup, "ONNX Runtime")
    assert (found.found, found.needed, checkup.exit_code) == ("none; --engine trt works without", False, 0)
    assert named(examine(changed(tx2(), onnxruntime=None, pycuda=None)), "ONNX Runtime").failed


def test_pycuda_for_python_36_is_an_old_one():
    found = named(examine(changed(tx2(), pycuda=None)), "pycuda")
    assert found.mend == "PATH=/usr/local/cuda/bin:$PATH python3 -m pip install --no-build-isolation pycuda==2022.1"


# The GPU.


def test_the_releases_are_those_the_engines_speak():
    assert gpu.TENSORRT[0] == (Dialect82.releases[0][0], 2)
    assert gpu.TENSORRT[1] == Dialect11.releases[1]


@pytest.mark.parametrize(
    ("version", "status"), [("7.1.3.0", WRONG), ("8.0.1.6", WRONG), ("8.2.1.8", OK), ("10.3.0", OK), ("12.0", WRONG)]
)
def test_releases_of_tensorrt(version, status):
    found = named(examine(changed(tx2(), tensorrt=Module(version))), "TensorRT")
    assert found.status == status
    assert found.status == OK or found.expected == "8.2 to 11.x"


def test_the_library_without_its_module():
    system = changed(tx2(), tensorrt=None)
    del system.files["/usr/lib/python3.6/dist-packages/tensorrt"]
    found = named(examine(system), "TensorRT")
    assert found.failed
    assert found.found == "the library 8.2.1, without its Python module"
    assert found.mend == "sudo apt-get install python3-libnvinfer"


def test_a_module_without_its_library():
    broken = Module(error="libnvonnxparser.so.11: cannot open shared object file")
    found = named(examine(changed(server(), tensorrt=broken)), "TensorRT")
    assert (found.status, found.needed) == (WRONG, False)
    assert "libnvonnxparser.so.11" in found.found
    assert found.mend == "python3 -m pip install tensorrt"


def test_a_user_outside_the_group_video():
    system = tx2()
    system.driver, system.member_of = CudaDriver(True, "10.2", error="CUDA_ERROR_NO_DEVICE (100)"), ("nvidia",)
    found = named(examine(system), "GPU")
    assert found.failed
    assert found.mend == "sudo usermod -aG video $(id -un), then log in again"


def test_a_gpu_without_a_driver():
    system = server()
    system.driver, system.commands = CudaDriver(False), {}
    found = named(examine(system), "GPU")
    assert (found.status, found.failed) == (MISSING, True)
    assert found.mend == "sudo ubuntu-drivers install && sudo reboot"


def test_nvidia_smi_answers_where_the_driver_does_not():
    system = server()
    system.driver = CudaDriver(True, "13.0", error="CUDA_ERROR_UNKNOWN (999)")
    found = named(examine(system), "GPU")
    assert found.found == "NVIDIA RTX A6000, compute capability 8.6: CUDA_ERROR_UNKNOWN (999)"
    assert found.failed


def test_cuda_newer_than_the_driver():
    system = server()
    system.driver = CudaDriver(True, "12.4", (CudaDevice("NVIDIA RTX A6000", "8.6", 1 << 35),))
    found = named(examine(system), "CUDA")
    assert found.failed
    assert found.found == "13.0.2, and the driver runs CUDA 12.4 at most"


def test_cuda_by_nvcc_and_by_its_library():
    system = FakeSystem()
    system.on_path = {"nvcc": "/usr/bin/nvcc"}
    system.commands = {"/usr/bin/nvcc --version": "Cuda compilation tools, release 12.6, V12.6.68\n"}
    assert gpu.cuda_version(system) == "12.6.68"
    system.on_path, system.sonames = {}, ("libcudart.so", "libcudart.so.12", "libcudart.so.12.6.68")
    assert gpu.cuda_version(system) == "12.6.68"
    system.sonames = ()
    assert gpu.cuda_version(system) == ""


def test_kernels_compiled_ahead_need_no_nvcc(monkeypatch):
    monkeypatch.setattr(gpu, "compiled_ahead", lambda: True)
    checkup = examine(orin())
    assert named(checkup, "CUDA kernels").found == "compiled ahead"
    assert "nvcc" not in state(checkup)


# Memory, disk, and what cannot be read.


def test_little_memory_and_a_disk_that_cannot_be_written():
    system = tx2()
    system.files["/proc/meminfo"] = memory(7858, 300, 512)
    system.room = Disk("/home/nvidia", 1 << 40, False)
    checkup = examine(system)
    assert named(checkup, "memory").found == "300 MiB of 7.7 GiB free"
    assert (named(checkup, "swap").status, named(checkup, "swap").found) == (WRONG, "512 MiB")
    assert named(checkup, "disk").mend.startswith("sudo chown -R $(id -un) /home/nvidia")
    system.room = Disk("/home/nvidia", 100 << 20, True)
    assert "100 MiB free" in named(examine(system), "disk").found
    assert checkup.exit_code == 0


def test_a_mode_and_clocks_that_cannot_be_read():
    system = tx2()
    system.commands = {}
    checkup = examine(system)
    assert named(checkup, "power mode").mend == "sudo nvpmodel -q"
    assert named(checkup, "clocks").mend == "sudo jetson_clocks --show"
    system.files = {name: text for name, text in system.files.items() if name != "/etc/nvpmodel.conf"}
    system.commands = {"nvpmodel -q": "NV Power Mode: MAXQ\n1\n"}
    assert named(examine(system), "power mode").expected == "MAXN, or the mode of most watts"


def test_a_machine_that_says_nothing_at_all():
    system = FakeSystem()
    system.modules, system.files = {}, {}
    for side in ("device", "cloud"):
        checkup = examine(system, side)
        assert checkup.exit_code == 3
        assert named(checkup, "memory").found == "not stated"


class Hostile(FakeSystem):
    """Answers everything with nonsense."""

    def read(self, path):
        return "\ufffd<>{nonsense" + path

    def glob(self, pattern):
        return [pattern]

    def run(self, *command):
        return None

    def packages(self):
        return {"libnvinfer8": "", "nvidia-jetpack": "x"}

    def module(self, name):
        return Module(version="?.?", facts={"distributions": None, "providers": None})


def test_nothing_raises_whatever_the_machine_says():
    checkup = examine(Hostile())
    assert checkup.exit_code in (0, 3)
    odd = [finding for finding in checkup.findings if "could not be looked at" in finding.found]
    assert all(not finding.needed for finding in odd)
    assert "could not be looked at: ValueError: boom" in gather([("x", boom)])[0].found


def boom():
    raise ValueError("boom")


def test_gather_keeps_the_others():
    found = gather([("x", boom), ("y", lambda: [Finding("y", OK, "fine")])])
    assert [finding.name for finding in found] == ["x", "y"]


# Bundles.


def against(system, side, capability="", **sides):
    manifest = make_manifest()._replace(**sides)
    machine = survey(system)
    return suits(system, machine, gpu.Accelerator(system, machine), manifest, side, capability, "~/engines")


def finding(findings, name):
    return next(each for each in findings if each.name == name)


TX2_SIDE = {"target": "tx2", "precision": "fp16", "tensorrt": "8.2.1"}
A6000_SIDE = {"target": "a6000", "precision": "fp16", "tensorrt": "11.4"}


def test_a_tx2_suits_a_bundle_for_it():
    found = against(tx2(), "device", "6.2", device=TX2_SIDE)
    assert {each.status for each in found} == {OK}
    assert finding(found, "its TensorRT").found == "8.2.1.8, planned for 8.2"
    assert finding(found, "target").found == "tx2, precision fp16"


def test_a_newer_tensorrt_suits_and_an_older_does_not():
    assert finding(against(orin(), "device", device=TX2_SIDE), "its TensorRT").status == OK
    found = finding(against(tx2(), "device", device=dict(TX2_SIDE, tensorrt="10.3")), "its TensorRT")
    assert found.failed
    assert (found.found, found.expected) == ("8.2.1.8", "10.3 or newer")


def test_another_gpu_is_said_and_one_without_int8_refused():
    found = finding(against(orin(), "device", "6.2", device=TX2_SIDE), "its GPU")
    assert (found.status, found.needed, found.found) == (WRONG, False, "compute capability 8.7")
    found = finding(against(tx2(), "device", device=dict(TX2_SIDE, precision="int8")), "its precision")
    assert found.failed and found.found == "compute capability 6.2, without INT8"


def test_a_server_without_tensorrt_or_a_gpu_does_not_suit_its_target():
    found = finding(against(server(), "cloud", cloud=A6000_SIDE), "its TensorRT")
    assert found.failed
    assert found.found == "none; ONNX Runtime runs it, at other times than planned"
    assert finding(against(laptop(), "cloud", cloud=A6000_SIDE), "its GPU").failed


def test_a_bundle_for_onnx_runtime_needs_onnx_runtime():
    local = {"target": "local", "tensorrt": ""}
    assert finding(against(tx2(), "device", device=local), "its engine").status == OK
    assert finding(against(laptop(), "device", device=local), "its engine").failed


def test_memory_is_held_against_the_models(tmp_path):
    system = tx2()
    system.files["/proc/meminfo"] = memory(7858, 150, 0)
    found = finding(against(system, "device", device=TX2_SIDE), "memory for it")
    assert found.failed
    assert (found.found, found.expected) == ("150 MiB free", "about 200 MiB")
    big = make_bundle(tmp_path / "x.coach")
    manifest = big.manifest
    artefacts = tuple(each._replace(size_bytes=20 << 30) for each in manifest.artefacts)
    system = server()
    findings = against(system, "cloud", cloud=A6000_SIDE, artefacts=artefacts)
    assert finding(findings, "GPU memory for it").failed
    assert finding(findings, "memory for it").status == OK


def test_engines_that_came_along():
    engine = EngineFacts("e.engine", "e.log", "0" * 64, "TensorRT-RTX 1.7.1.116", "8.6")
    found = finding(against(server(), "cloud", cloud=A6000_SIDE, engines=(engine,)), "engine e.engine")
    assert (found.status, found.needed) == (WRONG, False)
    fitting = changed(server(), tensorrt_rtx=Module("1.7.1.116"))
    assert finding(against(fitting, "cloud", cloud=A6000_SIDE, engines=(engine,)), "engine e.engine").status == OK


def test_jpeg_needs_pillow_on_the_cloud():
    assert finding(against(changed(server(), PIL=None), "cloud", cloud=A6000_SIDE), "pillow for it").failed
    found = finding(against(changed(tx2(), PIL=None), "device", device=TX2_SIDE), "pillow for it")
    assert not found.failed


def test_the_command_takes_a_bundle(tmp_path, capsys):
    bundle = make_bundle(tmp_path / "tiny.coach")
    assert run(tx2(), "--bundle", bundle.path) == 0
    said = capsys.readouterr().out
    assert "as the device of " + bundle.path in said
    assert "its engine" in said
    assert run(tx2(), "--bundle", str(tmp_path / "none.coach")) == 1
    assert "error[bundle]" in capsys.readouterr().err


# This machine.


def test_this_machine_is_examined_in_a_process_of_its_own():
    done = subprocess.Popen(
        [sys.executable, "-m", "runtime.doctor", "--device", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    )
    out, err = done.communicate(timeout=300)
    found = json.loads(out.decode("utf-8"))
    assert done.returncode in (0, 3), err
    assert found["facts"]["numpy"]
    assert found["facts"]["python"] == ".".join(str(part) for part in sys.version_info[:3])


def test_a_module_that_ends_its_process_is_survived(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('half installed')\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(4)\n")
    (tmp_path / "lacking.py").write_text("import something_that_is_not_there\n")
    (tmp_path / "talking.py").write_text("print('hello')\n__version__ = '1.2'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    system = System()
    assert system.module("deadly") == Module(error="illegal instruction", crashed=True)
    assert system.module("broken").error == "RuntimeError: half installed"
    assert system.module("leaving").error == "SystemExit: 4"
    assert system.module("lacking").error == "No module named 'something_that_is_not_there'"
    assert system.module("talking") == Module("1.2")
    assert system.module("a_module_that_nobody_has") is None


def test_reading_running_and_disks_of_this_machine(tmp_path):
    system = System()
    path = tmp_path / "text"
    path.write_bytes(b"NVIDIA Jetson\0nvidia,tegra186\0")
    assert system.read(str(path)) == "NVIDIA Jetson\nnvidia,tegra186"
    assert system.read(str(tmp_path)) is None
    assert system.run("a-program-that-nobody-has") is None
    assert system.disk(str(tmp_path / "a" / "b")).path == str(tmp_path)
    assert system.disk(str(tmp_path)).free_bytes > 0
    assert system.glob(str(tmp_path / "*")) == [str(path)]
    assert isinstance(system.cuda().installed, bool)
    assert isinstance(system.groups(), tuple)


def test_it_starts_where_numpy_is_not(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('no numpy here')\n")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.Popen(
        [sys.executable, "-m", "runtime.doctor", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
    )
    out, err = done.communicate(timeout=300)
    assert done.returncode == 3, err
    rows = {row["name"]: row for row in json.loads(out.decode("utf-8"))["findings"]}
    assert rows["numpy"]["found"] == "cannot be imported: no numpy here"
