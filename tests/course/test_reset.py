"""Mirrors simplex_lib/course/reset.py."""

import json

import pytest

from simplex_lib.course.reset import reset
from simplex_lib.course.workspace import WorkspaceError


def cell(source, exercise=None, role=None, kind="code"):
    about = {"simplex": {"exercise": exercise, "role": role}} if exercise else {}
    made = {"cell_type": kind, "metadata": about, "source": source.splitlines(keepends=True)}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def exercise(name):
    return [
        cell(f"### Exercise {name}", name, "statement", "markdown"),
        cell(f"def a_{name[-1]}():\n    raise NotImplementedError", name, "stub"),
        cell(f"def b_{name[-1]}():\n    raise NotImplementedError", name, "stub"),
        cell(f'check("{name}", a_{name[-1]})', name, "check"),
    ]


@pytest.fixture
def course(tmp_path, work):
    cells = [cell("import torch"), *exercise("2.1"), *exercise("2.2")]
    for folder in (tmp_path / "course", work):
        path = folder / "exercises" / "02_t.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"metadata": {}, "cells": cells, "nbformat": 4}))
    return tmp_path / "course"


def edit(work, change):
    path = work / "exercises/02_t.ipynb"
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))
    return path.read_bytes()


def sources(work):
    cells = json.loads((work / "exercises/02_t.ipynb").read_text())["cells"]
    return ["".join(c["source"]) for c in cells]


STUB = "def a_1():\n    raise NotImplementedError"


def test_reset_puts_back_one_exercise_and_keeps_all_else(course, work):
    def answer(cells):
        for n in (2, 3, 6):
            cells[n]["source"] = f"answer {n}"
        cells.insert(4, cell("my own notes"))
        cells[5]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "kept"}]

    before = edit(work, answer)
    done = reset("2.1", course)
    after = sources(work)
    assert after[2] == STUB and "b_1" in after[3] and "NotImplementedError" in after[3]
    assert after[4] == "my own notes" and after[7] == "answer 6" and len(after) == 10
    assert done.backup.read_bytes() == before and done.backup.parent == work / "backups"
    assert done.cells == 2
    untouched = json.loads(before)["cells"]
    now = json.loads(done.notebook.read_text())["cells"]
    assert [a for n, a in enumerate(now) if n not in (2, 3)] == [
        a for n, a in enumerate(untouched) if n not in (2, 3)
    ]


def test_a_split_cell_leaves_no_rest_behind(course, work):
    edit(work, lambda cells: cells.insert(3, cell("the other half", "2.1", "stub")))
    reset("2.1", course)
    assert sources(work) == sources(course)


@pytest.mark.parametrize("gone", [(2, 3), (2,), (3,), (2, 3, 4), (1, 2, 3, 4)])
def test_lost_cells_return(course, work, gone):
    edit(work, lambda cells: [cells.pop(n) for n in reversed(gone)])
    reset("2.1", course)
    after = sources(work)
    assert STUB in after and any("b_1" in source for source in after)
    if 4 not in gone:
        assert after.index(STUB) < after.index('check("2.1", a_1)')


def test_two_resets_keep_two_backups(course, work):
    assert reset("2.1", course).backup != reset("2.1", course).backup


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2.9", "no exercise 2.9; chapter 02 has 2.1, 2.2"),
        ("7.1", "no exercise 7.1: chapters with exercises here are 02"),
        ("x", "an exercise is named by a text such as"),
    ],
)
def test_an_unknown_exercise_changes_nothing(course, work, name, message):
    with pytest.raises(ValueError, match=message):
        reset(name, course)
    assert not (work / "backups").exists()


@pytest.mark.errors
def test_a_notebook_that_is_missing_or_broken_is_left_alone(course, work):
    path = work / "exercises/02_t.ipynb"
    path.write_text('{"cells": [{')
    with pytest.raises(WorkspaceError, match="cannot be read as a notebook"):
        reset("2.1", course)
    assert path.read_text() == '{"cells": [{'
    path.unlink()
    with pytest.raises(WorkspaceError, match="nothing to reset"):
        reset("2.1", course)
