"""One lab and one browser for all tests of this folder; skipped where there is no chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .lab import Lab

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if missing := [n for n, found in _needs().items() if not found]:
        said = f"the browser tests need {' and '.join(missing)}"
        if os.environ.get("SIMPLEX_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{said}, and SIMPLEX_REQUIRE_BROWSER=1 forbids leaving them out")
        pytest.skip(f"{said}; nothing in a browser was tested")
    chosen = os.environ.get("SIMPLEX_ARTIFACTS")
    artifacts = Path(chosen) if chosen else tmp_path_factory.mktemp("pictures")
    artifacts.mkdir(parents=True, exist_ok=True)
    with Lab(tmp_path_factory.mktemp("lab"), artifacts) as running:
        yield running


def _needs() -> dict[str, bool]:
    return {
        "chromium (Debian: apt install chromium)": bool(shutil.which("chromium")),
        "playwright (pip install -e '.[dev]')": find_spec("playwright") is not None,
    }
