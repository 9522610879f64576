"""Every notebook runs as a reader runs it; every exercise notebook stops at its own stubs."""

import ast
import linecache
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from simplex_lib import checks
from simplex_lib.course import check_cell

from .stored import NAMES, ROOT, SOURCES, code_cells, source

HERE = Path(__file__).parent
READ = [name for name in NAMES if not name.startswith("exercises/")]
STEMS = [path.stem for path in SOURCES]
EXERCISES = [(stem, number) for stem in STEMS for number in source(stem).exercises]


@pytest.mark.notebook
@pytest.mark.parametrize("name", READ)
def test_a_notebook_runs_from_a_copy(name, tmp_path):
    """With nbval: asserts in cells count; a cell marked NBVAL_CHECK_OUTPUT must print the same."""
    result = run_with_nbval(name, tmp_path)
    assert result.returncode == 0, result.stdout[-6000:]


def run_with_nbval(name: str, folder: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    copy = folder / name
    copy.parent.mkdir(parents=True)
    shutil.copy(root / name, copy)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-p", "no:hypothesispytest"]  # it costs a second and has nothing to do here
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120"]
    command += [f"--nbval-sanitize-with={HERE / 'sanitize.cfg'}", "--rootdir", str(folder)]
    strict = {"SIMPLEX_STRICT": "1"} if name.startswith("solutions/") else {}
    environment = os.environ | strict | {"SIMPLEX_WORK": str(folder / "work")}
    environment.pop("TRITON_INTERPRET", None)  # a learner does not set it
    return subprocess.run(
        [*command, str(copy)],
        cwd=copy.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("cell", "fails"),
    [("assert 1 + 1 == 3", True), ("assert 1 + 1 == 2", False), ("import os\nos.getcwd()", False)],
)
def test_an_assert_in_a_notebook_counts(tmp_path, cell, fails):
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    file = tmp_path / "stored" / "chapters" / "97_sample.ipynb"
    file.parent.mkdir(parents=True)
    nbformat.write(notebook, file)
    result = run_with_nbval("chapters/97_sample.ipynb", tmp_path / "copy", tmp_path / "stored")
    assert bool(result.returncode) == fails, result.stdout


@pytest.mark.notebook
@pytest.mark.parametrize("stem", STEMS)
def test_an_exercise_notebook_stops_at_its_own_stubs(stem, monkeypatch):
    found = reports(stem, frozenset(), monkeypatch)
    assert found == dict.fromkeys(source(stem).exercises, "stub")


@pytest.mark.notebook
@pytest.mark.parametrize(("stem", "number"), EXERCISES)
def test_only_what_is_not_written_stops(stem, number, monkeypatch):
    """All solved but one: it stops, and so do the answers that call it, but no other."""
    solved = frozenset(source(stem).exercises) - {number}
    stops = {number} | callers(stem, number)
    expected = {n: "stub" if n in stops else None for n in source(stem).exercises}
    assert reports(stem, solved, monkeypatch) == expected


def callers(stem: str, number: str) -> set[str]:
    """The exercises whose solution uses what this one defines, directly or through another."""
    defines, uses = {}, {}
    for cell in code_cells(f"solutions/{stem}.ipynb"):
        if cell.metadata.get("simplex", {}).get("role") == "stub":
            n, tree = cell.metadata.simplex.exercise, ast.parse(cell.source)
            names = {x.name for x in tree.body if isinstance(x, ast.FunctionDef | ast.ClassDef)}
            defines[n] = defines.get(n, set()) | names
            read = {x.id for x in ast.walk(tree) if isinstance(x, ast.Name)}
            uses[n] = uses.get(n, set()) | read
    found = {number}
    for _ in uses:
        found |= {n for n in uses if any(uses[n] & defines[m] for m in found)}
    return found - {number}


def reports(stem: str, solved: frozenset[str], monkeypatch) -> dict[str, str | None]:
    """Run the exercise notebook with some answers filled in; the cause of each check's report."""
    found: dict[str, str | None] = {}

    def collect(exercise, answer):
        found[exercise] = checks.check(exercise, answer).cause

    monkeypatch.setattr(check_cell, "collect", collect)
    answers = {cell.id: cell.source for cell in code_cells(f"solutions/{stem}.ipynb")}
    space = {"__name__": "__main__"}
    for cell in code_cells(f"exercises/{stem}.ipynb"):
        filled = cell.metadata.get("simplex", {}).get("exercise") in solved
        text = answers[cell.id] if filled else cell.source
        exec(compiled(f"<exercises/{stem} {cell.id} {filled}>", text), space)
    return found


@cache
def compiled(name: str, text: str):
    """With its lines on file, so that what reads a function's source finds it."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return compile(text, name, "exec")
