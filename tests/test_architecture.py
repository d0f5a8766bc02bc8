"""What may be imported where, and what the command line promises about itself."""

from __future__ import annotations

import ast
import graphlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY

BLOCKED = "onnx onnxruntime torch tensorrt coachc passes calib models PIL cv2 uvicorn httptools"
HEAVY = "onnx numpy torch onnxruntime onnx_graphsurgeon PIL cv2 uvicorn"
COMMANDS = (
    *("export", "inspect", "compile", "check", "explain", "compare", "estimate", "profile", "link", "serve", "run"),
    *("eval", "devices", "doctor", "pack", "unpack", "keygen", "sign", "verify", "push", "rollback"),
)

RUNTIME_MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in (REPOSITORY / "runtime").rglob("*.py")
)
FOLDERS = ("runtime", "passes", "calib", "models")


def python(code: str, *arguments: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, in the repository's root unless told otherwise."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# One interpreter for all modules would let the first import hide what the second needs, so each starts from the
# modules that were there at the beginning; numpy cannot be imported twice and stays.
IMPORT_EACH_ALONE = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError("blocked: " + name)
blocked = set(sys.argv[1].split())
sys.meta_path.insert(0, Blocker())
import numpy
for name in sys.argv[2:]:
    importlib.import_module(name)
    for loaded in [m for m in sys.modules if m.split(".")[0] == "runtime"]:
        del sys.modules[loaded]
    print(name)
"""


@pytest.fixture
def lone_runtime(tmp_path):
    """A folder that holds a copy of `runtime/` and nothing else."""
    shutil.copytree(REPOSITORY / "runtime", tmp_path / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_runtime_module_imports_without_the_compiler_and_its_libraries(lone_runtime):
    assert len(RUNTIME_MODULES) > 20
    done = python(IMPORT_EACH_ALONE, BLOCKED, *RUNTIME_MODULES, folder=lone_runtime)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == RUNTIME_MODULES


@pytest.mark.parametrize("program", ["device", "cloud", "build", "install", "doctor", "link_probe"])
def test_a_lone_copy_of_the_runtime_says_how_it_was_started(lone_runtime, program):
    command = [sys.executable, "-m", f"runtime.{program}", "--help"]
    done = subprocess.run(command, cwd=lone_runtime, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python3 -m runtime.{program} ")


def test_the_blocker_of_that_test_blocks():
    done = python(IMPORT_EACH_ALONE, BLOCKED, "coachc.errors")
    assert done.returncode == 1
    assert "blocked: coachc" in done.stderr


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import in a file, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
        elif isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
    return found


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def test_no_file_is_imported_under_a_second_name():
    """All are folders of `coachc`; inside `runtime`, which also runs alone, imports are relative."""
    for path in sources("coachc", "passes", "calib", "models", "tests"):
        outside = [module for level, module in imports_of(path) if not level and module.split(".")[0] in FOLDERS]
        assert not outside, f"{path}: import coachc.{outside[0]}"
        code_in_text = re.search(rf"(from|import) ({'|'.join(FOLDERS)})\\b", path.read_text("utf-8"))
        assert not code_in_text or path.name == Path(__file__).name, f"{path}: {code_in_text}"
    for path in sources("runtime"):
        absolute = [module for level, module in imports_of(path) if not level and module.split(".")[0] == "coachc"]
        named = [module for level, module in imports_of(path) if not level and module.split(".")[0] in FOLDERS]
        assert not absolute + named, f"{path}: import relatively, not {(absolute + named)[0]}"


IMPORT_ALL = """
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and name != "__main__":
        files.setdefault(os.path.realpath(file), set()).add(name)
ours = tuple(os.path.join(os.getcwd(), folder, "") for folder in ("coachc", "passes", "calib", "runtime", "models"))
print(*[sorted(names) for file, names in files.items() if len(names) > 1 and file.startswith(ours)])
print(*[name for name in sys.modules if name.split(".")[0] in ("runtime", "passes", "calib", "models")])
"""


def test_every_file_has_one_name_in_a_process_that_has_imported_them_all():
    modules = [
        ".".join(("coachc", *path.relative_to(REPOSITORY).with_suffix("").parts)).replace("coachc.coachc", "coachc")
        for path in sources("passes", "calib", "runtime", "coachc")
        if path.stem not in ("__main__", "__init__") and "coachc/models" not in path.as_posix()
    ]
    done = python(IMPORT_ALL, *sorted(set(modules)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_no_imports_run_in_a_circle():
    """Between modules, and between folders: those of coachc, and the runtime's rooms."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("coachc")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    folders: dict[str, set[str]] = {}
    for module, imported in imports.items():
        for other in imported:
            if folder_of(module) != folder_of(other):
                folders.setdefault(folder_of(module), set()).add(folder_of(other))
    assert len(imports) > 300
    assert len(folders) > 20
    for arrows in (imports, folders):
        list(graphlib.TopologicalSorter(arrows).static_order())  # raises CycleError, which names the circle


def folder_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[1:2] == ["runtime"] else 2])


#: Files of one name because they are of one kind: a folder's own, and a command with the library function it calls.
SHARED_NAMES = {"__init__", "__main__", "errors"}


def test_no_two_files_have_one_name():
    found: dict[str, list[Path]] = {}
    for path in sources("coachc", "passes", "calib", "models", "runtime"):
        real = path.resolve()
        if path.stem not in SHARED_NAMES and real not in found.setdefault(path.stem, []):
            found[path.stem].append(real)
    commands = set(sources("coachc/cli"))
    doubled = {stem: paths for stem, paths in found.items() if len([p for p in paths if p not in commands]) > 1}
    assert not doubled


def test_no_test_imports_another_test():
    """A test file that is renamed breaks nobody: what two of them share is in `tests/helpers`."""
    for path in sources("tests"):
        others = [module for _, module in imports_of(path) if module.split(".")[-1].startswith("test_")]
        assert not others, f"{path}: {others[0]}"


HELP = """
import sys
from coachc.cli.main import run
sys.argv = ["coachc"] + sys.argv[1:]
try:
    run()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
assert "coachc.cli.main" in sys.modules
print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    done = python(HELP, *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    shown, _, loaded = done.stdout.partition("LOADED")
    assert f"Usage: coachc {command}".strip() in shown
    assert set(loaded.split()) & set(HEAVY.split()) == set()


def test_the_commands_tested_here_are_all_there_are():
    from coachc.cli.main import app

    assert {one.name for one in (*app.registered_commands, *app.registered_groups)} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"coachc {command}" in (REPOSITORY / "README.md").read_text("utf-8")
