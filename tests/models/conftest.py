"""One thread per test process: pytest-xdist already uses every core, and threads that share one wait for each other."""

import importlib.util

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
