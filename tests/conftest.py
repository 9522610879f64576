"""What all tests share: one thread, fixed seeds, no lucky memory, and no learner's work touched."""

import os
import random
import shutil
import tempfile
from collections import Counter
from importlib.util import find_spec

import pytest
import torch

import simplex_lib  # noqa: F401  # before anything imports triton: it chooses how kernels run

torch.set_num_threads(1)


def pytest_configure(config):
    # the kernels and terminals that tests start inherit these
    os.environ["SIMPLEX_WORK"] = tempfile.mkdtemp(prefix="simplex-tests-")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in ("SIMPLEX_BUILD", "SIMPLEX_STRICT"):
        os.environ.pop(name, None)
    # torch.empty is filled with NaN, so that a test cannot pass on what memory happened to hold
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True


def pytest_unconfigure(config):
    shutil.rmtree(os.environ["SIMPLEX_WORK"], ignore_errors=True)


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_work_folder(tmp_path, monkeypatch):
    """Every test has a work folder of its own."""
    monkeypatch.setenv("SIMPLEX_WORK", str(tmp_path / "work"))


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests that need one; skipped, or failed, where there is none."""
    needs = {
        "chromium (Debian: apt install chromium)": bool(shutil.which("chromium")),
        "playwright (pip install -e '.[dev]')": find_spec("playwright") is not None,
    }
    if missing := [name for name, found in needs.items() if not found]:
        said = f"the browser tests need {' and '.join(missing)}"
        if os.environ.get("SIMPLEX_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{said}, and SIMPLEX_REQUIRE_BROWSER=1 forbids leaving them out")
        pytest.skip(f"{said}; nothing in a browser was tested")
    from browser.lab import headless_browser

    with headless_browser() as browser:
        yield browser


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("browser"):  # one JupyterLab at a time
            item.add_marker(pytest.mark.xdist_group("browser"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_terminal_summary(terminalreporter):
    """Say plainly what was left out, above the closing line."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        text = reason.removeprefix("Skipped: ")
        terminalreporter.write_line(f"Left out: {count} test{'s' * (count > 1)} ({text}).")
