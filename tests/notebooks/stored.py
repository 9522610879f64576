"""The notebooks of the course as they are stored, for the tests of this folder."""

from functools import cache
from pathlib import Path

import nbformat
from notebook_source import KINDS, Source, read_source

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.py"))
NAMES = [f"{kind}/{path.stem}.ipynb" for kind in KINDS for path in SOURCES]


@cache
def load(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / name, as_version=4)


@cache
def source(stem: str) -> Source:
    return read_source(ROOT / "chapters" / f"{stem}.py")


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in load(name).cells if cell.cell_type == "code"]
