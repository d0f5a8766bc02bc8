"""What may be imported where, and what the command line promises about itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.commands import REPOSITORY

BLOCKED = "onnx onnxruntime torch tensorrt coachc passes calib models PIL cv2 uvicorn httptools"
HEAVY = "onnx numpy torch onnxruntime onnx_graphsurgeon PIL cv2 uvicorn"
COMMANDS = (
    *("export", "inspect", "compile", "check", "explain", "compare", "serve", "run", "eval", "devices", "doctor"),
    *("pack", "unpack", "keygen", "sign", "verify", "push", "rollback"),
)

RUNTIME_MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in (REPOSITORY / "runtime").rglob("*.py")
)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the repository's root."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=REPOSITORY,
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


def test_every_runtime_module_imports_without_the_compiler_and_its_libraries():
    assert len(RUNTIME_MODULES) > 20
    done = python(IMPORT_EACH_ALONE, BLOCKED, *RUNTIME_MODULES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == RUNTIME_MODULES


def test_the_blocker_of_that_test_blocks():
    done = python(IMPORT_EACH_ALONE, BLOCKED, "coachc.errors")
    assert done.returncode == 1
    assert "blocked: coachc" in done.stderr


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

    assert [command.name for command in app.registered_commands] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"coachc {command}" in (REPOSITORY / "README.md").read_text("utf-8")
