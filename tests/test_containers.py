"""The Dockerfiles, as far as they can be judged without an engine: read, linted, and held against the repository."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from coachc.runtime.engines.kernels import translation_unit
from coachc.runtime.engines.load_kernels import compiled_ahead
from coachc.runtime.health.machine import CHIPS, LAST, LINES
from tests.helpers.commands import REPOSITORY
from tests.helpers.runtime_bundles import make_bundle, make_service

JETSON, CLOUD = "Dockerfile.jetson", "Dockerfile.cloud"
#: JetPack -> image, and the Python of the JetPack. That of the image is the same, but for 4.6 (3.8, where it was seen).
JETPACKS = {
    "4.6": ("nvcr.io/nvidia/l4t-tensorrt:r8.2.1-runtime", "3.6"),
    "5.1": ("nvcr.io/nvidia/l4t-tensorrt:r8.5.2-runtime", "3.8"),
    "6": ("nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime", "3.10"),
}
#: JetPack -> chips of the boards that it is for.
BOARDS = {
    "4.6": ("tegra210", "tegra186", "tegra194"),
    "5.1": ("tegra194", "tegra234"),
    "6": ("tegra234",),
}
#: What builds, and stays in the stage where it did.
TOOLS = r"\bgcc|g\+\+|build-essential|nvcc|-dev\b|coachc\[|torch"


class Step(NamedTuple):
    """One instruction and what follows it, lines joined."""

    name: str
    text: str

    @property
    def list(self) -> list[str]:
        found = json.loads(self.text)
        assert isinstance(found, list)
        return found


class Stage(NamedTuple):
    base: str
    alias: str
    steps: list[Step]

    def last(self, name: str) -> Step:
        return [step for step in self.steps if step.name == name][-1]


def read(name: str) -> tuple[dict[str, str], list[Stage]]:
    """Arguments before the first stage, and the stages."""
    lines = [line for line in (REPOSITORY / name).read_text("utf-8").splitlines() if not line.strip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, alias = rest.partition(" AS ")
            stages.append(Stage(base, alias, []))
        elif not stages:
            assert word == "ARG"
            key, _, value = rest.partition("=")
            arguments[key] = value
        else:
            stages[-1].steps.append(Step(word, rest))
    return arguments, stages


def chain(name: str, alias: str = "", **given: str) -> tuple[str, list[Step]]:
    """The image that a stage, or the last, begins with, and all steps after it, with these build arguments."""
    arguments, stages = read(name)
    values = {**arguments, **given}
    aliases = {stage.alias: stage for stage in stages if stage.alias}
    stage = aliases[alias] if alias else stages[-1]
    steps = list(stage.steps)
    while True:
        base = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], stage.base)
        if base not in aliases:
            return base, steps
        stage = aliases[base]
        steps = stage.steps + steps


def last(steps: list[Step], name: str) -> Step:
    return [step for step in steps if step.name == name][-1]


def environment(steps: list[Step]) -> dict[str, str]:
    """What ENV has set in the end."""
    found = {}
    for step in steps:
        if step.name == "ENV":
            found.update(
                (key, quoted or bare) for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', step.text)
            )
    return found


def shell_of(steps: list[Step], word: str, root: Path, folders: tuple[str, ...], commands: str = "") -> str:
    """The RUN that has `word`, as a script: folders of the image lie below `root`, `commands` come first."""
    text = next(step.text for step in reversed(steps) if step.name == "RUN" and word in step.text)
    for folder in folders:
        text = re.sub(rf"(?<![\w.*]){folder}(?=/|\s|$)", f"{root}{folder}", text)
    return f"set -e\n{commands}\n{text}"


def copied(name: str) -> list[tuple[str, str]]:
    """(source in the repository, destination) of every COPY that takes from it."""
    found = []
    for stage in read(name)[1]:
        for step in stage.steps:
            if step.name == "COPY" and not step.text.startswith("--from"):
                *sources, target = step.text.split()
                found += [(source, target) for source in sources]
    return found


@pytest.mark.parametrize("name", [JETSON, CLOUD])
def test_hadolint_finds_nothing(name):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint")
    done = subprocess.run([hadolint, name], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_every_jetpack_has_its_image_and_its_python(jetpack):
    image, python = JETPACKS[jetpack]
    assert chain(JETSON, JETPACK=jetpack)[0] == image
    line = next(line for line in LINES.values() if line.jetpack.startswith(jetpack))
    assert ".".join(map(str, line.python)) == python
    assert re.search(r":r([\d.]+)-", image)[1].startswith(line.tensorrt)
    assert (REPOSITORY / "runtime" / f"requirements-{python}.txt").is_file()


def test_the_oldest_jetpack_is_the_default_and_there_are_no_others():
    arguments, stages = read(JETSON)
    assert arguments == {"JETPACK": "4.6"}
    aliases = [stage.alias for stage in stages]
    for prefix in ("base-", "cuda-"):
        assert [alias for alias in aliases if alias.startswith(prefix)] == [prefix + jetpack for jetpack in JETPACKS]
    # Only there does numpy take the CPU for another.
    assert environment(chain(JETSON, JETPACK="4.6")[1]) == {"OPENBLAS_CORETYPE": "ARMV8"}
    assert environment(chain(JETSON, JETPACK="6")[1]) == {}


def test_the_device_gets_the_runtime_and_what_was_built_for_it():
    assert copied(JETSON) == [
        ("runtime/requirements-*.txt", "runtime/"),
        ("runtime", "runtime"),
        ("runtime", "runtime"),
    ]
    steps = chain(JETSON)[1]
    assert last(steps, "ENTRYPOINT").list[:3] == ["python3", "-m", "runtime.device"]
    built = [step.text for step in steps if step.name == "COPY" and step.text.startswith("--from")]
    assert built == ["--from=build /wheels /tmp/wheels", "--from=build /kernels runtime/engines"]
    assert not [step for step in steps if step.name == "RUN" and re.search(TOOLS, step.text)]
    assert any("--only-binary :all:" in step.text for step in steps)


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_nvcc_is_that_of_the_jetpack(jetpack):
    image, steps = chain(JETSON, "build", JETPACK=jetpack)
    assert image == JETPACKS[jetpack][0], "pycuda is built for the Python that runs it"
    line = next(line for line in LINES.values() if line.jetpack.startswith(jetpack))
    facts = environment(steps)
    assert facts["CUDA"] == line.cuda
    assert facts["L4T"].split(".")[0] == line.branch.split(".")[0]
    assert facts["ARCHITECTURES"].split() == [CHIPS[chip].replace(".", "") for chip in BOARDS[jetpack]]
    # The header that pycuda includes moved from the one package to the other within CUDA 11.4, before JetPack 5.1.
    assert facts["PROFILER"] == ("cuda-nvprof" if Version(line.cuda) < Version("11.4") else "cuda-profiler-api")


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_the_kernels_are_compiled_for_every_board_of_a_jetpack(jetpack, tmp_path):
    steps = chain(JETSON, "build", JETPACK=jetpack)[1]
    facts = environment(steps)
    nvcc = tmp_path / f"usr/local/cuda-{facts['CUDA']}/bin/nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > "${@: -1}"\n', "utf-8")
    nvcc.chmod(0o755)
    script = shell_of(
        steps, "-fatbin", tmp_path, ("/usr/local", "/kernels"), f'python3() {{ "{sys.executable}" "$@"; }}'
    )
    subprocess.run(["bash", "-c", script], cwd=REPOSITORY, env={**os.environ, **facts}, check=True, timeout=60)
    folder = tmp_path / "kernels"
    assert (folder / "kernels.cu").read_text("utf-8") == translation_unit()
    asked = (folder / "kernels.fatbin").read_text("utf-8").split()
    codes = [f"arch=compute_{number},code=sm_{number}" for number in facts["ARCHITECTURES"].split()]
    assert [argument for argument in asked if argument.startswith("arch=")] == codes
    assert asked.count("-gencode") == len(codes)
    # What lies in the image is what the engines take.
    assert compiled_ahead(str(folder))


@pytest.mark.parametrize(("name", "stage", "given"), [(JETSON, "build", {}), (CLOUD, "build-trt", {"ENGINE": "trt"})])
def test_pycuda_is_built_from_the_toolkit_and_without_curand(name, stage, given, tmp_path):
    steps = chain(name, stage, **given)[1]
    facts = environment(steps)
    release = facts.get("CUDA", "13.0")
    toolkit = tmp_path / f"usr/local/cuda-{release}/targets/aarch64-linux"
    toolkit.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    script = shell_of(steps, "aksetup-defaults", tmp_path, ("/usr/local", "/etc"), "python3() { :; }")
    script = script.split("/etc/aksetup-defaults.py")[0] + "/etc/aksetup-defaults.py"
    subprocess.run(["bash", "-c", script], env={**os.environ, **facts}, check=True, timeout=60)
    settings: dict[str, object] = {}
    exec((tmp_path / "etc/aksetup-defaults.py").read_text("utf-8"), settings)
    assert settings["CUDA_ENABLE_CURAND"] is False
    assert settings["CUDA_INC_DIR"] == [f"{toolkit}/include"]
    assert settings["CUDADRV_LIB_DIR"] == [f"{toolkit}/lib/stubs"]
    text = next(step.text for step in steps if "aksetup-defaults" in step.text)
    # Its own list of what builds it has a numpy for Python 3.6 that has no wheels for aarch64.
    assert "--no-build-isolation --no-deps" in text
    assert "-r runtime/requirements-trt.txt" in text


def test_every_python_has_one_pycuda():
    lines = (REPOSITORY / "runtime/requirements-trt.txt").read_text("utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    for python in ("3.6", "3.8", "3.10", "3.12"):
        found = [each for each in wanted if each.marker.evaluate({"python_version": python})]
        assert [each.name for each in found] == ["pycuda"], python
        assert re.fullmatch(r"==[\d.]+", str(found[0].specifier))


@pytest.mark.parametrize(
    ("engine", "image", "asked"),
    [
        ("gpu", "nvidia/cuda:", ["--provider", "CUDAExecutionProvider"]),
        ("cpu", "ubuntu:24.04", []),
        ("trt", "nvidia/cuda:", ["--engine", "trt"]),
    ],
)
def test_the_server_stands_on_cuda_or_on_the_system(engine, image, asked):
    base, steps = chain(CLOUD, ENGINE=engine)
    assert base.startswith(image)
    assert re.search(r":\d+\.\d+", base), "a pinned tag"
    assert last(steps, "CMD").list == ["/bundle", "--listen", "0.0.0.0:8700", *asked]
    assert read(CLOUD)[0] == {"ENGINE": "gpu"}
    assert last(steps, "ENTRYPOINT").list == ["coachc", "serve"]
    assert not [step for step in steps if step.name == "RUN" and re.search(TOOLS, step.text)]


def test_the_servers_tensorrt_is_one_release_on_the_images_cuda():
    base, steps = chain(CLOUD, "build", ENGINE="trt")
    cuda = re.search(r":(\d+\.\d+)", base)[1]
    text = " ".join(step.text for step in steps if step.name == "RUN")
    assert set(re.findall(r"cuda-[a-z-]+-(\d+-\d+)", text)) == {cuda.replace(".", "-")}
    assert set(re.findall(r"/usr/local/cuda-([\d.]+)", text)) == {cuda}
    pins = dict(re.findall(r"(tensorrt-\S+)==(\S+)", text))
    parts = {f"tensorrt-cu{cuda.split('.')[0]}{part}" for part in ("", "-bindings", "-libs")}
    assert set(pins) == parts
    assert len(set(pins.values())) == 1
    assert "--no-deps" in text.split("tensorrt-")[0].rsplit("pip install", 1)[1], "CUDA is the image's"
    # Binaries for every generation, and PTX for those to come.
    assert "-fatbin -arch=all-major" in text
    assert "tensorrt" not in " ".join(step.text for step in chain(CLOUD, "build", ENGINE="gpu")[1])


@pytest.mark.parametrize(
    ("name", "given"),
    [(JETSON, {}), (CLOUD, {"ENGINE": "gpu"}), (CLOUD, {"ENGINE": "cpu"}), (CLOUD, {"ENGINE": "trt"})],
)
def test_nothing_runs_as_root(name, given):
    steps = chain(name, **given)[1]
    user = last(steps, "USER").text
    assert user.isdecimal()
    assert int(user) != 0
    assert any(step.name == "RUN" and f"useradd --create-home --uid {user}" in step.text for step in steps)
    after = steps[max(index for index, step in enumerate(steps) if step.name == "USER") :]
    assert not [step for step in after if step.name in ("RUN", "COPY", "ADD")]


def test_the_devices_user_reaches_the_gpu():
    assert any("useradd" in step.text and "--groups video" in step.text for step in chain(JETSON)[1])


def test_the_health_check_asks_a_path_that_the_server_answers(tmp_path):
    steps = chain(CLOUD)[1]
    command = re.search(r"CMD (\[.*\])$", last(steps, "HEALTHCHECK").text)[1]
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python3", "-c")
    compile(code, "healthcheck", "exec")
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/[^']*)'", code).groups()
    listen = last(steps, "CMD").list
    assert listen[listen.index("--listen") + 1] == f"0.0.0.0:{port}"
    assert last(steps, "EXPOSE").text == port
    assert make_service(make_bundle(tmp_path / "tiny.coach")).refuse("GET", path, 0).status == 200


@pytest.mark.parametrize("name", [JETSON, CLOUD])
def test_what_is_copied_is_there_and_not_ignored(name):
    rules = [
        line for line in (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("#", "")
    ]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    for source, _ in copied(name):
        assert list(REPOSITORY.glob(source)), source
        assert source.split("/")[0] in kept, source
    assert all(list(REPOSITORY.glob(each)) for each in kept)
    # Nothing of a working copy goes along: environments, history, caches, keys.
    for stray in (".git", ".venv", "tests", "dist", "build", "team.key"):
        assert not any(fnmatch.fnmatch(stray, each) for each in kept)


def pins(path: str) -> dict[str, str]:
    """name -> version of a file whose every line is name==version."""
    lines = [line for line in (REPOSITORY / path).read_text("utf-8").splitlines() if line and not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


def test_the_servers_requirements_are_all_pinned():
    text = (REPOSITORY / CLOUD).read_text("utf-8")
    found = re.findall(r'-c constraints\.txt "\.\[(\w+),([\w,]+)\]" (\w+)', text)
    assert [engine for engine, _, _ in found] == ["cpu", "gpu"]
    wanted = found[0]
    assert found[1][1:] == wanted[1:]
    extras = ["cpu", "gpu", *wanted[1].split(",")]
    assert {"serve", "images"} <= set(extras)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    direct = [*project["dependencies"], wanted[2]]
    for extra in extras:
        direct += project["optional-dependencies"][extra]
    known, seen = pins("constraints.txt"), set()
    todo = [Requirement(each) for each in direct]
    while todo:
        requirement = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in known, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(Version(known[name])), f"{requirement} excludes the pin {known[name]}"
        if name not in seen:
            seen.add(name)
            try:
                todo += [Requirement(each) for each in importlib.metadata.requires(name) or ()]
            except importlib.metadata.PackageNotFoundError:
                assert name == "onnxruntime-gpu"
    assert "onnxruntime-gpu" in seen


@pytest.mark.parametrize("python", [python for _, python in JETPACKS.values()])
def test_the_devices_requirements_are_pinned_and_those_the_doctor_names(python):
    found = pins(f"runtime/requirements-{python}.txt")
    assert {"numpy", "onnxruntime", "pillow", "pip", "cryptography"} <= set(found)
    release = tuple(int(part) for part in python.split("."))
    for (name, where), pin in LAST.items():
        if where == release and name in found:
            assert pin == f"{name}=={found[name]}"


def test_the_device_has_what_the_tests_of_its_python_have():
    tested = re.search(r"python3?\.?6?.*?numpy==([\d.]+)", (REPOSITORY / "Makefile").read_text("utf-8"), re.DOTALL)[1]
    assert pins("runtime/requirements-3.6.txt")["numpy"] == tested
