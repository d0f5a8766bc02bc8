"""coachc has one import name: a wheel puts nothing else into site-packages, a user's folders are the user's."""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import coachc
from coachc.links import FOLDERS, missing_links
from tests.helpers.commands import REPOSITORY

LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv*", "*.egg-info", "build", "dist", "__pycache__", "tests", ".*_cache", ".hypothesis"
)
BUILD = """
import sys
from setuptools import build_meta
print("made", getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def build(kind: str, source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """What pip asks of a source tree, with the setuptools that is here."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(target)]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=300)


def built(kind: str, source: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    done = build(kind, source, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The repository as a clone has it, links included."""
    folder = tmp_path_factory.mktemp("checkout") / "coachc"
    shutil.copytree(REPOSITORY, folder, symlinks=True, ignore=LEFT_BEHIND)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout):
    return built("wheel", checkout, checkout.parent / "wheels")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment's Python with the wheel alone in it; what coachc depends on is borrowed from here."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Their own .pth files are not read, so the checkout that is installed there is not found.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin" / "python"


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_one_package_with_everything_in_it(wheel, checkout):
    found = files_of(wheel)
    assert {name.split("/")[0] for name in found} == {"coachc"}
    ours = {
        path.relative_to(checkout).as_posix().removeprefix("coachc/")
        for folder in ("coachc", *FOLDERS)
        for path in (checkout / folder).rglob("*.py")
        if path.resolve().is_relative_to(checkout / folder)
    }
    assert {name.removeprefix("coachc/") for name in found if name.endswith(".py")} == ours
    assert {
        "coachc/models/digits.onnx",
        "coachc/cost/profiles/tx2.toml",
        "coachc/targets/generations/trt8.2.toml",
    } <= found


def test_a_wheel_made_from_the_source_distribution_is_the_same(wheel, checkout, tmp_path):
    archive = built("sdist", checkout, tmp_path / "sdist")
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    assert files_of(built("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "wheels")) == files_of(
        wheel
    )


@pytest.mark.parametrize("name", FOLDERS)
def test_an_installed_coachc_takes_no_other_name(installed, tmp_path, name):
    assert run(installed, f"import coachc.{name}", tmp_path).returncode == 0
    done = run(installed, f"import {name}", tmp_path)
    assert (done.returncode, f"No module named '{name}'" in done.stderr) == (1, True)


@pytest.fixture(params=["packages", "folders"])
def decoys(request, tmp_path):
    """A folder of a user's whose own folders are called as ours are."""
    for name in (*FOLDERS, "tests"):
        (tmp_path / name / "bundle").mkdir(parents=True)
        if request.param == "packages":
            (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    return tmp_path


@pytest.mark.parametrize("how", ["command", "module", "path"])
def test_commands_start_where_folders_have_the_names_of_ours(installed, decoys, how):
    script = "import sys; from coachc.__main__ import run; sys.argv = ['coachc', *sys.argv[1:]]; run()"
    command = {"command": ["-c", script], "module": ["-m", "coachc"], "path": ["-m", "coachc"]}[how]
    environment = {"PYTHONPATH": "."} if how == "path" else {}
    for arguments, said in ((["--version"], f"coachc {coachc.__version__}\n"), (["devices"], "tx2")):
        done = subprocess.run(
            [installed, *command, *arguments],
            cwd=decoys,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout


@pytest.fixture
def without_links(checkout, tmp_path):
    """The repository as git writes it where there may be no links, and one link less."""
    folder = tmp_path / "coachc"
    shutil.copytree(checkout, folder, symlinks=True)
    for name in FOLDERS:
        (folder / "coachc" / name).unlink()
        (folder / "coachc" / name).write_text(f"../{name}")
    (folder / "coachc" / "models").unlink()
    return folder


def test_a_checkout_without_links_says_how_to_get_them(without_links, tmp_path):
    expected = [
        "each of coachc/passes coachc/calib coachc/runtime coachc/models should be a link to the folder of that name",
        "found       a file, a file, a file, nothing",
        "git config core.symlinks true && git checkout -- coachc/passes coachc/calib coachc/runtime coachc/models",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "coachc", "--version"],
        cwd=without_links,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert all(line in done.stderr for line in expected), done.stderr
    assert "Traceback" not in done.stderr
    done = build("wheel", without_links, tmp_path)
    assert done.returncode != 0
    assert all(line in done.stderr for line in expected), done.stderr


def test_a_link_that_leads_nowhere_is_missing(tmp_path):
    for name in FOLDERS[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / FOLDERS[0]).symlink_to("nowhere")
    message = missing_links(str(tmp_path))
    assert "each of coachc/passes should be a link" in message
    assert "found       a link to nothing" in message
    assert missing_links() == ""
