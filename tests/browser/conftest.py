"""One lab for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="session")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    chosen = os.environ.get("SIMPLEX_ARTIFACTS")
    artifacts = Path(chosen) if chosen else tmp_path_factory.mktemp("pictures")
    artifacts.mkdir(parents=True, exist_ok=True)
    with Lab(tmp_path_factory.mktemp("lab"), artifacts, chromium) as running:
        yield running
