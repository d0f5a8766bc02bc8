"""Shared by all tests; runs under Python 3.6 with `tests/runtime`, so it stays 3.6-clean."""

import importlib.util
import os

import pytest


def pytest_configure(config):
    # Tests that share the machine's cores are told that of a terminal; commands run in them write to no terminal.
    os.environ.pop("COLUMNS", None)
    config.addinivalue_line("markers", "gpu: needs a CUDA device and pycuda; skipped with what is missing")
    config.addinivalue_line(
        "markers", "needs(name): needs something that may be absent; skipped with its name when it is"
    )


def missing_for_gpu():
    """What keeps the tests marked `gpu` from running here; empty if nothing does."""
    from coachc.runtime.engines.cuda import shared_gpu
    from coachc.runtime.errors import EngineError

    try:
        shared_gpu()
    except EngineError as exc:
        return exc.message
    return ""


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") is not None:
        missing = missing_for_gpu()
        if missing:
            pytest.skip(f"needs a GPU: {missing}")
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"needs {name}")
