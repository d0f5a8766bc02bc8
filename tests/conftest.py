"""Shared by all tests; runs under Python 3.6 with `tests/runtime`, so it stays 3.6-clean."""

import importlib.util

import pytest


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "needs(name): needs something that may be absent; skipped with its name when it is"
    )


def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"needs {name}")
