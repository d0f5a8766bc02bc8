"""The Dockerfiles, as far as they can be judged without an engine: read, linted, and held against the repository."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
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

from runtime.health.machine import LAST, LINES
from tests.helpers.commands import REPOSITORY
from tests.helpers.runtime_bundles import make_bundle, make_service

JETSON, CLOUD = "Dockerfile.jetson", "Dockerfile.cloud"
#: JetPack -> image, Python.
JETPACKS = {
    "4.6": ("nvcr.io/nvidia/l4t-tensorrt:r8.2.1-runtime", "3.6"),
    "5.1": ("nvcr.io/nvidia/l4t-tensorrt:r8.5.2-runtime", "3.8"),
    "6": ("nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime", "3.10"),
}


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


def chain(name: str, **given: str) -> tuple[str, list[Step]]:
    """The image that the last stage begins with, and all steps after it, with these build arguments."""
    arguments, stages = read(name)
    values = {**arguments, **given}
    aliases = {stage.alias: stage for stage in stages if stage.alias}
    stage, steps = stages[-1], list(stages[-1].steps)
    while True:
        base = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], stage.base)
        if base not in aliases:
            return base, steps
        stage = aliases[base]
        steps = stage.steps + steps


def last(steps: list[Step], name: str) -> Step:
    return [step for step in steps if step.name == name][-1]


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
    assert [stage.alias for stage in stages] == [*(f"base-{jetpack}" for jetpack in JETPACKS), ""]
    # Only there does numpy take the CPU for another.
    assert "OPENBLAS_CORETYPE=ARMV8" in [step.text for step in chain(JETSON, JETPACK="4.6")[1]]
    assert "ENV" not in [step.name for step in chain(JETSON, JETPACK="6")[1]]


def test_the_device_gets_the_runtime_alone():
    assert copied(JETSON) == [
        ("runtime/requirements-*.txt", "/tmp/requirements/"),
        ("runtime", "runtime"),
    ]
    text = (REPOSITORY / JETSON).read_text("utf-8")
    steps = chain(JETSON)[1]
    assert last(steps, "ENTRYPOINT").list[:3] == ["python3", "-m", "runtime.device"]
    for step in steps:
        assert step.name != "RUN" or not re.search(r"gcc|g\+\+|build-essential|nvcc|coachc\[|torch", step.text)
    assert "--only-binary :all:" in text


@pytest.mark.parametrize(("engine", "image"), [("gpu", "nvidia/cuda:"), ("cpu", "ubuntu:24.04")])
def test_the_server_stands_on_cuda_or_on_the_system(engine, image):
    base, steps = chain(CLOUD, ENGINE=engine)
    assert base.startswith(image)
    assert re.search(r":\d+\.\d+", base), "a pinned tag"
    asked = last(steps, "CMD").list
    assert ("CUDAExecutionProvider" in asked) == (engine == "gpu")
    assert read(CLOUD)[0] == {"ENGINE": "gpu"}
    assert last(steps, "ENTRYPOINT").list == ["coachc", "serve"]


@pytest.mark.parametrize(("name", "given"), [(JETSON, {}), (CLOUD, {"ENGINE": "gpu"}), (CLOUD, {"ENGINE": "cpu"})])
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
    wanted = re.search(r'-c constraints\.txt "\.\[\$\{ENGINE\},([\w,]+)\]" (\w+)', text)
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
