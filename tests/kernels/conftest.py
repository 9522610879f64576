"""The kernels are tested where they run: compiled on a GPU if there is one, else interpreted."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():  # then these are GPU tests: `make test-gpu` runs them
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker("gpu")
